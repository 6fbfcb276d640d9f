"""Several processes of one run, on one machine or many, as `accelerate launch` and `torchrun` start them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

# How long the others wait for what one process does alone: longer than any stage takes.
_PATIENCE = timedelta(days=7)
_MOMENT = 20.0

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process among those of the run.

    Attributes:
        rank: its number; 0 is the main process.
        world_size: how many there are.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes what is written once."""
        return self.rank == 0

    def run_on_main(self, work: Callable[[], T]) -> T:
        """Let the main process do something that all need the result of, once all have come to this line.

        Args:
            work: done in the main process alone; returns plain data.

        Returns:
            What it returned, in every process. Where it fails, the error is the main process's, and the others exit.
        """
        if self.world_size == 1:
            return work()
        from accelerate.utils import broadcast_object_list, wait_for_everyone

        wait_for_everyone()  # the main process may sum up what the others are still writing
        shared: list[Any] = [None, False]
        try:
            if self.is_main:
                shared = [work(), True]
        finally:
            broadcast_object_list(shared)
        if not shared[1]:
            time.sleep(_MOMENT)  # the main process shall say why before a launcher ends them all
            sys.exit(1)
        result: T = shared[0]
        return result


ALONE = Processes()


def is_main_process() -> bool:
    """Whether this is the process that speaks to the user, as the launcher's environment says."""
    return os.environ.get("RANK", "0") == "0"


def init_processes(device: str) -> Processes:
    """Meet the other processes, if a launcher started several.

    Args:
        device: auto, cpu, cuda or mps, as the user chose it.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    import torch
    from accelerate import PartialState

    # accelerate joins processes on CPUs only when it is told that they are to be used.
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    state = PartialState(cpu=on_cpu, timeout=_PATIENCE)
    return Processes(rank=state.process_index, world_size=state.num_processes)
