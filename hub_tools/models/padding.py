"""Padded lengths and padded arrays of token ids."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def padded_tokens(lengths: NDArray[np.int64]) -> int:
    """Tokens of a batch of these texts, padding included."""
    return int(len(lengths) * padded_lengths(lengths).max())


def padded_lengths(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Lengths rounded up to a multiple of 2 from 16 on, of 4 from 32 on and of 8 from 64 on.

    Different shapes stay few (each costs a compilation on some backends), and padding little where texts are short.

    Args:
        lengths: tokens of each text, int64, shape (texts,).

    Returns:
        int64, shape (texts,).
    """
    multiple = 2 ** np.searchsorted([16, 32, 64], lengths, side="right")
    rounded: NDArray[np.int64] = -(-lengths // multiple) * multiple
    return rounded


def pad(texts: list[NDArray[np.int32]], pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids and attention mask, int64, shape (rows, padded length of the longest)."""
    longest = padded_lengths(np.array([max(map(len, texts))]))[0]
    shape = (len(texts), longest)
    ids, mask = np.full(shape, pad_id, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return ids, mask


def join(texts: list[NDArray[np.int32]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids of all texts one after the other, shape (tokens,), and where each begins, shape (texts,), int64."""
    starts = np.cumsum([0, *map(len, texts[:-1])], dtype=np.int64)
    return np.concatenate(texts).astype(np.int64), starts
