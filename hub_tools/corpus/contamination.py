"""Finds texts that models will be measured on, or nearly these, in the text to train on.

Two texts are compared by their letters and digits alone, in NFKC and without case. They are *exactly* the same where
these are equal. They are *nearly* the same where one holds most of the other: each has 30 letters at least, and of the
distinct 8-grams of the one that has fewer, at least 60% are in the other (the overlap coefficient), and of fewer than
100 as many as 80%, or 60 of them: else the name of an institution would make a short question of any text that has it.
So a sentence of a paragraph counts, and a paragraph around a sentence. Half of the 8-grams of the one that has more do
as well: texts as long as one another, with a word changed. Characters that say as much as a syllable or a
word (Chinese, Japanese, Korean) count as two letters.

Comparing all with all would take too long. Every third 8-gram or so is a seed: those whose hashes are smaller than the
hashes beside them, whatever text they are in. Texts that share enough seeds are compared.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from hub_tools.results import Contamination

T = TypeVar("T")
Codes = NDArray[np.uint32]
Hashes = NDArray[np.uint64]
Numbers = NDArray[np.int64]

NGRAM = 8  # letters; a power of two
FEWEST_LETTERS = 30
LEAST_SHARED, MOST = 30, 0.6  # of a part
MOST_OF_SHORT, ENOUGH = 0.8, 60  # of a short part; its part, or so many 8-grams
HALF = 0.5  # of both
# A seed in more evaluation texts than this would find too many.
_COMMON = 32
# Two texts are compared where they share this part of the seeds that are expected in what they have to share.
_SEEN = 0.5
_WINDOWS_OF_A_SEED = 3
# Texts that are looked up at once, and characters after which fewer are.
_BATCH, _BATCH_CHARACTERS = 4096, 2**19
_SEPARATOR = 10  # a line break, which stands between texts
_MULTIPLIER = 0x9E3779B97F4A7C15  # odd and without a pattern: 2**64 by the golden ratio
_NO_WINDOW = np.uint64(2**64 - 1)
# First and last characters of scripts whose characters count twice: kana, ideographs, Hangul.
_WIDE = ((0x3041, 0x30FF), (0x3400, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))


class Match(NamedTuple):
    """The evaluation data that a text is in."""

    name: str
    kind: Literal["exact", "near"]


class EvaluationTexts:
    """Texts that models will be measured on.

    They take about 6 bytes a character, and 250 bytes a text besides.

    Args:
        sets: names of data sets, each with its texts; a text that is in several counts for the first.
    """

    def __init__(self, sets: Iterable[tuple[str, Iterable[str]]]) -> None:
        self.names: list[str] = []
        self._texts: list[str] = []  # normalised
        self._set_of: dict[str, int] = {}  # normalised text -> number of its set
        hashes, owners = [], []
        for name, texts in sets:
            self.names.append(name)
            for batch in in_batches(texts, lambda text: (text,)):
                seeds, owner = self._add(batch)
                hashes.append(seeds)
                owners.append(owner)
        self._lengths = np.array([len(text) for text in self._texts], dtype=np.int64)
        self._index = _Index(np.concatenate([*hashes, _no_hashes()]), np.concatenate([*owners, _no_numbers()]))

    def _add(self, batch: Sequence[str]) -> tuple[Hashes, Numbers]:
        """Keep texts that are new; return their seeds, and the number of the text that each is from."""
        first = len(self._texts)
        new = [text for text in dict.fromkeys(_normalise(batch).split("\n")) if text and text not in self._set_of]
        self._texts += new
        self._set_of |= dict.fromkeys(new, len(self.names) - 1)
        hashes, owner = _seeds("\n".join(new))
        return hashes, owner + first

    def find(self, texts: Sequence[str]) -> list[Match | None]:
        """Return for each text the evaluation data that it is in, None where it is in none."""
        joined = _normalise(texts)
        normalised = joined.split("\n")
        found: list[Match | None] = [None] * len(texts)
        for number, text in enumerate(normalised):
            if (own := self._set_of.get(text)) is not None:
                found[number] = Match(self.names[own], "exact")
        for number, owner in self._candidates(joined, normalised):
            if found[number] is None and self._is_near(normalised[number], owner):
                found[number] = Match(self.names[self._set_of[self._texts[owner]]], "near")
        return found

    def screen(self, items: Iterable[T], texts_of: Callable[[T], Sequence[str]]) -> Iterator[tuple[T, Match | None]]:
        """Yield each item with the evaluation data that one of its texts is in; some thousand are read ahead."""
        if not self._texts:
            yield from ((item, None) for item in items)
            return
        for batch in in_batches(items, texts_of):
            texts = [texts_of(item) for item in batch]
            ends = np.cumsum([0, *map(len, texts)]).tolist()
            found = self.find([text for own in texts for text in own])
            for item, (start, end) in zip(batch, pairwise(ends), strict=True):
                yield item, next(filter(None, found[start:end]), None)

    def _candidates(self, joined: str, normalised: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Yield numbers of texts, and of evaluation texts with which they share seeds, those with the most first."""
        hashes, owner = _seeds(joined)
        where, evaluation = self._index.find(hashes)
        lengths = np.array([len(text) for text in normalised], dtype=np.int64)
        pairs, counts = np.unique(owner[where] * len(self._texts) + evaluation, return_counts=True)
        text, evaluation = np.divmod(pairs, len(self._texts))
        fewer, more = (
            choose(lengths[text], self._lengths[evaluation]) - NGRAM + 1 for choose in (np.minimum, np.maximum)
        )
        is_likely = counts * _WINDOWS_OF_A_SEED >= _SEEN * _needed(fewer, more)
        chosen = np.flatnonzero(is_likely & (fewer + NGRAM - 1 >= FEWEST_LETTERS))
        order = chosen[np.lexsort((-counts[chosen], text[chosen]))]
        yield from zip(text[order].tolist(), evaluation[order].tolist(), strict=True)

    def _is_near(self, text: str, owner: int) -> bool:
        fewer, more = sorted((_ngrams(text), _ngrams(self._texts[owner])), key=len)
        return bool(len(fewer & more) >= _needed(*np.array([len(fewer), len(more)])))


