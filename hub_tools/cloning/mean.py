"""New rows as means of the teacher's rows of a token's pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from hub_tools.cloning.safetensors_io import AnyRows
from hub_tools.tokenization.pretokenization import segment
from hub_tools.tokenization.token_map import Match, TokenMap, flat_map
from hub_tools.tokenization.token_text import surface_of
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

_BLOCK = 4096
# Weight of a piece with probability p: A / (A + p), the smooth inverse frequency of Arora et al. 2017.
_SMOOTH = 1e-3


def subword_mean(
    token_map: TokenMap, teacher_rows: AnyRows, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """Return each student token's row as the mean of its teacher rows, float32, shape (V, ...) (arXiv 2605.29992).

    A token with one teacher token gets the teacher's row bit for bit. `weights`, above 0, say how much each of the
    map's ids counts, shape of `token_map.token_ids`; None: all alike.
    """
    rows = np.empty((len(token_map.lengths), *teacher_rows.shape[1:]), np.float32)
    # Most tokens have one teacher token: a plain copy. Only the others are summed.
    first_ids = token_map.token_ids[token_map.offsets]
    for start in range(0, len(rows), _BLOCK):
        rows[start : start + _BLOCK] = teacher_rows[first_ids[start : start + _BLOCK]]
    composed = np.flatnonzero(token_map.lengths > 1)
    for start in range(0, len(composed), _BLOCK):
        block = composed[start : start + _BLOCK]
        lengths = token_map.lengths[block]
        places, begins = _places(token_map.offsets[block], lengths)
        pieces = teacher_rows[token_map.token_ids[places]]
        totals = lengths.astype(np.float32)
        as_column = (-1, *(1,) * (pieces.ndim - 1))
        if weights is not None:
            pieces *= weights[places].astype(np.float32).reshape(as_column)
            totals = np.add.reduceat(weights[places], begins).astype(np.float32)
        rows[block] = np.add.reduceat(pieces, begins, axis=0) / totals.reshape(as_column)
    return rows


def _places(offsets: NDArray[np.int64], lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of some stretches of a flat list, and where each stretch begins among these places.

    For example, stretches at the offsets 10 and 20 with the lengths 2 and 3 are the places 10 11 20 21 22; among these
    they begin at 0 and 2.
    """
    ends = np.cumsum(lengths)
    begins = ends - lengths
    return np.arange(ends[-1]) + np.repeat(offsets - begins, lengths), begins


def map_bare_text(teacher: TokenizerSpec, student: TokenizerSpec, token_map: TokenMap) -> TokenMap:
    """Return a map in which new tokens are read as bare text, wherever in a word they occur.

    Exact tokens stay as in `token_map`, the map in position, and so do new ones whose text alone is nothing.
    """
    vocab = student.vocab
    texts = [surface_of(student, token)[0] for token in sorted(vocab, key=vocab.__getitem__)]
    unk_id = teacher.vocab.get(teacher.unk_token or "", -1)
    rows = [token_ids.tolist() for token_ids in np.split(token_map.token_ids, token_map.offsets[1:])]
    for student_id, bare in enumerate(segment(teacher.load(), texts)):
        if token_map.kinds[student_id] != Match.EXACT and bare and unk_id not in bare:
            rows[student_id] = bare
    return flat_map(rows, token_map.kinds)


def length_weights(teacher: TokenizerSpec, token_map: TokenMap) -> NDArray[np.float64]:
    """Return the characters of each piece of the map, at least 1, shape of `token_map.token_ids`."""
    vocab = teacher.vocab
    lengths = np.ones(max(vocab.values()) + 1)
    for token, token_id in vocab.items():
        lengths[token_id] = max(1, len(surface_of(teacher, token)[0]))
    weights: NDArray[np.float64] = lengths[token_map.token_ids]
    return weights


def frequency_weights(teacher: TokenizerSpec, token_map: TokenMap, texts: Iterable[str]) -> NDArray[np.float64]:
    """Return how rare each piece of the map is in texts, between 0 and 1, shape of `token_map.token_ids`."""
    counts = Counter(chain.from_iterable(segment(teacher.load(), texts)))
    share = np.array([counts[token_id] for token_id in range(max(teacher.vocab.values()) + 1)])
    share = share / max(share.sum(), 1)
    weights: NDArray[np.float64] = (_SMOOTH / (_SMOOTH + share))[token_map.token_ids]
    return weights
