"""Vectors as they are stored (float32, int8 or one bit a number) and the nearest of them, by looking at every one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hub_tools.models.encoder import unit
from hub_tools.space.model import Vectors

Precision = Literal["float32", "int8", "binary"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# Rows that are converted at a time: few enough to stay in the processor's cache.
_ROWS = 1024
# Of binary vectors, how many times the results are ranked again by the query's own numbers.
_RESCORED = 10


@dataclass(frozen=True, kw_only=True)
class Index:
    """Vectors that can be searched.

    Attributes:
        precision: how they are stored.
        dimension: numbers of a vector.
        stored: shape (rows, dimension), float32 or int8; for binary (rows, dimension / 8), uint8, eight numbers a byte.
        lengths: what float32 rows are divided by, shape (rows,): the first numbers of a unit vector are shorter than 1.
        ranges: least and greatest value of each number, shape (2, dimension), between which int8 has 256 steps.
    """

    precision: Precision
    dimension: int
    stored: NDArray[Any]
    lengths: Vectors
    ranges: Vectors

    @property
    def bytes(self) -> int:
        """Memory of the vectors."""
        return len(self.stored) * self.dimension * {"float32": 32, "int8": 8, "binary": 1}[self.precision] // 8

    def search(self, query: Vectors, top: int) -> list[tuple[int, float]]:
        """Return the nearest rows with their cosines (of what is stored), best first.

        Args:
            query: a unit vector, shape (dim,), with at least as many numbers as the index.
            top: how many.
        """
        query = unit(query[None, : self.dimension])[0]
        top = min(top, len(self.stored))
        if self.precision == "binary":
            return self._search_bits(query, top)
        cosines = self._int8_cosines(query) if self.precision == "int8" else self.stored @ query / self.lengths
        return [(int(row), float(cosines[row])) for row in _largest(cosines, top)]

    def _int8_cosines(self, query: Vectors) -> Vectors:
        """Cosines with the middle of each stored step, shape (rows,).

        A number v stands for start + (v + 128.5) * step. So query . row is (query * step) . v plus a constant:
        with a query of 0.5, start -1 and step 0.01, a stored 27 gives 0.5 * 0.01 * 27 + 0.5 * (-1 + 1.285) = 0.2775.
        """
        start, step = self.ranges[0], (self.ranges[1] - self.ranges[0]) / 255
        constant = query @ (start + np.float32(128.5) * step)
        parts = [chunk.astype(np.float32) @ (query * step) for chunk in _chunks(self.stored)]
        return np.asarray(np.concatenate(parts) + constant, dtype=np.float32)

    def _search_bits(self, query: Vectors, top: int) -> list[tuple[int, float]]:
        """By differing bits first; the best are ranked by the query's numbers against their signs."""
        differing = np.bitwise_count(self.stored ^ np.packbits(query > 0)).sum(axis=1, dtype=np.int32)
        near = _largest(-differing, min(top * _RESCORED, len(self.stored)))
        signs = np.unpackbits(self.stored[near], axis=1, count=self.dimension).astype(np.float32) * 2 - 1
        cosines = signs @ query / np.sqrt(self.dimension)
        return [(int(near[place]), float(cosines[place])) for place in _largest(cosines, top)]


def build_index(vectors: Vectors, dimension: int, precision: Precision) -> Index:
    """Store the first numbers of vectors so that they can be searched.

    float32 refers to `vectors` and copies nothing.

    Args:
        vectors: unit vectors, shape (rows, dim), at least one.
        dimension: how many numbers of each are used (Matryoshka); a multiple of 8.
        precision: how they are stored.
    """
    short = vectors[:, :dimension]
    lengths = np.ones(len(short), dtype=np.float32)
    ranges = np.zeros((2, dimension), dtype=np.float32)
    if precision == "float32":
        stored = short
        lengths = np.maximum(np.sqrt(np.einsum("ij,ij->i", short, short)), 1e-12)
    elif precision == "binary":
        stored = _quantize(short, "ubinary", ranges)
    else:
        bounds = [(chunk.min(axis=0), chunk.max(axis=0)) for chunk in map(unit, _chunks(short))]
        ranges = np.stack([np.min([low for low, _ in bounds], axis=0), np.max([high for _, high in bounds], axis=0)])
        stored = _quantize(short, "int8", ranges)
    return Index(precision=precision, dimension=dimension, stored=stored, lengths=lengths, ranges=ranges)


def _quantize(vectors: Vectors, precision: Literal["int8", "ubinary"], ranges: Vectors) -> NDArray[Any]:
    from sentence_transformers import quantize_embeddings

    parts = [quantize_embeddings(unit(chunk), precision, ranges=ranges) for chunk in _chunks(vectors)]
    return np.concatenate([np.asarray(part) for part in parts])


def _chunks(rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS))


def _largest(values: NDArray[Any], count: int) -> NDArray[np.intp]:
    """Places of the largest values, in order; the first of equal ones comes first."""
    places = np.argpartition(-values, count - 1)[:count]
    ordered: NDArray[np.intp] = places[np.lexsort((places, -values[places]))]
    return ordered