def _needed(fewer: Numbers, more: Numbers) -> NDArray[np.float64]:
    """Return how many 8-grams two texts share at least that are nearly the same, by how many each has."""
    part = np.maximum(MOST * fewer, np.minimum(MOST_OF_SHORT * fewer, ENOUGH))
    needed: NDArray[np.float64] = np.minimum(np.maximum(LEAST_SHARED, part), HALF * more)
    return needed


def by_data(matches: Mapping[Match, int]) -> dict[str, Contamination]:
    """Return the number of texts in each evaluation data, by its name."""
    counts: dict[str, dict[str, int]] = {}
    for match, count in matches.items():
        counts.setdefault(match.name, {})[match.kind] = count
    return {name: Contamination(**kinds) for name, kinds in sorted(counts.items())}


class _Index:
    """Which texts a seed is in; a bit for each of its first bits says quickly that it is in none."""

    def __init__(self, hashes: Hashes, owners: Numbers) -> None:
        order = np.lexsort((owners, hashes))
        hashes, owners = hashes[order], owners[order]
        is_new = np.append(True, (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1]))[: len(hashes)]
        hashes, owners = hashes[is_new], owners[is_new]
        counts = np.diff(np.append(_starts(hashes), len(hashes)))
        is_rare = np.repeat(counts <= _COMMON, counts)
        hashes, self._owners = hashes[is_rare], owners[is_rare].astype(np.int32)
        starts = _starts(hashes)
        self._hashes, self._starts = hashes[starts], np.append(starts, len(hashes))
        bits = max(len(starts), 2**10).bit_length() + 3  # 8 to 16 for each seed
        self._shift = np.uint64(64 - bits)
        self._bits = np.zeros(2 ** (bits - 3), np.uint8)
        place, bit = self._place(self._hashes)
        np.bitwise_or.at(self._bits, place, bit)

    def find(self, hashes: Hashes) -> tuple[Numbers, Numbers]:
        """Return where seeds are that an evaluation text has too, once for each such text, and its number."""
        place, bit = self._place(hashes)
        where = np.flatnonzero(self._bits[place] & bit)
        number = np.searchsorted(self._hashes, hashes[where])
        number[number == len(self._hashes)] = 0
        is_same = self._hashes[number] == hashes[where] if len(self._hashes) else np.zeros(len(where), bool)
        where, number = where[is_same], number[is_same]
        starts, counts = self._starts[number], self._starts[number + 1] - self._starts[number]
        rows = np.repeat(np.arange(len(where)), counts)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        return where[rows], self._owners[starts[rows] + within].astype(np.int64)

    def _place(self, hashes: Hashes) -> tuple[Hashes, NDArray[np.uint8]]:
        first = hashes >> self._shift
        return first >> np.uint64(3), np.left_shift(np.uint8(1), (first & np.uint64(7)).astype(np.uint8))


