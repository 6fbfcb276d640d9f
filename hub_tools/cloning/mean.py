"""New rows as means of the teacher's rows of a token's pieces."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from hub_tools.cloning.safetensors_io import AnyRows
from hub_tools.tokenization.token_map import Match, TokenMap, flat_map
from hub_tools.tokenization.token_text import surface_of
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

_BLOCK = 4096
# Weight of a piece with probability p: A / (A + p), the smooth inverse frequency of Arora et al. 2017.
_SMOOTH = 1e-3


def mean_rows(
    token_map: TokenMap, teacher_rows: AnyRows, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """Each student token's row as the mean of its teacher rows (mean composition, arXiv 2605.29992).

    Args:
        token_map: student token -> teacher tokens.
        teacher_rows: float32, shape (teacher vocabulary, ...); a few are asked for at a time.
        weights: how much each of the map's ids counts, above 0, shape of `token_map.ids`; None: all alike.

    Returns:
        float32, shape (V, ...); a token with one teacher token gets the teacher's row bit for bit.
    """
    rows = np.empty((len(token_map.lengths), *teacher_rows.shape[1:]), np.float32)
    # Most tokens have one teacher token: a plain copy. Only the others are summed.
    first = token_map.ids[token_map.offsets]
    for start in range(0, len(rows), _BLOCK):
        rows[start : start + _BLOCK] = teacher_rows[first[start : start + _BLOCK]]
    all_several = np.flatnonzero(token_map.lengths > 1)
    for start in range(0, len(all_several), _BLOCK):
        several = all_several[start : start + _BLOCK]
        lengths = token_map.lengths[several]
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1]) + np.repeat(token_map.offsets[several] - (ends - lengths), lengths)
        found = teacher_rows[token_map.ids[places]]
        totals = lengths.astype(np.float32)
        each = (-1, *(1,) * (found.ndim - 1))
        if weights is not None:
            found *= weights[places].astype(np.float32).reshape(each)
            totals = np.add.reduceat(weights[places], ends - lengths).astype(np.float32)
        rows[several] = np.add.reduceat(found, ends - lengths, axis=0) / totals.reshape(each)
    return rows


def surface_map(theirs: TokenizerSpec, ours: TokenizerSpec, token_map: TokenMap) -> TokenMap:
    """A map in which new tokens are read as bare text, wherever in a word they stand.

    Args:
        theirs: the teacher's tokenizer.
        ours: the student's tokenizer.
        token_map: the map in position; its exact tokens stay, and new ones whose text alone is nothing.
    """
    tokens = sorted(ours.ids.items(), key=lambda item: item[1])
    texts = [surface_of(ours, token)[0] for token, _ in tokens]
    read = theirs.load().encode_batch_fast(texts, add_special_tokens=False)
    unknown = theirs.ids.get(theirs.unknown or "", -1)
    rows, starts = [], token_map.offsets
    for number, encoded in enumerate(read):
        own = token_map.ids[starts[number] : starts[number] + token_map.lengths[number]].tolist()
        usable = encoded.ids and unknown not in encoded.ids and token_map.kinds[number] != Match.EXACT
        rows.append(encoded.ids if usable else own)
    return flat_map(rows, token_map.kinds)


def length_weights(theirs: TokenizerSpec, token_map: TokenMap) -> NDArray[np.float64]:
    """The characters of each piece of the map, at least 1, shape of `token_map.ids`."""
    lengths = np.ones(max(theirs.ids.values()) + 1)
    for token, number in theirs.ids.items():
        lengths[number] = max(1, len(surface_of(theirs, token)[0]))
    found: NDArray[np.float64] = lengths[token_map.ids]
    return found


def frequency_weights(theirs: TokenizerSpec, token_map: TokenMap, texts: Iterable[str]) -> NDArray[np.float64]:
    """How rare each piece of the map is in texts, between 0 and 1, shape of `token_map.ids`."""
    tokenizer, counts = theirs.load(), np.zeros(max(theirs.ids.values()) + 1)
    iterator = iter(texts)
    while batch := list(islice(iterator, _BLOCK)):
        ids = [i for e in tokenizer.encode_batch_fast(batch, add_special_tokens=False) for i in e.ids]
        counts += np.bincount(ids, minlength=len(counts))
    share = counts / max(counts.sum(), 1)
    found: NDArray[np.float64] = (_SMOOTH / (_SMOOTH + share))[token_map.ids]
    return found
