"""How many tokens a student has, where its text decides that (`--vocab-size auto`).

What decides is the plain trim: the smallest one that costs the target and English, each, at most a hundredth more
tokens than the teacher's own tokenizer does. So nothing has to be learned before the size is known.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hub_tools.config import TokenizerConfig
from hub_tools.core.errors import UserError
from hub_tools.results import VocabularySize
from hub_tools.tokenization.pretokenization import WordCounts, model_only_tokenizer, segment
from hub_tools.tokenization.tokenizer_json import read_model_vocab
from hub_tools.tokenization.wordpiece import word_lengths

# Teachers with more tokens leave it to the text how many are enough.
_MANY = 100_000
# The most further tokens that a language may cost, as a share.
MOST_FURTHER = 0.01
_STEP = 1024
# What is shown, in steps.
_SHOWN = (8, 16, 32, 48, 64, 96, 128, 192, 256)


def half_size(teacher_size: int) -> int:
    """Return half of the teacher's vocabulary, rounded up to a multiple of 64 (262,144 -> 131,072)."""
    return -(-teacher_size // 2 // 64) * 64


def asked_size(config: TokenizerConfig, teacher_size: int) -> int | None:
    """Return how many tokens the student has; None leaves that to the text."""
    if isinstance(config.vocab_size, int):
        return config.vocab_size
    if config.vocab_size is None and config.keep is not None and config.learn is not None:
        return config.keep + config.learn
    return half_size(teacher_size) if config.vocab_size is None and teacher_size <= _MANY else None


@dataclass(frozen=True, kw_only=True)
class SizeSearch:
    """Trims of a teacher's tokenizer of many sizes, and what they cost the target and English in tokens."""

    teacher_model: Mapping[str, Any]
    unk_token: str | None
    trimmed: Callable[[int], dict[str, Any]]  # gives the model of a size; a UserError where it is too small
    words: Mapping[str, WordCounts]  # of target and English
    units: Mapping[str, int]  # how many words, or in languages without spaces characters, their text has
    most: int  # the largest size

    @cached_property
    def size(self) -> int:
        """The smallest size that is enough; the largest one where none is."""
        # Bisection between neighbours of those that are shown: they are counted anyway.
        high = next((size for size in self._shown if self._is_enough(size)), self.most)
        low = max((size for size in self._shown if size < high), default=0)
        between: list[int] = [*range(low + _STEP, high, _STEP), high]
        place: int = bisect_left(between, True, hi=len(between) - 1, key=self._is_enough)
        return between[place]

    @cached_property
    def curve(self) -> list[VocabularySize]:
        """Tokens per word with the sizes that are shown and the one that was found; those that are possible."""
        return [
            VocabularySize(
                vocab_size=size,
                tokens_per_word={lang: round(n / max(self.units[lang], 1), 4) for lang, n in tokens.items()},
            )
            for size in sorted({*self._shown, self.size})
            if (tokens := self._tokens(size))
        ]

    @property
    def _shown(self) -> list[int]:
        return [*(n * _STEP for n in _SHOWN if n * _STEP < self.most), self.most]

    def _is_enough(self, size: int) -> bool:
        tokens = self._tokens(size)
        return bool(tokens) and all(n <= (1 + MOST_FURTHER) * self._teachers[lang] for lang, n in tokens.items())

    @cached_property
    def _teachers(self) -> dict[str, int]:
        return {lang: int(text.lengths @ text.words.counts) for lang, text in self._texts.items()}

    @cached_property
    def _texts(self) -> dict[str, _Text]:
        tokenizer = model_only_tokenizer(self.teacher_model)
        return {lang: _Text.of(own, tokenizer, self.unk_token) for lang, own in self.words.items()}

    @cached_property
    def _counted(self) -> dict[int, dict[str, int]]:
        return {}

    def _tokens(self, size: int) -> dict[str, int]:
        """Return the tokens of each language's text in a trim of a size; none where it is impossible."""
        if size not in self._counted:
            self._counted[size] = {}
            with suppress(UserError):
                self._counted[size] = self._count(self.trimmed(size))
        return self._counted[size]

    def _count(self, model: Mapping[str, Any]) -> dict[str, int]:
        ids, tokenizer = read_model_vocab(self.teacher_model), model_only_tokenizer(model)
        gone = np.ones(max(ids.values()) + 1, dtype=bool)
        gone[[ids[token] for token in read_model_vocab(model)]] = False
        return {lang: text.count(tokenizer, gone, self.unk_token) for lang, text in self._texts.items()}


@dataclass(frozen=True, kw_only=True)
class _Text:
    """The words of a language, and how the teacher's model cuts them."""

    words: WordCounts
    token_ids: NDArray[np.int64]  # of all words, one after another
    places: NDArray[np.int64]  # the word of each of them
    lengths: NDArray[np.int64]  # how many tokens a word counts as

    @classmethod
    def of(cls, words: WordCounts, tokenizer: Tokenizer, unk_token: str | None) -> Self:
        cut = [np.array(token_ids, dtype=np.int64) for token_ids in segment(tokenizer, words.words)]
        return cls(
            words=words,
            token_ids=np.concatenate([*cut, np.zeros(0, dtype=np.int64)]),
            places=np.repeat(np.arange(len(cut)), list(map(len, cut))),
            lengths=word_lengths(tokenizer, words.words, unk_token),
        )

    def count(self, tokenizer: Tokenizer, gone: NDArray[np.bool_], unk_token: str | None) -> int:
        """Count the tokens that a trimmed tokenizer makes of the text; `gone` says of each teacher's id if it is lost.

        A word of which all tokens stay is cut as before (`prompts.py` says why), so only the others are cut anew.
        """
        lengths, changed = self.lengths.copy(), np.unique(self.places[gone[self.token_ids]])
        lengths[changed] = word_lengths(tokenizer, [self.words.words[place] for place in changed], unk_token)
        return int(lengths @ self.words.counts)
