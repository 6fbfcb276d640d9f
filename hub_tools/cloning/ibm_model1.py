"""New rows from parallel text: which teacher tokens a student token is translated by.

IBM model 1 (Brown et al. 1993) between the student's tokens of the target side and the teacher's tokens of the source
side. The idea of rows from translations is trans-tokenization's (Remy et al. 2024, arXiv 2408.04303). Memory does not
grow with the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.cloning.safetensors_io import AnyRows

ROUNDS = 6
# Longer sentences say little about single tokens and cost their length squared.
_LONGEST = 64
_BATCH_PAIRS = 4096
# Token pairs whose statistics are kept, 16 bytes each; beyond that the least associated half is forgotten.
_MOST_CODES = 1 << 24
_BLOCK_ROWS = 4096

TokenPairs = Iterable[tuple[list[int], list[int]]]


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """Expected numbers of links, an entry for each pair of tokens that occurred together; shape (entries,)."""

    student: NDArray[np.int64]  # ascending
    teacher: NDArray[np.int64]
    links: NDArray[np.float64]


def align(pairs: TokenPairs, teacher_size: int, scratch: Path, rounds: int = ROUNDS) -> Alignment:
    """Align tokens with the expectation-maximisation of IBM model 1: each student token has one link, shared out.

    Needs disk for 4 bytes a token and 4 bytes a cell (a student token and a teacher token of one sentence pair):
    some 4 GB for a million pairs of 30 tokens a side, in temporary files in `scratch`, deleted at the end.

    `pairs` are (student ids of the target side, teacher ids of the source side) of each sentence pair, read once;
    `teacher_size` is the size of the teacher's vocabulary.
    """
    with TemporaryDirectory(dir=scratch) as folder:
        sentence_pairs = _SentencePairs(Path(folder), pairs, teacher_size)
        student, teacher = sentence_pairs.codes // teacher_size, sentence_pairs.codes % teacher_size
        # P(student token | teacher token)
        probability, links = np.ones(len(student), np.float32), np.zeros(len(student))
        for _ in range(rounds):
            links = np.zeros(len(student))
            for entries, rows in sentence_pairs.cells():
                known = entries >= 0  # forgotten token pairs have no probability
                shares = _shares(np.where(known, probability[entries], 0), rows)
                links += np.bincount(entries[known], weights=shares[known], minlength=len(links))
            probability = _shares(links, teacher).astype(np.float32)
    return Alignment(student=student, teacher=teacher, links=links)


def _shares(weights: NDArray[Any], group: NDArray[np.int64]) -> NDArray[Any]:
    totals = np.bincount(group, weights=weights)[group]
    shares: NDArray[Any] = np.divide(weights, totals, out=np.zeros_like(weights), where=totals > 0)
    return shares


class _SentencePairs:
    """Sentence pairs on disk, and the table of the token pairs that occur in them.

    A token pair is one number, its code: student id * teacher_size + teacher id. A cell is a student token and a
    teacher token of one sentence pair; its entry is the place of their code in `codes`, -1 if that was forgotten.
    """

    def __init__(self, folder: Path, pairs: TokenPairs, teacher_size: int) -> None:
        # Codes of all token pairs that are kept, ascending, and their counts.
        self.codes, self._counts = np.empty(0, np.int64), np.empty(0, np.int64)
        self._teacher_size = teacher_size
        self._ids_file, self._cells_file = folder / "ids", folder / "cells"
        # Of each batch: how many student and teacher ids each pair has, shape (pairs, 2).
        self._lengths: list[NDArray[np.int64]] = []
        usable = (p for p in pairs if p[0] and p[1] and max(map(len, p)) <= _LONGEST)
        with self._ids_file.open("wb") as file:
            while batch := list(islice(usable, _BATCH_PAIRS)):
                self._lengths.append(np.array([[len(student), len(teacher)] for student, teacher in batch]))
                for side in (0, 1):
                    np.fromiter((i for pair in batch for i in pair[side]), np.int32).tofile(file)
        self._count_codes()
        with self._cells_file.open("wb") as file:
            for codes in self._cell_codes():
                entries = np.searchsorted(self.codes, codes)
                entries[entries == len(self.codes)] = 0
                np.where(self.codes[entries] == codes, entries, -1).astype(np.int32).tofile(file)

    def cells(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        """Yield the entry of each cell of a batch, and the number of its student token within the batch."""
        with self._cells_file.open("rb") as file:
            for lengths in self._lengths:
                rows, _ = _places(lengths)
                yield np.fromfile(file, np.int32, len(rows)), rows

    def _cell_codes(self) -> Iterator[NDArray[np.int64]]:
        with self._ids_file.open("rb") as file:
            for lengths in self._lengths:
                student, teacher = (np.fromfile(file, np.int32, int(count)) for count in lengths.sum(axis=0))
                rows, columns = _places(lengths)
                yield student[rows].astype(np.int64) * self._teacher_size + teacher[columns]

    def _count_codes(self) -> None:
        """Collect the token pairs, and forget the least associated where there are too many (lossy counting)."""
        waiting: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        for codes in self._cell_codes():
            waiting.append(np.unique(codes, return_counts=True))
            if sum(len(distinct) for distinct, _ in waiting) > _MOST_CODES // 4:
                self._add_counts(waiting)
                waiting = []
        self._add_counts(waiting)

    def _add_counts(self, waiting: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> None:
        codes = np.concatenate([self.codes, *(codes for codes, _ in waiting)])
        counts = np.concatenate([self._counts, *(counts for _, counts in waiting)])
        self.codes, places = np.unique(codes, return_inverse=True)
        self._counts = np.bincount(places, weights=counts, minlength=len(self.codes)).astype(np.int64)
        if len(self.codes) <= _MOST_CODES:
            return
        sides = self.codes // self._teacher_size, self.codes % self._teacher_size
        student_count, teacher_count = (np.bincount(ids, weights=self._counts)[ids] for ids in sides)
        dice = self._counts / (student_count + teacher_count)
        kept = np.sort(np.argpartition(-dice, _MOST_CODES // 2)[: _MOST_CODES // 2])
        self.codes, self._counts = self.codes[kept], self._counts[kept]


def _places(lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return row and column of each cell of a batch: numbers of its student and its teacher token within the batch.

    For example, a pair of 2 student and 3 teacher tokens and one of 1 and 2, lengths [[2, 3], [1, 2]], have
    2 * 3 + 1 * 2 cells:

        rows     0 0 0 1 1 1   2 2
        columns  0 1 2 0 1 2   3 4
    """
    cells = lengths.prod(axis=1)
    pair = np.repeat(np.arange(len(lengths)), cells)
    within_pair = np.arange(cells.sum()) - np.repeat(np.cumsum(cells) - cells, cells)
    before = np.cumsum(lengths, axis=0) - lengths
    width = lengths[pair, 1]
    return within_pair // width + before[pair, 0], within_pair % width + before[pair, 1]