def _normalise(texts: Iterable[str]) -> str:
    """Return the letters and digits of texts, in NFKC and without case, with a line break between two texts."""
    joined = "\n".join(unicodedata.normalize("NFKC", text.replace("\n", " ")) for text in texts).casefold()
    # ı and i are the same letter in capitals, I or İ, as other languages write them.
    codes = np.frombuffer(joined.replace("ı", "i").encode("utf-32-le", "surrogatepass"), np.uint32)
    times = _repetitions()[codes]
    return np.repeat(codes, times).tobytes().decode("utf-32-le", "surrogatepass")


@cache
def _repetitions() -> NDArray[np.uint8]:
    """Return how often each character of Unicode counts: letters and digits once or twice, others never."""
    times = np.fromiter((chr(code).isalnum() for code in range(0x110000)), np.uint8, 0x110000)
    for first, last in _WIDE:
        times[first : last + 1] *= 2
    times[_SEPARATOR] = 1
    return times


def _seeds(joined: str) -> tuple[Hashes, Numbers]:
    """Return the hashes of the seeds of normalised texts, and the number of the text that each is from."""
    codes = np.frombuffer(f"{joined}\n".encode("utf-32-le", "surrogatepass"), np.uint32)
    if len(codes) < NGRAM:
        return _no_hashes(), _no_numbers()
    is_end = codes == _SEPARATOR
    text = np.cumsum(is_end)
    hashes = _mix(codes.astype(np.uint64))
    width = 1
    while width < NGRAM:  # the hash of a window is made of those of its halves
        factor = np.uint64(pow(_MULTIPLIER, width, 2**64))
        hashes = hashes[:-width] * factor + hashes[width:]
        width *= 2
    hashes = _mix(hashes)
    hashes[is_end[: 1 - NGRAM] | (text[: 1 - NGRAM] != text[NGRAM - 1 :])] = _NO_WINDOW
    padded = np.concatenate([[_NO_WINDOW], hashes, [_NO_WINDOW]])
    seeds = np.flatnonzero((hashes < padded[:-2]) & (hashes <= padded[2:]))
    seeds = seeds[hashes[seeds] != _NO_WINDOW]
    return hashes[seeds], text[seeds].astype(np.int64)


def _mix(values: Hashes) -> Hashes:
    values = (values + np.uint64(1)) * np.uint64(_MULTIPLIER)
    values ^= values >> np.uint64(32)
    return values * np.uint64(_MULTIPLIER)


@lru_cache(maxsize=256)
def _ngrams(text: str) -> frozenset[str]:
    return frozenset(text[start : start + NGRAM] for start in range(len(text) - NGRAM + 1))


def _starts(ordered: Hashes) -> Numbers:
    """Return where each run of equal hashes begins."""
    return np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])


def in_batches(items: Iterable[T], texts_of: Callable[[T], Sequence[str]]) -> Iterator[list[T]]:
    """Yield lists of items, of some thousand or of half a million characters."""
    batch: list[T] = []
    characters = 0
    for item in items:
        batch.append(item)
        characters += sum(map(len, texts_of(item)))
        if len(batch) == _BATCH or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _no_hashes() -> Hashes:
    return np.empty(0, np.uint64)


def _no_numbers() -> Numbers:
    return np.empty(0, np.int64)
