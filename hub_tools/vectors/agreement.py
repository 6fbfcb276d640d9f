"""How much of a teacher's space is in a student's: measures that need no labels, in any language."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hub_tools.results import Agreement

# Neighbours of each text that are compared.
_NEIGHBOURS = 10


def agreement(teacher: NDArray[np.float32], student: NDArray[np.float32]) -> Agreement:
    """Compare the vectors of a few thousand texts, rows of length one, shapes (texts, dim); dims may differ.

    What needs similarities that differ is 0 where they do not. Memory grows with the square of the texts: 2,000 take
    about 100 MB.
    """
    from scipy.stats import rankdata

    similarities = teacher @ teacher.T, student @ student.T
    upper = np.triu_indices(len(teacher), 1)
    teachers, students = (values[upper] for values in similarities)
    differ = min(np.ptp(teachers), np.ptp(students)) > 0 if len(upper[0]) else False
    ranks = np.corrcoef(rankdata(teachers), rankdata(students))[0, 1] if differ else 0.0
    count = min(_NEIGHBOURS, len(teacher) - 1)
    nearest = [_nearest(values, count) for values in similarities] if count else [[]] * 2
    shared = [len(set(a) & set(b)) / count for a, b in zip(*nearest, strict=True)] or [0.0]
    same_size = teacher.shape == student.shape
    return Agreement(
        cosine=float((teacher * student).sum(axis=1).mean()) if same_size else 0.0,
        ranks=float(ranks),
        neighbours=float(np.mean(shared)),
        spread=float(students.std() / max(teachers.std(), 1e-12)) if differ else 0.0,
    )


def nearness(found: Agreement) -> float:
    """Return the one number by which models are chosen; docs/results.md says which one predicts quality best."""
    return found.ranks


def _nearest(similarities: NDArray[np.float32], count: int) -> list[list[int]]:
    np.fill_diagonal(similarities, -np.inf)
    nearest: list[list[int]] = np.argpartition(-similarities, count - 1, axis=1)[:, :count].tolist()
    return nearest
