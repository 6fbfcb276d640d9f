"""The words of a text as a tokenizer's model meets them, counted; and that model alone."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hub_tools.core.logging import Progress
from hub_tools.tokenization.tokenizer_json import read_model_vocab

SPACE = "▁"
# Where a tokenizer has no pre-tokenizer (Gemma, Llama), its words begin at the marks that stand for spaces.
_MARKED_WORD = re.compile(f"{SPACE}*[^{SPACE}]+|{SPACE}+")
_BATCH = 8192
# Most characters of distinct words that are held of a language, and how many of its text are read between two looks.
_MOST_CHARACTERS = 1_000_000
_LOOK = 500_000


class Words(Sequence[str]):
    """Words as the bytes that spell them, one after another: a fifth of what a list of them takes."""

    def __init__(self, utf8: bytes, ends: NDArray[np.int64]) -> None:
        self._utf8, self._ends = utf8, ends

    @classmethod
    def of(cls, words: Iterable[str]) -> Self:
        """Hold words."""
        spelled = [word.encode("utf-8", "surrogatepass") for word in words]
        return cls(b"".join(spelled), np.cumsum([0, *map(len, spelled)]))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[one] for one in range(len(self))[place]]
        place = range(len(self))[place]
        return self._utf8[self._ends[place] : self._ends[place + 1]].decode("utf-8", "surrogatepass")


@dataclass(frozen=True, kw_only=True)
class WordCounts:
    """The distinct words of a language and how often each occurs, int64, shape (words,)."""

    words: Sequence[str]  # normalized, as the model gets them (byte-level ones in the byte alphabet)
    counts: NDArray[np.int64]


def count_words(tokenizer: Tokenizer, texts: Iterable[str]) -> WordCounts:
    """Count the words that the tokenizer's normalizer and pre-tokenizer make of the texts.

    Every text is split by itself, as it will be when it is encoded. Memory is bounded: when the distinct words hold
    more than `_MOST_CHARACTERS`, every second of the rarest is dropped and its neighbour counts twice. So the counts
    of a language whose "words" are whole clauses (Chinese, Thai) stay a fair sample of its text.
    """
    counts: Counter[str] = Counter()
    read = 0
    for text in texts:
        counts.update(split_words(tokenizer, text))
        read += len(text)
        if read > _LOOK:
            _thin_out(counts)
            read = 0
    _thin_out(counts)
    return _in_order(counts)


def _in_order(counts: Counter[str]) -> WordCounts:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return WordCounts(words=Words.of(w for w, _ in ordered), counts=np.array([n for _, n in ordered], dtype=np.int64))


def join_words(languages: Sequence[WordCounts], tokenizer: Tokenizer) -> WordCounts:
    """Return the words of languages that weigh alike as if they were of one language.

    They are counted as if the text of each had as many tokens, by a tokenizer of single words, as the longest has. For
    example, `ev` 30 times in 100 tokens and `house` 4 times in 20 tokens become `ev` 30 times and `house` 20 times.
    """
    if len(languages) == 1:
        return languages[0]
    totals = [max(int(token_counts(tokenizer, words).sum()), 1) for words in languages]
    counts = Counter[str]()
    for words, total in zip(languages, totals, strict=True):
        scaled = np.rint(words.counts * (max(totals) / total)).astype(np.int64)
        counts.update(dict(zip(words.words, scaled.tolist(), strict=True)))
    return _in_order(counts)


def running_text(words: WordCounts) -> Iterator[str]:
    """Yield texts in which each word occurs as often as it was counted, with spaces between."""
    for word, count in zip(words.words, words.counts.tolist(), strict=True):
        for start in range(0, count, _BATCH):
            yield " ".join([word] * min(_BATCH, count - start))


def _thin_out(counts: Counter[str]) -> None:
    """Where too much is held: drop every second of the rarest and double its neighbour's count, until it is half."""
    if sum(map(len, counts)) <= _MOST_CHARACTERS:
        return
    rare = 1
    while sum(map(len, counts)) > _MOST_CHARACTERS // 2 and len(counts) > 1:
        few = [word for word, count in counts.items() if count <= rare]
        for dropped, taken in zip(few[::2], few[1::2], strict=False):
            del counts[dropped]
            counts[taken] *= 2
        rare *= 2


def normalize(tokenizer: Tokenizer, text: str) -> str:
    """Return a text as the tokenizer's normalizer, if it has one, makes it."""
    return str(tokenizer.normalizer.normalize_str(text)) if tokenizer.normalizer else text


def split_words(tokenizer: Tokenizer, text: str) -> Iterator[str]:
    """Yield the words of a text, normalized.

    A piece that still holds several space marks is cut before each: in the families that mark spaces so, no merge
    crosses them, so the model segments the piece word by word.
    """
    normalized = normalize(tokenizer, text)
    splitter = tokenizer.pre_tokenizer
    for piece in [piece for piece, _ in splitter.pre_tokenize_str(normalized)] if splitter else [normalized]:
        yield from _MARKED_WORD.findall(piece) if SPACE in piece[1:] else [piece]


def model_only_tokenizer(model: Mapping[str, Any]) -> Tokenizer:
    """Return a tokenizer of single words: the `model` of a tokenizer.json without normalizer, template and the like."""
    return Tokenizer.from_str(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))


def segment(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[list[int]]:
    """Yield the token ids of each word or text, without special tokens of a template."""
    iterator = iter(texts)
    while batch := list(islice(iterator, _BATCH)):
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            yield encoding.ids


def reachable_tokens(model: Mapping[str, Any], tokens: list[str]) -> list[str]:
    """Return those of the tokens of a BPE or Unigram model that some text produces: their own string gives just them.

    A shortcut that takes whole words without merges (`ignore_merges`) would prove nothing, so it is switched off.
    """
    vocab = read_model_vocab(model)
    shortcut = {"ignore_merges": False} if model["type"] == "BPE" else {}
    segmented = segment(model_only_tokenizer({**model, **shortcut}), tokens)
    return [token for token, token_ids in zip(tokens, segmented, strict=True) if token_ids == [vocab[token]]]


def token_counts(
    tokenizer: Tokenizer, words: WordCounts, size: int = 0, progress: Progress | None = None
) -> NDArray[np.int64]:
    """Count each token that a tokenizer of single words gives, int64, shape (`size` or more,): ids may have gaps."""
    lengths: list[int] = []

    def ids() -> Iterator[int]:
        for token_ids in segment(tokenizer, words.words):
            lengths.append(len(token_ids))
            if progress is not None:
                progress.update()
            yield from token_ids

    flat = np.fromiter(ids(), dtype=np.int64)
    weights = np.repeat(words.counts, lengths) if lengths else words.counts
    return np.bincount(flat, weights=weights, minlength=max(size, tokenizer.get_vocab_size())).astype(np.int64)


def white_tokens(tokens: Iterable[str]) -> set[str]:
    """Return those of the tokens that are white space only; marks that stand for spaces count as such."""
    return {token for token in tokens if token.replace(SPACE, " ").isspace()}


def character_counts(words: WordCounts) -> Counter[str]:
    """Count how often each character occurs in the running text."""
    codes = np.frombuffer("".join(words.words).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    counts = np.bincount(codes, weights=np.repeat(words.counts, list(map(len, words.words))))
    return Counter({chr(code): int(counts[code]) for code in np.flatnonzero(counts)})
