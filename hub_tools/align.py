"""New embedding rows from parallel text: which teacher tokens a student token is translated by.

IBM model 1 (Brown et al. 1993) between the student's tokens of the target side and the teacher's tokens of the
source side; the idea of rows from translations is trans-tokenization's (Remy et al. 2024, arXiv 2408.04303).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROUNDS = 6
# Longer sentences say little about single tokens and cost their length squared.
_LONGEST = 64
_BATCH_PAIRS = 4096


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """Expected numbers of links, one entry for each pair of tokens that met.

    Attributes:
        student: student ids, int64, shape (entries,), ascending.
        teacher: teacher ids, int64, shape (entries,).
        links: expected number of links, float64, shape (entries,).
    """

    student: NDArray[np.int64]
    teacher: NDArray[np.int64]
    links: NDArray[np.float64]


def align(pairs: Iterable[tuple[list[int], list[int]]], teacher_size: int, rounds: int = ROUNDS) -> Alignment:
    """Align tokens with the expectation-maximisation of IBM model 1.

    Args:
        pairs: (student ids of the target side, teacher ids of the source side) of each sentence pair.
        teacher_size: size of the teacher's vocabulary.
        rounds: EM rounds.
    """
    batches = list(_cells(pairs, teacher_size))
    codes = np.unique(np.concatenate([code for code, _ in batches])) if batches else np.empty(0, np.int64)
    # Cells of a sentence pair point at the shared parameter of their two tokens.
    indexed = [(np.searchsorted(codes, code).astype(np.int32), starts) for code, starts in batches]
    del batches
    student, teacher = codes // teacher_size, codes % teacher_size
    probability = np.ones(len(codes))
    links = np.zeros(len(codes))
    for _ in range(rounds):
        links = np.zeros(len(codes))
        for cells, starts in indexed:
            weight = probability[cells]
            lengths = np.diff(starts, append=len(cells))
            weight /= np.repeat(np.add.reduceat(weight, starts), lengths)
            links += np.bincount(cells, weights=weight, minlength=len(codes))
        # P(student token | teacher token)
        probability = links / np.bincount(teacher, weights=links, minlength=teacher_size)[teacher]
    return Alignment(student=student, teacher=teacher, links=links)


def _cells(
    pairs: Iterable[tuple[list[int], list[int]]], teacher_size: int
) -> Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Batches of (token pair codes, where each student token's row of cells starts)."""
    codes: list[NDArray[np.int64]] = []
    widths: list[int] = []
    for student_ids, teacher_ids in pairs:
        if not student_ids or not teacher_ids or max(len(student_ids), len(teacher_ids)) > _LONGEST:
            continue
        rows = np.asarray(student_ids, np.int64)[:, None] * teacher_size + np.asarray(teacher_ids, np.int64)
        codes.append(rows.ravel())
        widths += [len(teacher_ids)] * len(student_ids)
        if len(codes) == _BATCH_PAIRS:
            yield _joined(codes, widths)
            codes, widths = [], []
    if codes:
        yield _joined(codes, widths)


def _joined(codes: list[NDArray[np.int64]], widths: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    starts = np.concatenate(([0], np.cumsum(widths)[:-1])).astype(np.int64)
    return np.concatenate(codes), starts


def aligned_rows(
    alignment: Alignment, teacher_rows: NDArray[np.float32], wanted: NDArray[np.int64], least_links: float = 1.0
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows as the means of the teacher's rows, weighted by expected links.

    Args:
        alignment: from `align`.
        teacher_rows: the teacher's embedding matrix, float32, shape (teacher vocabulary, hidden).
        wanted: student ids that may get a row, int64, ascending.
        least_links: tokens with fewer expected links in all get none.

    Returns:
        The student ids that got a row, shape (n,), and the rows, float32, shape (n, hidden).
    """
    from scipy.sparse import csr_array

    use = np.isin(alignment.student, wanted)
    student, teacher, links = alignment.student[use], alignment.teacher[use], alignment.links[use]
    ids, row = np.unique(student, return_inverse=True)
    totals = np.bincount(row, weights=links, minlength=len(ids))
    matrix = csr_array((links / totals[row], (row, teacher)), shape=(len(ids), len(teacher_rows)))
    supported = totals >= least_links
    return ids[supported], (matrix @ teacher_rows)[supported].astype(np.float32)
