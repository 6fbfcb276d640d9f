"""Continued byte-pair encoding (Sennrich et al. 2016): merges learned over the segmentation that kept tokens give."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# A pair seen once says nothing about the language.
_LEAST_COUNT = 2
# Characters; longer tokens are phrases of one text, not of the language (the limit of SentencePiece's trainer).
LONGEST_TOKEN = 16
_SHIFT = 32
_MASK = (1 << _SHIFT) - 1


class Merge(NamedTuple):
    """Two tokens that become one."""

    left: str
    right: str
    times: int  # how often they were side by side in the running text
    is_new: bool  # whether the result was no token before

    @property
    def token(self) -> str:
        """The result."""
        return self.left + self.right


def learn_merges(
    words: Iterable[Sequence[int]],
    counts: NDArray[np.int64],
    tokens: dict[int, str],
    allowed: Callable[[str, str], bool],
) -> Iterator[Merge]:
    """Learn merges, most frequent pair first, until no allowed pair is left that was seen twice.

    For example, over `l o w` 5 times and `l o w e r` 2 times, with these five letters as tokens: l+o (7 times), lo+w
    (7), e+r (2) and low+er (2). Of equally frequent pairs the one with the lower ids comes first. No merge is learned
    before it is asked for.

    `words` are the token ids of each distinct word, `counts` how often it occurs, int64, shape (words,); `tokens` are
    all that exist, by id.
    """
    index = _Words(words, counts.tolist())
    token_of, ids = dict(tokens), {token: number for number, token in tokens.items()}
    heap = [(-count, code) for code, count in index.pairs.items() if count >= _LEAST_COUNT]
    heapq.heapify(heap)
    while heap:
        negative, code = heapq.heappop(heap)
        count = index.pairs.get(code, 0)
        if count != -negative:  # its count fell meanwhile, or it was entered again
            if _LEAST_COUNT <= count < -negative:
                heapq.heappush(heap, (-count, code))
            continue
        left, right = token_of[code >> _SHIFT], token_of[code & _MASK]
        if not allowed(left, right):
            continue
        number = ids.get(left + right)
        merge = Merge(left, right, count, number is None)
        if number is None:
            number = len(token_of) + _MASK // 2
            ids[left + right], token_of[number] = number, left + right
        for touched in index.merge(code, number):
            if index.pairs[touched] >= _LEAST_COUNT:
                heapq.heappush(heap, (-index.pairs[touched], touched))
        yield merge


class _Words:
    """Words as lists of ids, with the count and the places (numbers of words) of each pair of ids kept up to date."""

    # A pair is one number, its code: left id << 32 | right id.
    def __init__(self, words: Iterable[Sequence[int]], counts: list[int]) -> None:
        self.words = [list(ids) for ids in words]
        self.counts = counts
        self.pairs: dict[int, int] = defaultdict(int)
        self.places: dict[int, list[int]] = defaultdict(list)
        for number, ids in enumerate(self.words):
            codes = [left << _SHIFT | right for left, right in pairwise(ids)]
            for code in codes:
                self.pairs[code] += counts[number]
            for code in set(codes):
                self.places[code].append(number)

    def merge(self, code: int, number: int) -> set[int]:
        """Replace a pair wherever it occurs; return the pairs that became more frequent."""
        left, right = code >> _SHIFT, code & _MASK
        touched: set[int] = set()
        for place in self.places.pop(code):
            ids = self.words[place]
            joined = _joined(ids, left, right, number)
            if len(joined) == len(ids):
                continue  # an old entry: the pair is no longer in this word
            count = self.counts[place]
            for a, b in pairwise(ids):
                self.pairs[a << _SHIFT | b] -= count
            self.words[place] = joined
            # Only pairs with the new token are new; the others keep their places.
            for a, b in pairwise(joined):
                pair = a << _SHIFT | b
                self.pairs[pair] += count
                if number in (a, b):
                    if not self.places[pair] or self.places[pair][-1] != place:
                        self.places[pair].append(place)
                    touched.add(pair)
        del self.pairs[code]
        return touched


def _joined(ids: list[int], left: int, right: int, number: int) -> list[int]:
    joined: list[int] = []
    for token_id in ids:
        if token_id == right and joined and joined[-1] == left:
            joined[-1] = number
        else:
            joined.append(token_id)
    return joined
