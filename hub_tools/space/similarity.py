"""Sentences against each other, and documents on a map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hub_tools.space.limits import SENTENCE, SENTENCES, Deadline, RefusedError, check_text
from hub_tools.space.model import Model, Vectors

_FEWEST = 2  # one sentence has nothing to be compared with


def check_sentences(sentences: list[str]) -> list[str]:
    """Return at least two sentences, within the limits; empty ones are left out.

    Raises:
        RefusedError: too few, too many, or one is too long.
    """
    kept = [check_text(" ".join(sentence.split()), SENTENCE) for sentence in sentences if sentence.strip()]
    if not _FEWEST <= len(kept) <= SENTENCES:
        raise RefusedError("error_sentences", number=len(kept), most=SENTENCES)
    return kept


def cosines(model: Model, sentences: list[str], deadline: Deadline) -> list[list[float]]:
    """Return the cosines of all pairs, shape (sentences, sentences)."""
    vectors = model.encode(sentences, "text", deadline)
    return [[round(float(cosine), 4) for cosine in row] for row in vectors @ vectors.T]


def project(vectors: Vectors) -> NDArray[np.float64]:
    """Project vectors on the two directions in which they differ most (principal components), from -1 to 1.

    The shape is (rows, 2); three vectors on a line become [[-1, 0], [0, 0], [1, 0]] or its mirror.
    """
    centred = np.asarray(vectors, dtype=np.float64) - np.mean(vectors, axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(centred), 2))
    components = centred @ directions[:2].T
    points[:, : components.shape[1]] = components
    return points / max(float(np.abs(points).max()), 1e-12)


def turn_towards(points: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn and mirror a map so that it lies as near to another of the same rows as it can (orthogonal Procrustes)."""
    left, _, right = np.linalg.svd(points.T @ other)
    turned: NDArray[np.float64] = points @ (left @ right)
    return turned


def nearest(vectors: Vectors, number: int) -> list[list[int]]:
    """Return for each of some unit vectors the rows of those nearest to it, best first, without itself."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    rows: list[list[int]] = np.argsort(-cosines, axis=1, kind="stable")[:, : min(number, len(vectors) - 1)].tolist()
    return rows
