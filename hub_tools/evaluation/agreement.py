"""How much of a teacher's space is in a student's: measures that need no labels, in any language."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Neighbours of each text that are compared.
_NEIGHBOURS = 10


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What the vectors of a student have in common with those of its teacher; from -1 or 0 to 1."""

    cosine: float  # mean cosine of a text's two vectors; 0 where they are of different sizes
    ranks: float  # Spearman's correlation of the similarities of all pairs of texts
    neighbours: float  # share of a text's ten nearest texts that are found again
    spread: float  # standard deviation of the student's similarities by that of the teacher's; near 0 for a collapse


def agreement(teacher: NDArray[np.float32], student: NDArray[np.float32]) -> Agreement:
    """Compare the vectors of a few thousand texts, rows of length one, shapes (texts, dim); dims may differ.

    Memory grows with the square of the texts: 2,000 take about 100 MB.
    """
    from scipy.stats import rankdata

    similarities = teacher @ teacher.T, student @ student.T
    upper = np.triu_indices(len(teacher), 1)
    teachers, students = (values[upper] for values in similarities)
    ranks = np.corrcoef(rankdata(teachers), rankdata(students))[0, 1]
    count = min(_NEIGHBOURS, len(teacher) - 1)
    nearest = [_nearest(values, count) for values in similarities]
    shared = [len(set(a) & set(b)) / count for a, b in zip(*nearest, strict=True)]
    same_size = teacher.shape == student.shape
    return Agreement(
        cosine=float((teacher * student).sum(axis=1).mean()) if same_size else 0.0,
        ranks=float(ranks),
        neighbours=float(np.mean(shared)),
        spread=float(students.std() / max(teachers.std(), 1e-12)),
    )


def _nearest(similarities: NDArray[np.float32], count: int) -> list[list[int]]:
    np.fill_diagonal(similarities, -np.inf)
    nearest: list[list[int]] = np.argpartition(-similarities, count - 1, axis=1)[:, :count].tolist()
    return nearest
