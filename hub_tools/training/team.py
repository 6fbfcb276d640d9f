"""What the processes of a training share: sums over all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hub_tools.core.distributed import ALONE, Processes

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter


class Team:
    """The processes of a run, and where this one computes.

    Args:
        device: cpu, cuda or mps.
        processes: those of the run.

    Attributes:
        size: how many there are.
        rank: which one this is.
        leads: whether this one writes the files.
        device: of this process.
    """

    def __init__(self, device: str, processes: Processes = ALONE) -> None:
        import torch
        from accelerate import PartialState

        self.size, self.rank, self.leads = processes.world_size, processes.rank, processes.is_main
        self.device: torch.device = PartialState().device if self.size > 1 else torch.device(device)

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier()

    def add(self, tensor: Tensor) -> Tensor:
        """The sum of all processes' tensors, in place."""
        if self.size > 1:
            from torch import distributed

            distributed.all_reduce(tensor)
        return tensor

    def total(self, value: float) -> float:
        """The sum of all processes' numbers."""
        if self.size == 1:
            return value
        import torch

        return float(self.add(torch.tensor(value, dtype=torch.float64, device=self.device)))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return self.total(flag) > 0

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
        for parameter, summed in zip(learning, torch.split(flat, [p.numel() for p in learning]), strict=True):
            parameter.grad = summed.view_as(parameter)
