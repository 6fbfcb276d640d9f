"""Sentences against each other, and a corpus on a map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hub_tools.space.limits import SENTENCE, SENTENCES, Deadline, RefusedError, check_text
from hub_tools.space.model import Model, Vectors

_FEWEST = 2  # one sentence has nothing to be compared with


def check_sentences(sentences: list[str]) -> list[str]:
    """At least two sentences, within the limits; empty ones are left out.

    Raises:
        RefusedError: too few, too many, or one is too long.
    """
    kept = [check_text(" ".join(s.split()), SENTENCE) for s in sentences if s.strip()]
    if not _FEWEST <= len(kept) <= SENTENCES:
        raise RefusedError("error_sentences", number=len(kept), most=SENTENCES)
    return kept


def cosines(model: Model, sentences: list[str], deadline: Deadline) -> list[list[float]]:
    """Cosines of all pairs, shape (sentences, sentences)."""
    vectors = model.encode(sentences, "text", deadline)
    return [[round(float(c), 4) for c in row] for row in vectors @ vectors.T]


def project(vectors: Vectors) -> NDArray[np.float64]:
    """The two directions in which vectors differ most (principal components), scaled to -1..1, shape (rows, 2)."""
    centred = np.asarray(vectors, dtype=np.float64) - np.mean(vectors, axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    flat = np.zeros((len(centred), 2))
    found = centred @ directions[:2].T
    flat[:, : found.shape[1]] = found
    return flat / max(float(np.abs(flat).max()), 1e-12)


def turn_towards(flat: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """A map turned and mirrored so that it lies as near to another of the same rows as it can (Procrustes)."""
    left, _, right = np.linalg.svd(flat.T @ other)
    turned: NDArray[np.float64] = flat @ (left @ right)
    return turned
