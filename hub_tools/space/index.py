"""The nearest vectors: exact for small corpora, clusters (IVF) above; float32, int8 or one bit a number. By faiss."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from hub_tools.models.encoder import unit
from hub_tools.space.model import Vectors

Precision = Literal["float32", "int8", "binary"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# Bits are compared exactly at any size: a million are read in the time of 30,000 vectors.
EXACT = 50_000
# Share of the clusters that a query looks into; benchmarks/space.py measures what it finds.
_PROBED = 8
_RESCORED = 10
# Ending of files that are being written.
PARTIAL = ".partial"


@dataclass(frozen=True, kw_only=True)
class Index:
    """Vectors that can be searched.

    Attributes:
        precision: how they are stored.
        rows: how many.
        dimension: numbers of a vector.
        faiss: what faiss made of them.
    """

    precision: Precision
    rows: int
    dimension: int
    faiss: Any

    @property
    def exact(self) -> bool:
        """Whether every vector is looked at."""
        return self.precision == "binary" or self.rows <= EXACT

    @property
    def bytes(self) -> int:
        """Memory of the vectors."""
        bits = {"float32": 32, "int8": 8, "binary": 1}[self.precision]
        return self.rows * self.dimension * bits // 8

    def search(self, query: Vectors, top: int) -> list[tuple[int, float]]:
        """The nearest rows with their cosines (of what is stored), best first.

        Args:
            query: a unit vector, shape (dim,), with at least as many numbers as the index.
            top: how many.
        """
        wanted = unit(query[None, : self.dimension])
        top = min(top, self.rows)
        if self.precision == "binary":
            return self._search_bits(wanted, top)
        scores, rows = self.faiss.search(wanted, top)
        return [(int(row), float(score)) for row, score in zip(rows[0], scores[0], strict=True) if row >= 0]

    def _search_bits(self, wanted: Vectors, top: int) -> list[tuple[int, float]]:
        """By differing bits first; the best are ranked by the query's numbers against their signs."""
        _, rows = self.faiss.search(np.packbits(wanted > 0, axis=1), min(top * _RESCORED, self.rows))
        found = [int(row) for row in rows[0]]
        bits = np.stack([self.faiss.reconstruct(row) for row in found])
        signs = np.unpackbits(bits, axis=1, count=self.dimension).astype(np.float32) * 2 - 1
        scores = signs @ wanted[0] / np.sqrt(self.dimension)
        return [(found[i], float(scores[i])) for i in np.argsort(-scores, kind="stable")[:top]]


def own_partial(file: Path) -> Path:
    """Where this visitor's thread writes a file before it gets its name: another may be writing the same."""
    return file.with_name(f"{file.name}.{threading.get_ident()}{PARTIAL}")


def build(vectors: Vectors, dimension: int, precision: Precision, file: Path) -> Index:
    """Make an index of the first numbers of vectors and keep it in a file.

    Args:
        vectors: unit vectors, shape (rows, dim).
        dimension: how many numbers of each are kept (Matryoshka); a multiple of 8.
        precision: how they are stored.
        file: where; written whole or not at all.
    """
    faiss = _faiss()
    short = unit(np.asarray(vectors[:, :dimension], dtype=np.float32))
    if precision == "binary":
        made = faiss.IndexBinaryFlat(dimension)
        made.add(np.packbits(short > 0, axis=1))
    else:
        made = faiss.index_factory(dimension, _recipe(len(short), precision), faiss.METRIC_INNER_PRODUCT)
        if hasattr(made, "cp"):
            made.cp.min_points_per_centroid, made.cp.max_points_per_centroid = 1, 64
        made.train(short)
        made.add(short)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = own_partial(file)
    (faiss.write_index_binary if precision == "binary" else faiss.write_index)(made, str(partial))
    partial.replace(file)
    return read(file, precision)


def read(file: Path, precision: Precision) -> Index:
    """An index from its file, mapped into memory where faiss can."""
    faiss = _faiss()
    found = faiss.read_index_binary(str(file)) if precision == "binary" else _read_mapped(faiss, file)
    if hasattr(found, "nprobe") and precision != "binary":
        found.nprobe = max(1, found.nlist // _PROBED)
    return Index(precision=precision, rows=int(found.ntotal), dimension=int(found.d), faiss=found)


def _read_mapped(faiss: Any, file: Path) -> Any:
    return faiss.read_index(str(file), faiss.IO_FLAG_MMAP)


def _recipe(rows: int, precision: Precision) -> str:
    """In faiss' own words."""
    stored = {"float32": "Flat", "int8": "SQ8"}[precision]
    return stored if rows <= EXACT else f"IVF{max(1, int(2 * rows**0.5))},{stored}"


def _faiss() -> Any:
    import faiss

    # Searches run side by side in the page's threads; each with threads of its own would only disturb the others.
    faiss.omp_set_num_threads(1)
    return faiss
