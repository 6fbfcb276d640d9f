"""Texts as token ids, and batches of a fixed number of tokens with little padding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hub_tools.models.padding import padded_lengths

# Texts are sorted by length within as many batches: enough for even lengths, few enough to stay shuffled.
_WINDOW_BATCHES = 64


@dataclass(frozen=True, kw_only=True)
class TokenizedTexts:
    """Many texts as one array.

    Attributes:
        ids: token ids of all texts, int32, shape (tokens,).
        ends: where each text ends, int64, shape (texts,).
        pad_id: id of the padding token.
    """

    ids: NDArray[np.int32]
    ends: NDArray[np.int64]
    pad_id: int

    def __getitem__(self, number: int) -> NDArray[np.int32]:
        """Token ids of one text."""
        start = self.ends[number - 1] if number else 0
        return self.ids[start : self.ends[number]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, int64, shape (texts,)."""
        return np.diff(self.ends, prepend=0)

    class Builder:
        """Collects texts batch by batch."""

        def __init__(self, tokenizer_file: Path, max_tokens: int | None) -> None:
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_file.parent), local_files_only=True)
            self._backend = tokenizer.backend_tokenizer
            self._backend.no_padding()
            # Static embeddings read any length, and no special tokens.
            self._template = max_tokens is not None
            if max_tokens is None:
                self._backend.no_truncation()
            else:
                self._backend.enable_truncation(max_tokens, direction=tokenizer.truncation_side)
            self._pad_id = int(tokenizer.pad_token_id or 0)
            self._parts: list[NDArray[np.int32]] = []
            self._lengths: list[int] = []

        def add(self, texts: list[str]) -> None:
            """Tokenize texts with the template's special tokens, cut to the longest input."""
            found = self._backend.encode_batch_fast(texts, add_special_tokens=self._template)
            encoded = [e.ids for e in found]
            self._lengths += map(len, encoded)
            self._parts.append(np.fromiter((i for ids in encoded for i in ids), dtype=np.int32))

        def build(self) -> TokenizedTexts:
            """All texts added so far."""
            ids = np.concatenate(self._parts) if self._parts else np.empty(0, np.int32)
            return TokenizedTexts(ids=ids, ends=np.cumsum(self._lengths, dtype=np.int64), pad_id=self._pad_id)


def epoch_batches(
    lengths: NDArray[np.int64], batch_tokens: int, seed: int, epoch: int, repeats: NDArray[np.float64] | None = None
) -> list[NDArray[np.int64]]:
    """Split all texts into batches of about `batch_tokens` padded tokens, in an order given by seed and epoch.

    Args:
        lengths: tokens of each text, shape (texts,).
        batch_tokens: rows times padded length of a batch; a longer text is a batch of its own.
        seed: of the run.
        epoch: number of the pass.
        repeats: how often the epoch holds each text, shape (texts,); of 0.5, half of the texts are drawn. None: once.

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


def split_rows(lengths: NDArray[np.int64], most_tokens: int) -> list[slice]:
    """Split texts that are sorted by padded length into groups of at most so many padded tokens.

    Args:
        lengths: tokens of each text, shape (texts,).
        most_tokens: rows times padded length of a group; a longer text is a group of its own.
    """
    padded = padded_lengths(lengths)
    groups: list[slice] = []
    start = 0
    while start < len(padded):
        # The longest row decides the padding: take as many as fit under it.
        widths = padded[start:] * np.arange(1, len(padded) - start + 1)
        count = max(1, int(np.searchsorted(widths, most_tokens, side="right")))
        groups.append(slice(start, start + count))
        start += count
    return groups
