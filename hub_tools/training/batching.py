"""Batches of a fixed number of tokens with little padding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hub_tools.models.padding import padded_lengths

# Texts are sorted by length within as many batches: enough for even lengths, few enough to stay shuffled.
_WINDOW_BATCHES = 64


def epoch_batches(
    lengths: NDArray[np.int64], batch_tokens: int, seed: int, epoch: int, repeats: NDArray[np.float64] | None = None
) -> list[NDArray[np.int64]]:
    """Split all texts into batches of about `batch_tokens` padded tokens, in an order given by seed and epoch.

    `lengths`, shape (texts,), are the tokens of each text; one longer than a batch is a batch of its own. `repeats`,
    shape (texts,), say how often the epoch holds each text; of 0.5, half of the texts are drawn. None: once.

    Returns:
        Text numbers, one int64 array a batch; without `repeats`, each text is in exactly one batch.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    if repeats is not None:
        times = np.floor(repeats + random.random(len(repeats))).astype(np.int64)
        order = random.permutation(np.repeat(np.arange(len(lengths)), times))
    padded = padded_lengths(lengths)
    window_ends = np.cumsum(padded[order]) // (batch_tokens * _WINDOW_BATCHES)
    batches: list[NDArray[np.int64]] = []
    for window in np.split(order, np.flatnonzero(np.diff(window_ends)) + 1):
        by_length = window[np.argsort(padded[window], kind="stable")]
        batches += [by_length[group] for group in split_rows(lengths[by_length], batch_tokens)]
    return [batches[i] for i in random.permutation(len(batches))]


def split_rows(lengths: NDArray[np.int64], max_tokens: int) -> list[slice]:
    """Split texts of these lengths, sorted by padded length, into groups of at most so many padded tokens.

    A longer text is a group of its own.

        >>> split_rows(np.array([3, 8, 9, 16, 16, 40]), 32)
        [slice(0, 3), slice(3, 5), slice(5, 6)]
    """
    padded = padded_lengths(lengths)
    groups: list[slice] = []
    start = 0
    while start < len(padded):
        # The longest row decides the padding: take as many as fit under it.
        widths = padded[start:] * np.arange(1, len(padded) - start + 1)
        count = max(1, int(np.searchsorted(widths, max_tokens, side="right")))
        groups.append(slice(start, start + count))
        start += count
    return groups
