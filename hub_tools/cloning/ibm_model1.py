"""New rows from parallel text: which teacher tokens a student token is translated by.

IBM model 1 (Brown et al. 1993) between the student's tokens of the target side and the teacher's tokens of the source
side, in one direction or in both (Liang et al. 2006). The idea of rows from translations is trans-tokenization's (Remy
et al. 2024, arXiv 2408.04303).

Token ids and cells lie in temporary files and the table of token pairs has a limit, so memory does not grow with the
text.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

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

Links = Literal["forward", "product", "mean"]
TokenPairs = Iterable[tuple[list[int], list[int]]]


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


class _Batch(NamedTuple):
    """Cells of some sentence pairs, row by row: a row for each student token, a column for each teacher token.

    Attributes:
        cells: place of each cell's token pair in the table, -1 for a forgotten one, int32, shape (cells,).
        rows: number of the student token of each cell within the batch, shape (cells,).
        columns: number of the teacher token of each cell within the batch, shape (cells,).
        teacher: teacher id of each column.
    """

    cells: NDArray[np.int32]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    teacher: NDArray[np.int64]


def align(
    pairs: TokenPairs,
    teacher_size: int,
    rounds: int = ROUNDS,
    *,
    links: Links = "forward",
    word_starts: NDArray[np.bool_] | None = None,
) -> Alignment:
    """Align tokens with the expectation-maximisation of IBM model 1.

    Args:
        pairs: (student ids of the target side, teacher ids of the source side) of each sentence pair; read once.
        teacher_size: size of the teacher's vocabulary.
        rounds: EM rounds.
        links: how a link counts: `forward`, each student token has one link, shared among the teacher's tokens;
            `product` of that and the other direction, so that both must agree; `mean` of the two.
        word_starts: which teacher ids begin a word, bool, shape (teacher_size,): a link to a piece of a word is shared
            among all pieces of it, so that a row stands for whole words. None: pieces are taken for themselves.
    """
    with tempfile.TemporaryDirectory() as folder:
        corpus = _Corpus(Path(folder), pairs, teacher_size)
        codes = corpus.codes
        student, teacher = codes // teacher_size, codes % teacher_size
        forward = backward = np.ones(len(codes), np.float32)
        counted = np.zeros(len(codes))
        for number in range(rounds):
            last = number == rounds - 1
            to_student, to_teacher = np.zeros(len(codes)), np.zeros(len(codes))
            for batch in corpus:
                given_teacher = _normalized(forward, batch.cells, batch.rows)
                _add(to_student, batch.cells, given_teacher)
                weight = given_teacher
                if links != "forward":
                    given_student = _normalized(backward, batch.cells, batch.columns)
                    _add(to_teacher, batch.cells, given_student)
                    agreed = given_teacher * given_student
                    weight = agreed if links == "product" else (given_teacher + given_student) / np.float32(2)
                if last:
                    _add(counted, batch.cells, weight if word_starts is None else _shared(weight, batch, word_starts))
            # P(student token | teacher token), and the other way round.
            forward, backward = _shares(to_student, teacher), _shares(to_teacher, student)
    return Alignment(student=student, teacher=teacher, links=counted)


def _normalized(
    probability: NDArray[np.float32], cells: NDArray[np.int32], group: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Probabilities of cells, made to sum to 1 within each group."""
    weight = np.where(cells >= 0, probability[cells], 0)
    totals = np.bincount(group, weights=weight)[group]
    found: NDArray[np.float32] = np.divide(weight, totals, out=np.zeros_like(weight), where=totals > 0)
    return found


def _add(totals: NDArray[np.float64], cells: NDArray[np.int32], weight: NDArray[np.float32]) -> None:
    known = cells >= 0
    totals += np.bincount(cells[known], weights=weight[known], minlength=len(totals))


def _shares(links: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float32]:
    totals = np.bincount(group, weights=links)[group] if len(group) else links
    found: NDArray[np.float32] = np.divide(links, totals, out=np.zeros_like(links), where=totals > 0).astype(np.float32)
    return found


