"""Vectors as they are stored (float32, int8 or one bit a number) and the nearest of them, by looking at every one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hub_tools.models.encoder import unit
from hub_tools.space.model import Vectors

Precision = Literal["float32", "int8", "binary"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
_ROWS = 1024  # converted at a time: few enough to stay in the processor's cache
_RESCORED = 10  # of binary vectors, how many times the results are ranked again by the query's own numbers


@dataclass(frozen=True, kw_only=True)
class Index:
    """Vectors that can be searched.

    A stored number v stands for (offset + step * v) / length. So a cosine is (query * step) . row + query . offset,
    divided by the length: a query of 0.5, a step of 0.01, an offset of 0.285, a length of 1 and a stored 27 give
    0.5 * 0.01 * 27 + 0.5 * 0.285 = 0.2775.
    """

    precision: Precision
    dimension: int  # numbers of a vector
    stored: NDArray[
        Any
    ]  # (rows, dimension), float32 or int8; binary (rows, dimension / 8), uint8, eight numbers a byte
    step: Vectors  # shape (dimension,)
    offset: Vectors  # shape (dimension,)
    lengths: Vectors  # shape (rows,): the first numbers of a unit vector are shorter than 1

    def search(self, query: Vectors, top: int) -> list[tuple[int, float]]:
        """Return the nearest rows with their cosines (of what is stored), best first.

        The query is a unit vector, shape (dim,), with at least as many numbers as the index. Binary vectors are
        compared by differing bits first; the best are ranked by the query's numbers.
        """
        query = unit(query[None, : self.dimension])[0]
        top = min(top, len(self.stored))
        rows, numbers = np.arange(len(self.stored)), self.stored
        if self.precision == "binary":
            differing = np.bitwise_count(self.stored ^ np.packbits(query > 0)).sum(axis=1, dtype=np.int32)
            rows = _largest(-differing, min(top * _RESCORED, len(rows)))
            numbers = np.unpackbits(self.stored[rows], axis=1, count=self.dimension)
        dots = [chunk.astype(np.float32, copy=False) @ (query * self.step) for chunk in _chunks(numbers)]
        cosines = (np.concatenate(dots) + query @ self.offset) / self.lengths[rows]
        return [(int(rows[place]), float(cosines[place])) for place in _largest(cosines, top)]


def build_index(vectors: Vectors, dimension: int, precision: Precision) -> Index:
    """Store the first numbers (Matryoshka; a multiple of 8) of unit vectors, shape (rows, dim), at least one row.

    float32 refers to `vectors` and copies nothing. int8 has 256 steps between the least and the greatest value of each
    number, as sentence-transformers' `quantize_embeddings` makes them.
    """
    short: NDArray[Any] = vectors[:, :dimension]
    step, offset = np.ones(dimension, dtype=np.float32), np.zeros(dimension, dtype=np.float32)
    lengths = np.ones(len(short), dtype=np.float32)
    if precision == "float32":
        stored = short
        lengths = np.maximum(np.sqrt(np.einsum("ij,ij->i", short, short)), 1e-12)
    elif precision == "binary":
        stored = np.packbits(short > 0, axis=1)
        step, offset, lengths = 2 * step, offset - 1, lengths * np.float32(np.sqrt(dimension))
    else:
        from sentence_transformers import quantize_embeddings

        short = unit(short)
        ranges = np.stack([short.min(axis=0), short.max(axis=0)])
        stored = np.concatenate([np.asarray(quantize_embeddings(c, "int8", ranges=ranges)) for c in _chunks(short)])
        step = (ranges[1] - ranges[0]) / 255
        offset = ranges[0] + np.float32(128.5) * step  # the middle of each step
    return Index(precision=precision, dimension=dimension, stored=stored, step=step, offset=offset, lengths=lengths)


def _chunks(rows: NDArray[Any]) -> list[NDArray[Any]]:
    return [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]


def _largest(values: NDArray[Any], count: int) -> NDArray[np.intp]:
    """Places of the largest values, in order; the first of equal ones comes first."""
    places = np.argpartition(-values, count - 1)[:count]
    ordered: NDArray[np.intp] = places[np.lexsort((places, -values[places]))]
    return ordered