def aligned_rows(
    alignment: Alignment, teacher_rows: AnyRows, student_ids: NDArray[np.int64], least_links: float = 1.0
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return means of the teacher's rows, weighted by expected links, for those of the ids that have enough of them.

    They are the student ids that got a row, ascending, shape (n,), and the rows, float32, shape (n, hidden).
    """
    from scipy.sparse import csr_array

    use = np.isin(alignment.student, student_ids)
    student, teacher, links = alignment.student[use], alignment.teacher[use], alignment.links[use]
    ids, row = np.unique(student, return_inverse=True)
    totals = np.bincount(row, weights=links, minlength=len(ids))
    supported = totals >= least_links
    share = links / np.where(totals > 0, totals, 1)[row]
    matrix = csr_array((share, (row, teacher)), shape=(len(ids), len(teacher_rows)))[np.flatnonzero(supported)]
    rows = np.empty((matrix.shape[0], teacher_rows.shape[1]), np.float32)
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = matrix[start : start + _BLOCK_ROWS]
        used, columns = np.unique(block.indices, return_inverse=True)
        compact = csr_array((block.data, columns, block.indptr), shape=(block.shape[0], len(used)))
        rows[start : start + _BLOCK_ROWS] = compact @ teacher_rows[used.astype(np.int64)]
    return ids[supported], rows
