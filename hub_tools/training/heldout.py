"""How near a model in training is to its goal, on texts that it does not train on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.core.distributed import Processes
from hub_tools.core.errors import is_out_of_memory
from hub_tools.models.encoder import unit
from hub_tools.results import Agreement
from hub_tools.training.batching import epoch_batches
from hub_tools.training.data import TrainingSet
from hub_tools.training.student import Student
from hub_tools.vectors.agreement import agreement


def measure_heldout(
    student: Student, heldout: TrainingSet, *, batch_tokens: int, processes: Processes
) -> Agreement | None:
    """Return how much of the space of the texts' goals is in the student's; None if there are no texts.

    The processes share the texts, which are read in batches of so many padded tokens, or half where memory does not
    suffice.
    """
    if not len(heldout):
        return None
    goals = heldout.targets[heldout.target_index].astype(np.float32)
    return agreement(unit(goals), unit(_vectors(student, heldout, batch_tokens, processes)))


def agreement_in(entry: Mapping[str, Any]) -> Agreement | None:
    """Return what was measured where it stands among other figures, as in the history of a training."""
    names = [field.name for field in fields(Agreement)]
    return Agreement(**{name: entry[name] for name in names}) if set(names) <= entry.keys() else None


def _vectors(student: Student, heldout: TrainingSet, batch_tokens: int, processes: Processes) -> NDArray[np.float32]:
    import torch

    # No epoch: the order of the texts is nothing to a measure.
    batches = epoch_batches(heldout.texts.lengths, batch_tokens, 0, 0)[processes.rank :: processes.world_size]
    vectors = torch.zeros((len(heldout), heldout.targets.shape[1]), device=student.device)
    while batches:
        batch = batches.pop(0)
        try:
            with torch.inference_mode():
                vectors[torch.from_numpy(batch)] = student(heldout.texts, batch, training=False)
        except (RuntimeError, MemoryError) as error:
            if len(batch) == 1 or not is_out_of_memory(error):
                raise
            batches[:0] = np.array_split(batch, 2)
    found: NDArray[np.float32] = processes.all_reduce(vectors).cpu().numpy()
    return found
