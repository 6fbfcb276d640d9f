"""Token ids of several texts as one input of a model: padded to few lengths, or one text after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def padded_lengths(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Round numbers of tokens, int64, up to a multiple of 2 from 16 on, of 4 from 32 on and of 8 from 64 on.

    Different shapes stay few (each costs a compilation on some backends), and padding little where texts are short.

        >>> padded_lengths(np.array([15, 17, 33, 65])).tolist()
        [15, 18, 36, 72]
    """
    multiple = 2 ** np.searchsorted([16, 32, 64], lengths, side="right")
    rounded: NDArray[np.int64] = -(-lengths // multiple) * multiple
    return rounded


def padded_tokens(lengths: NDArray[np.int64]) -> int:
    """Return the number of tokens of a batch of texts of these lengths, padding included."""
    return int(len(lengths) * padded_lengths(lengths).max())


def pad(texts: list[NDArray[np.int32]], pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return token ids, padded on the right, and attention mask, int64, shape (texts, padded length of the longest)."""
    longest = padded_lengths(np.array([max(map(len, texts))]))[0]
    shape = (len(texts), longest)
    ids, mask = np.full(shape, pad_id, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return ids, mask


def join(texts: list[NDArray[np.int32]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ids of all texts in a row, shape (tokens,), and where each text begins, shape (texts,), both int64."""
    starts = np.cumsum([0, *map(len, texts[:-1])], dtype=np.int64)
    return np.concatenate(texts).astype(np.int64), starts
