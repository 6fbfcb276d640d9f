"""The processes that do one job together: one, unless `accelerate launch` started more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter


class Team:
    """This process among those that were started together.

    Attributes:
        size: how many there are.
        rank: which one this is.
        device: where this one computes.
    """

    def __init__(self, device: str) -> None:
        import torch
        from accelerate import PartialState

        self._state = PartialState(cpu=device == "cpu")
        self.size: int = self._state.num_processes
        self.rank: int = self._state.process_index
        self.device: torch.device = self._state.device if self.size > 1 else torch.device(device)

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on when all have come here."""
        self._state.wait_for_everyone()

    def add(self, tensor: Tensor) -> Tensor:
        """The sum of all processes' tensors, in place."""
        if self.size > 1:
            from torch import distributed

            distributed.all_reduce(tensor)
        return tensor

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        import torch

        return bool(self.add(torch.tensor(float(flag), device=self.device)) > 0) if self.size > 1 else flag

    def add_gradients(self, parameters: Iterable[Parameter]) -> None:
        """Sum the gradients of all processes, so that each has those of the whole batch."""
        import torch

        if self.size == 1:
            return
        learning = [parameter for parameter in parameters if parameter.requires_grad]
        for parameter in learning:
            if parameter.grad is None:  # its part of the batch was empty, or the model does not use it
                parameter.grad = torch.zeros_like(parameter)
        flat = self.add(torch.cat([p.grad.flatten() for p in learning if p.grad is not None]))
        for parameter, summed in zip(learning, flat.split([p.numel() for p in learning]), strict=True):
            parameter.grad = summed.view_as(parameter)
