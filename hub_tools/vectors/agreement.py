"""How much of a teacher's space is in a student's: measures that need no labels, in any language."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hub_tools.results import Agreement

# Neighbours of each text that are compared.
_NEIGHBOURS = 10
# Products of the same rows of length one differ by as much.
_ROUNDING = 1e-6

Vectors = NDArray[np.float32]


def agreement(teacher: Vectors, student: Vectors) -> Agreement:
    """Compare the vectors of a few thousand texts, rows of length one, shapes (texts, dim); dims may differ.

    What needs similarities that differ is 0 where they do not. Memory grows with the square of the texts: 2,000 take
    about 100 MB.
    """
    similarities = teacher @ teacher.T, student @ student.T
    upper = np.triu_indices(len(teacher), 1)
    values = [found[upper] for found in similarities]
    for found in similarities:
        np.fill_diagonal(found, -np.inf)
    return _compare(_cosine(teacher, student), similarities, values, others=len(teacher) - 1)


def agreement_across(teacher: tuple[Vectors, Vectors], student: tuple[Vectors, Vectors]) -> Agreement:
    """Compare the similarities of texts to their translations, all with all; each pair is a model's vectors of both."""
    similarities = teacher[0] @ teacher[1].T, student[0] @ student[1].T
    cosine = float(np.mean([_cosine(*sides) for sides in zip(teacher, student, strict=True)]))
    values = [found.ravel() for found in similarities]
    return _compare(cosine, similarities, values, others=len(teacher[1]))


def nearness(found: Agreement) -> float:
    """Return the one number by which checkpoints are chosen.

    Of those measured here it predicts the quality of students best, as docs/results.md says. It cannot be compared
    between teachers, whose cosines lie in different ranges; ranks can.
    """
    return found.cosine


def _compare(
    cosine: float, similarities: tuple[Vectors, Vectors], values: list[NDArray[np.float32]], *, others: int
) -> Agreement:
    """Compare matrices of similarities; `values` are those that count, `others` how many neighbours a text can have."""
    from scipy.stats import rankdata

    teachers, students = values
    differ = bool(len(teachers)) and min(np.ptp(teachers), np.ptp(students)) > _ROUNDING
    count = min(_NEIGHBOURS, others)
    nearest = [_nearest(found, count) for found in similarities] if count else [[], []]
    shared = [len(set(a) & set(b)) / count for a, b in zip(*nearest, strict=True)]
    return Agreement(
        cosine=cosine,
        ranks=float(np.corrcoef(rankdata(teachers), rankdata(students))[0, 1]) if differ else 0.0,
        neighbours=float(np.mean(shared)) if shared else 0.0,
        spread=float(students.std() / teachers.std()) if differ else 0.0,
    )


def _cosine(teacher: Vectors, student: Vectors) -> float:
    return float((teacher * student).sum(axis=1).mean()) if teacher.shape == student.shape else 0.0


def _nearest(similarities: Vectors, count: int) -> list[list[int]]:
    nearest: list[list[int]] = np.argpartition(-similarities, count - 1, axis=1)[:, :count].tolist()
    return nearest