def _shared(weight: NDArray[np.float32], batch: _Batch, word_starts: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Links to the pieces of one word, each as the mean of them."""
    words = np.cumsum(word_starts[batch.teacher])[batch.columns]
    begins = np.ones(len(words), bool)
    begins[1:] = (np.diff(words) != 0) | (np.diff(batch.rows) != 0)
    group = np.cumsum(begins) - 1
    found: NDArray[np.float32] = (np.bincount(group, weights=weight) / np.bincount(group))[group].astype(np.float32)
    return found


class _Corpus:
    """Sentence pairs on disk, and the table of the token pairs that meet in them."""

    def __init__(self, folder: Path, pairs: TokenPairs, teacher_size: int) -> None:
        self.ids, self.cells = folder / "ids", folder / "cells"
        self.lengths: list[NDArray[np.int64]] = []
        self.codes, self._counts = np.empty(0, np.int64), np.empty(0, np.int64)
        usable = (p for p in pairs if p[0] and p[1] and max(map(len, p)) <= _LONGEST)
        with self.ids.open("wb") as ids:
            while batch := list(islice(usable, _BATCH_PAIRS)):
                self.lengths.append(np.array([[len(student), len(teacher)] for student, teacher in batch]))
                for side in (0, 1):
                    np.fromiter((i for pair in batch for i in pair[side]), np.int32).tofile(ids)
        self._count(teacher_size)
        with self.cells.open("wb") as file:
            for codes in self._all_codes(teacher_size):
                place = np.searchsorted(self.codes, codes)
                place[place == len(self.codes)] = 0
                np.where(self.codes[place] == codes, place, -1).astype(np.int32).tofile(file)

    def __iter__(self) -> Iterator[_Batch]:
        with self.cells.open("rb") as file:
            for lengths, (_, teacher) in zip(self.lengths, self._id_batches(), strict=True):
                rows, columns = _places(lengths)
                yield _Batch(np.fromfile(file, np.int32, len(rows)), rows, columns, teacher.astype(np.int64))

    def _id_batches(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        with self.ids.open("rb") as file:
            for lengths in self.lengths:
                student, teacher = (np.fromfile(file, np.int32, int(count)) for count in lengths.sum(axis=0))
                yield student, teacher

    def _all_codes(self, teacher_size: int) -> Iterator[NDArray[np.int64]]:
        for lengths, (student, teacher) in zip(self.lengths, self._id_batches(), strict=True):
            rows, columns = _places(lengths)
            yield student[rows].astype(np.int64) * teacher_size + teacher[columns]

    def _count(self, teacher_size: int) -> None:
        """Collect the token pairs, and forget the least associated where there are too many (lossy counting)."""
        waiting: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        for codes in self._all_codes(teacher_size):
            waiting.append(np.unique(codes, return_counts=True))
            if sum(len(found) for found, _ in waiting) > _MOST_CODES // 4:
                self._merge(waiting, teacher_size)
                waiting = []
        self._merge(waiting, teacher_size)

    def _merge(self, waiting: list[tuple[NDArray[np.int64], NDArray[np.int64]]], teacher_size: int) -> None:
        codes = np.concatenate([self.codes, *(found for found, _ in waiting)])
        counts = np.concatenate([self._counts, *(counts for _, counts in waiting)])
        self.codes, place = np.unique(codes, return_inverse=True)
        self._counts = np.bincount(place, weights=counts, minlength=len(self.codes)).astype(np.int64)
        if len(self.codes) <= _MOST_CODES:
            return
        student, teacher = self.codes // teacher_size, self.codes % teacher_size
        alone = [np.bincount(side, weights=self._counts)[side] for side in (student, teacher)]
        dice = self._counts / (alone[0] + alone[1])
        kept = np.sort(np.argpartition(-dice, _MOST_CODES // 2)[: _MOST_CODES // 2])
        self.codes, self._counts = self.codes[kept], self._counts[kept]


def _places(lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of each cell of a batch; lengths: of student and teacher ids, shape (pairs, 2)."""
    cells = lengths.prod(axis=1)
    pair = np.repeat(np.arange(len(lengths)), cells)
    within = np.arange(cells.sum()) - np.repeat(np.cumsum(cells) - cells, cells)
    before = np.cumsum(lengths, axis=0) - lengths
    width = lengths[pair, 1]
    return within // width + before[pair, 0], within % width + before[pair, 1]


def aligned_rows(
    alignment: Alignment, teacher_rows: AnyRows, wanted: NDArray[np.int64], least_links: float = 1.0
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
    supported = totals >= least_links
    share = links / np.where(totals > 0, totals, 1)[row]
    matrix = csr_array((share, (row, teacher)), shape=(len(ids), len(teacher_rows)))[np.flatnonzero(supported)]
    found = np.empty((matrix.shape[0], teacher_rows.shape[1]), np.float32)
    for start in range(0, len(found), _BLOCK_ROWS):
        block = matrix[start : start + _BLOCK_ROWS]
        used, place = np.unique(block.indices, return_inverse=True)
        small = csr_array((block.data, place, block.indptr), shape=(block.shape[0], len(used)))
        found[start : start + _BLOCK_ROWS] = small @ teacher_rows[used.astype(np.int64)]
    return ids[supported], found
