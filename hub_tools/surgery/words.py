"""The words of a text as a tokenizer's model meets them, counted; and that model alone."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

SPACE = "▁"
# Where a tokenizer has no pre-tokenizer (Gemma, Llama), its words begin at the marks that stand for spaces.
# The line breaks are those that `count_words` put between texts.
_MARKED_WORD = re.compile(f"{SPACE}*[^{SPACE}\\n]+|{SPACE}+")
_BLOCK = 512
_BATCH = 50_000


@dataclass(frozen=True, kw_only=True)
class WordTable:
    """The distinct words of a language and how often each occurs.

    Attributes:
        words: distinct normalized words, as the model gets them (byte-level ones in the byte alphabet).
        counts: int64, shape (words,).
    """

    words: list[str]
    counts: NDArray[np.int64]

    @property
    def total(self) -> int:
        """Running words."""
        return int(self.counts.sum())

    def top(self, number: int) -> WordTable:
        """The most frequent words."""
        return WordTable(words=self.words[:number], counts=self.counts[:number])


def count_words(tokenizer: Tokenizer, texts: Iterable[str]) -> WordTable:
    """Count the words that the tokenizer's normalizer and pre-tokenizer make of the texts.

    Memory grows with the number of distinct words, not with the text.
    """
    counts: Counter[str] = Counter()
    iterator = iter(texts)
    # One call for many texts: the words of two texts never touch, a line break lies between them.
    while block := "\n".join(islice(iterator, _BLOCK)):
        counts.update(split_words(tokenizer, block))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return WordTable(words=[w for w, _ in ordered], counts=np.array([n for _, n in ordered], dtype=np.int64))


def split_words(tokenizer: Tokenizer, text: str) -> Iterator[str]:
    """Words of a text, normalized.

    A piece that still holds several space marks is cut before each: no merge of the families that mark spaces
    so crosses them, so the model segments the piece word by word.
    """
    normalized = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
    splitter = tokenizer.pre_tokenizer
    for piece in [piece for piece, _ in splitter.pre_tokenize_str(normalized)] if splitter else [normalized]:
        if SPACE in piece[1:] or "\n" in piece:
            yield from _MARKED_WORD.findall(piece)
        else:
            yield piece


def bare_model(model: Mapping[str, Any]) -> Tokenizer:
    """A tokenizer of single words: the model alone, no normalizer, no pre-tokenizer, no template, no added tokens.

    Args:
        model: the `model` of a tokenizer.json.
    """
    return Tokenizer.from_str(
        json.dumps(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": [],
                "normalizer": None,
                "pre_tokenizer": None,
                "post_processor": None,
                "decoder": None,
                "model": model,
            }
        )
    )


def segment(tokenizer: Tokenizer, words: list[str]) -> Iterator[list[int]]:
    """Token ids of each word."""
    for start in range(0, len(words), _BATCH):
        yield from (e.ids for e in tokenizer.encode_batch_fast(words[start : start + _BATCH], add_special_tokens=False))


def token_counts(tokenizer: Tokenizer, table: WordTable, size: int = 0) -> NDArray[np.int64]:
    """How often each token occurs in the running text.

    Args:
        tokenizer: of single words.
        table: the words.
        size: least length of the result; ids may have gaps.

    Returns:
        int64, shape (highest id + 1 or more,).
    """
    lengths: list[int] = []

    def ids() -> Iterator[int]:
        for found in segment(tokenizer, table.words):
            lengths.append(len(found))
            yield from found

    flat = np.fromiter(ids(), dtype=np.int64)
    weights = np.repeat(table.counts, lengths) if lengths else table.counts
    return np.bincount(flat, weights=weights, minlength=max(size, tokenizer.get_vocab_size())).astype(np.int64)


def total_tokens(tokenizer: Tokenizer, table: WordTable) -> int:
    """Tokens of the running text."""
    lengths = np.fromiter(map(len, segment(tokenizer, table.words)), dtype=np.int64, count=len(table.words))
    return int(lengths @ table.counts)


def characters_of(table: WordTable) -> Counter[str]:
    """How often each character occurs in the running text, without the line breaks that `count_words` put in."""
    seen: Counter[str] = Counter()
    for word, count in zip(table.words, table.counts.tolist(), strict=True):
        for character in word:
            seen[character] += count
    del seen["\n"]
    return seen
