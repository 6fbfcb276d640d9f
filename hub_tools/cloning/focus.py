"""New rows from tokens that stand in the same contexts and that teacher and student both have.

The line of FOCUS (Dobler and de Melo 2023) and OFA (Liu et al. 2024): vectors of the student's tokens are learned on
text in the target language, and a new row is the mean of the rows of the nearest tokens that are shared. The vectors
are a truncated SVD of positive pointwise mutual information (Levy and Goldberg 2014), and neighbours are looked up
block by block, so no dense matrix of vocabulary by vocabulary is ever held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hub_tools.cloning.aligned_init import compose_rare
from hub_tools.core.logging import log
from hub_tools.tokenization.token_map import Match

if TYPE_CHECKING:
    from hub_tools.cloning.context import InitContext, Rows

WINDOW, DIMENSIONS, NEAREST = 5, 200, 10
# Share of the neighbours' rows in a new row; the rest is the mean of its pieces.
FOCUS_SHARE = 0.5
# A token that occurs less often than this in the text has no vector worth the name.
LEAST_COUNT = 5
_SHARPNESS = 10.0
_NOTHING = 1e-6
_BATCH = 16384
# Cosines that are held at once; finding the highest takes some 12 bytes for each.
_BLOCK_CELLS = 1 << 24


def mix_focus(rows: Rows, given: InitContext) -> int:
    """Improve the new tokens' rows, in place, with those of their neighbours; returns how many have some."""
    log.info("  learning which tokens stand in the same contexts")
    texts = given.corpus.all_texts(given.target, given.target)
    vectors, counts = token_vectors(given.ours.load(), texts, len(rows))
    known = np.flatnonzero(counts >= LEAST_COUNT)
    shared = known[given.token_map.kinds[known] == Match.EXACT]
    wanted = np.intersect1d(given.new, known)
    if len(shared) == 0:
        return 0
    for block, ids, weights in nearest(vectors, wanted, shared):
        found = np.einsum("nk,nkh->nh", weights, rows[ids])
        rows[block] = (1 - FOCUS_SHARE) * rows[block] + FOCUS_SHARE * found
    compose_rare(rows, given.ours, np.setdiff1d(given.new, wanted))
    return len(wanted)


def token_vectors(
    tokenizer: Tokenizer, texts: Iterable[str], size: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Vectors of tokens from the company they keep.

    Args:
        tokenizer: the student's.
        texts: text in the target language.
        size: of the vocabulary.

    Returns:
        Unit vectors, float32, shape (size, DIMENSIONS or fewer), null for tokens that do not occur; and how often each
        token occurs, int64, shape (size,).
    """
    from scipy.sparse.linalg import svds

    pairs = _pairs_near(tokenizer, texts, size)
    counts = np.asarray(pairs.sum(axis=1)).ravel()
    dimensions = min(DIMENSIONS, size - 2)
    mutual = _mutual_information(pairs, counts) if pairs.nnz else pairs
    if not mutual.nnz:  # no text, or none in which anything is seen with anything
        return np.zeros((size, dimensions), np.float32), np.zeros(size, np.int64)
    # Without a start of its own the result would be another one each time.
    left, values, _ = svds(mutual, k=dimensions, v0=np.random.default_rng(0).standard_normal(size))
    vectors = (left * np.sqrt(values)).astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > _NOTHING)
    # Each occurrence has up to 2 * WINDOW neighbours.
    return unit, (counts / (2 * WINDOW)).round().astype(np.int64)


def _pairs_near(tokenizer: Tokenizer, texts: Iterable[str], size: int) -> Any:
    """How often two tokens stand at most WINDOW tokens from each other, sparse, shape (size, size)."""
    from scipy.sparse import csr_array

    total, iterator = csr_array((size, size), dtype=np.float32), iter(texts)
    while batch := list(islice(iterator, _BATCH)):
        encoded = [e.ids for e in tokenizer.encode_batch_fast(batch, add_special_tokens=False)]
        ids = np.fromiter((i for own in encoded for i in own), np.int64)
        text = np.repeat(np.arange(len(encoded)), [len(own) for own in encoded])
        for distance in range(1, WINDOW + 1):
            together = text[distance:] == text[:-distance]
            a, b = ids[distance:][together], ids[:-distance][together]
            near = csr_array((np.ones(len(a), np.float32), (a, b)), shape=(size, size))
            total = total + near + near.T
    return total


def _mutual_information(pairs: Any, counts: NDArray[np.float64]) -> Any:
    """Positive pointwise mutual information, contexts smoothed by the power 0.75, sparse."""
    from scipy.sparse import coo_array

    found = coo_array(pairs)
    smooth = counts**0.75
    expected = counts[found.row] * (smooth / smooth.sum())[found.col]
    value = np.log(found.data / expected)
    positive = value > 0
    return coo_array((value[positive], (found.row[positive], found.col[positive])), shape=found.shape).tocsr()


def nearest(
    vectors: NDArray[np.float32], wanted: NDArray[np.int64], among: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]:
    """The nearest tokens of some tokens, block by block.

    Args:
        vectors: unit vectors, shape (V, dimensions).
        wanted: ids whose neighbours are looked for.
        among: ids that may be neighbours.

    Yields:
        A block of `wanted`, shape (n,), the ids of their neighbours, shape (n, k), and weights that sum to 1, (n, k).
    """
    count, others = min(NEAREST, len(among)), vectors[among].T
    size = max(1, _BLOCK_CELLS // len(among))
    for start in range(0, len(wanted), size):
        block = wanted[start : start + size]
        cosines = vectors[block] @ others
        best = np.argpartition(cosines, -count, axis=1)[:, -count:]
        chosen = np.take_along_axis(cosines, best, axis=1)
        weights = np.exp(_SHARPNESS * (chosen - chosen.max(axis=1, keepdims=True)))
        yield block, among[best], weights / weights.sum(axis=1, keepdims=True)
