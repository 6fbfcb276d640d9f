"""Several processes of one run, on one machine or many, as `accelerate launch` and `torchrun` start them."""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from hub_tools.core.logging import log

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

# How long the others wait for what one process does alone: longer than any stage takes.
_TIMEOUT = timedelta(days=7)
# Seconds in which the main process can report its error before a launcher ends all processes.
_EXIT_DELAY = 20.0

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process among those of the run. With a single process every method returns at once."""

    rank: int = 0  # number of this process; 0 is the main process
    world_size: int = 1  # number of processes

    @property
    def is_main(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0

    def run_on_main(self, work: Callable[[], T]) -> T:
        """Call a function in the main process, once all have reached this line; return its plain result in all of them.

        If it fails, the main process raises its error and all others exit.
        """
        if self.world_size == 1:
            return work()
        from accelerate.utils import broadcast_object_list

        self.barrier()  # the main process may read what the others are still writing
        shared: list[list[T]] = [[]]
        try:
            if self.is_main:
                shared[0].append(work())
        finally:
            broadcast_object_list(shared)
        if not shared[0]:
            time.sleep(_EXIT_DELAY)
            sys.exit(1)
        return shared[0][0]

    def barrier(self) -> None:
        """Wait until all processes have reached this line."""
        if self.world_size > 1:
            _accelerate_state().wait_for_everyone()

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over all processes, in place, and return it."""
        if self.world_size > 1:
            from torch import distributed

            distributed.all_reduce(tensor)  # accelerate's `reduce` copies it, and gradients are as large as the model
        return tensor

    def all_reduce_scalar(self, value: float) -> float:
        """Return the sum of a number over all processes, added in float64."""
        if self.world_size == 1:
            return value
        import torch

        return float(self.all_reduce(torch.tensor(value, dtype=torch.float64, device=_accelerate_state().device)))

    def any_rank(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        return self.all_reduce_scalar(flag) > 0

    def all_reduce_gradients(self, parameters: Iterable[Parameter]) -> None:
        """Replace the gradients by their sums over all processes; a missing gradient counts as zero.

        A gradient is missing where a process had none of the batch's texts, or where the model does not use a weight.
        """
        if self.world_size == 1:
            return
        import torch

        trainable = [parameter for parameter in parameters if parameter.requires_grad]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trainable]
        flat = self.all_reduce(torch.cat([gradient.flatten() for gradient in gradients]))
        for parameter, total in zip(trainable, torch.split(flat, [p.numel() for p in trainable]), strict=True):
            parameter.grad = total.view_as(parameter)


ALONE = Processes()


def is_main_process() -> bool:
    """Return whether this process speaks to the user, as the launcher's environment says."""
    return os.environ.get("RANK", "0") == "0"


def init_processes(device: str) -> Processes:
    """Connect to the other processes if a launcher started several; `device` is auto, cpu, cuda or mps.

    `cuda` is from then on the process's own GPU: accelerate makes it torch's current device.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        # What accelerate sets for several processes on CPUs, of which it then starts one.
        if os.environ.get("ACCELERATE_USE_CPU") == "True" and "MASTER_ADDR" in os.environ:
            log.warning(
                "accelerate launch starts a single process on CPUs, whatever --num_processes says. For several: "
                "torchrun --nproc-per-node N $(which hub-distill) ..."
            )
        return ALONE
    import torch
    from accelerate import PartialState

    # accelerate joins processes on CPUs only when it is told that they are to be used.
    state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available(), timeout=_TIMEOUT)
    # Its threads have to end before the interpreter does, which may otherwise abort after all work is done.
    atexit.register(state.destroy_process_group)
    return Processes(rank=state.process_index, world_size=state.num_processes)


def _accelerate_state() -> Any:
    """Return what `init_processes` set up, which accelerate keeps."""
    from accelerate import PartialState

    return PartialState()
