"""New rows from tokens that occur in the same contexts and that teacher and student both have.

The line of FOCUS (Dobler and de Melo 2023) and OFA (Liu et al. 2024): vectors of the student's tokens are learned on
text in the target language, and a new row is the mean of the rows of the nearest tokens that are shared. The vectors
are a truncated SVD of positive pointwise mutual information (Levy and Goldberg 2014), and neighbours are looked up
block by block, so no dense matrix of vocabulary by vocabulary is ever held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hub_tools.cloning.aligned_init import compose_rare
from hub_tools.cloning.context import InitContext, Rows
from hub_tools.core.logging import log
from hub_tools.models.encoder import unit
from hub_tools.tokenization.token_map import Match

WINDOW, DIMENSIONS, NEAREST = 5, 200, 10
# Share of the neighbours' rows in a new row; the rest is the mean of its pieces.
FOCUS_SHARE = 0.5
# A token that occurs less often than this in the text has no vector worth the name.
LEAST_COUNT = 5
_SHARPNESS = 10.0
_BATCH = 16384
# Cosines that are held at once; finding the highest takes some 12 bytes for each.
_BLOCK_CELLS = 1 << 24


def mix_focus(rows: Rows, context: InitContext) -> int:
    """Improve the new tokens' rows, in place, with those of their neighbours; return how many have some."""
    log.debug("  learning which tokens occur in the same contexts")
    texts = context.texts()
    vectors, counts = token_vectors(context.student_spec.load(), texts, len(rows))
    known = np.flatnonzero(counts >= LEAST_COUNT)
    shared = known[context.token_map.kinds[known] == Match.EXACT]
    new = np.intersect1d(context.new_ids, known)
    if len(shared) == 0:
        return 0
    for block, neighbours, weights in nearest(vectors, new, shared):
        neighbour_rows = np.einsum("nk,nkh->nh", weights, rows[neighbours])
        rows[block] = (1 - FOCUS_SHARE) * rows[block] + FOCUS_SHARE * neighbour_rows
    compose_rare(rows, context.student_spec, np.setdiff1d(context.new_ids, new))
    return len(new)


def token_vectors(
    tokenizer: Tokenizer, texts: Iterable[str], size: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return vectors of the tokens of a vocabulary from the company they keep in texts, and how often each occurs.

    Unit vectors, float32, shape (size, DIMENSIONS or fewer), null for tokens that do not occur; int64, shape (size,).
    """
    from scipy.sparse.linalg import svds

    pairs = _count_pairs(tokenizer, texts, size)
    counts = np.asarray(pairs.sum(axis=1)).ravel()
    dimensions = min(DIMENSIONS, size - 2)
    mutual = _mutual_information(pairs, counts) if pairs.nnz else pairs
    if not mutual.nnz:  # no text, or none in which anything is seen with anything
        return np.zeros((size, dimensions), np.float32), np.zeros(size, np.int64)
    # With a start chosen at random the result would be another one each time.
    left, values, _ = svds(mutual, k=dimensions, v0=np.random.default_rng(0).standard_normal(size))
    vectors = unit((left * np.sqrt(values)).astype(np.float32))
    vectors[counts == 0] = 0  # the decomposition leaves rounding errors
    # Each occurrence has up to 2 * WINDOW neighbours.
    return vectors, (counts / (2 * WINDOW)).round().astype(np.int64)


def _count_pairs(tokenizer: Tokenizer, texts: Iterable[str], size: int) -> Any:
    """Count how often two tokens are at most WINDOW tokens from each other, sparse, shape (size, size)."""
    from scipy.sparse import csr_array

    total, iterator = csr_array((size, size), dtype=np.float32), iter(texts)
    while batch := list(islice(iterator, _BATCH)):
        encoded = [e.ids for e in tokenizer.encode_batch_fast(batch, add_special_tokens=False)]
        ids = np.fromiter(chain.from_iterable(encoded), np.int64)
        text = np.repeat(np.arange(len(encoded)), list(map(len, encoded)))
        for distance in range(1, WINDOW + 1):
            same_text = text[distance:] == text[:-distance]
            a, b = ids[distance:][same_text], ids[:-distance][same_text]
            near = csr_array((np.ones(len(a), np.float32), (a, b)), shape=(size, size))
            total = total + near + near.T
    return total


def _mutual_information(pairs: Any, counts: NDArray[np.float64]) -> Any:
    """Return positive pointwise mutual information, contexts smoothed by the power 0.75, sparse."""
    from scipy.sparse import coo_array

    entries = coo_array(pairs)
    smooth = counts**0.75
    expected = counts[entries.row] * (smooth / smooth.sum())[entries.col]
    values = np.log(entries.data / expected)
    positive = values > 0
    places = entries.row[positive], entries.col[positive]
    return coo_array((values[positive], places), shape=entries.shape).tocsr()


def nearest(
    vectors: NDArray[np.float32], ids: NDArray[np.int64], candidates: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]:
    """Find the nearest tokens of `ids` among `candidates` by unit vectors, shape (V, dimensions).

    Yields blocks of `ids`, shape (n,), the ids of their neighbours, shape (n, k), and weights that sum to 1, (n, k).
    """
    count, candidate_vectors = min(NEAREST, len(candidates)), vectors[candidates].T
    size = max(1, _BLOCK_CELLS // len(candidates))
    for start in range(0, len(ids), size):
        block = ids[start : start + size]
        cosines = vectors[block] @ candidate_vectors
        best = np.argpartition(cosines, -count, axis=1)[:, -count:]
        best_cosines = np.take_along_axis(cosines, best, axis=1)
        weights = np.exp(_SHARPNESS * (best_cosines - best_cosines.max(axis=1, keepdims=True)))
        yield block, candidates[best], weights / weights.sum(axis=1, keepdims=True)
