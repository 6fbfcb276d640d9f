"""Stage `tokenizer`: the teacher's tokenizer, pruned and taught the target language."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hub_tools.config import TokenizerConfig
from hub_tools.core.errors import UserError
from hub_tools.core.languages import WITHOUT_SPACES
from hub_tools.core.logging import bar
from hub_tools.results import VocabularySize
from hub_tools.tokenization.adapted import AdaptedTokenizer
from hub_tools.tokenization.characters import needed_characters
from hub_tools.tokenization.language_weights import language_weights
from hub_tools.tokenization.normalizer import NormalizerChange, adapt_normalizer
from hub_tools.tokenization.pretokenization import (
    WordCounts,
    count_words,
    join_words,
    model_only_tokenizer,
)
from hub_tools.tokenization.prompts import PromptPieces
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.tokenization.vocabulary_selection import (
    SelectionState,
    SubwordModel,
    select_vocabulary,
    selection_state,
    subword_model,
    trimmed_model,
)
from hub_tools.tokenization.vocabulary_size import SizeSearch, asked_size, half_size
from hub_tools.tokenization.wordpiece import PREFIX, learn_tokens
from hub_tools.tokenization.wordpiece_selection import (
    SelectionInput,
    VocabularyPlan,
    select_wordpiece_vocabulary,
    tokens_by_language,
    trimmed_pieces,
)

# Language -> a function that starts reading its texts.
Texts = Mapping[str, Callable[[], Iterable[str]]]
# Folder in that of the student's tokenizer: the teacher's cut to the same size, with nothing learned.
TRIM = "trim"
# In smaller vocabularies the characters of other languages stay by use: e5's in 36 languages are 7,600 tokens.
_ROOM_FOR_CHARACTERS = 65_536
# Folders of those between -> the share of the learned tokens that they have.
_SHARES = {"half": 0.5, "quarter": 0.25}


class Adaptation:
    """A teacher's tokenizer and counts of text, from which tokenizers with and without learned tokens are made.

    The function of each language in `texts` is called up to twice. `targets` are some of these languages, and
    `max_seq_length` is the longest input in tokens, written into the settings. `prompts` keep the teacher's pieces, see
    `hub_tools.tokenization.prompts`. `text_count`, of all texts, is only shown.

    Raises:
        UserError: the family is not supported.
    """

    def __init__(
        self,
        teacher: TokenizerSpec,
        texts: Texts,
        *,
        targets: tuple[str, ...],
        config: TokenizerConfig,
        prompts: Iterable[str] = (),
        max_seq_length: int | None = None,
        text_count: int | None = None,
    ) -> None:
        _check_supported(teacher)
        self.teacher, self.targets, self.config, self.prompts = teacher, targets, config, tuple(prompts)
        self._with_own_normalizer = partial(
            Adaptation,
            teacher,
            texts,
            targets=targets,
            config=replace(config, keep_normalizer=True),
            prompts=self.prompts,
            max_seq_length=max_seq_length,
            text_count=text_count,
        )
        self._max_seq_length = max_seq_length
        self._prompt_pieces = PromptPieces.of(teacher, self.prompts)
        self._pinned = teacher.named_tokens | self._prompt_pieces.tokens
        self._pretokenizer = teacher.load()
        self.change = NormalizerChange(normalizer=self._pretokenizer.normalizer)
        if not config.keep_normalizer:
            rules = teacher.spec["normalizer"]
            of_targets = {lang: texts[lang]() for lang in targets}
            self.change = adapt_normalizer(self._pretokenizer.normalizer, rules, of_targets)
        if self.change.normalizer is not None:
            self._pretokenizer.normalizer = self.change.normalizer
        # Those that the student is measured by.
        self._main = [lang for lang in dict.fromkeys((*targets, "en")) if lang in texts]
        self._units = Counter(dict.fromkeys(self._main, 0))
        self._word_counts = _count_words(self._pretokenizer, texts, text_count, self._units)
        self._states: dict[Any, SelectionState] = {}

    @cached_property
    def size(self) -> int:
        """How many tokens the student has."""
        return asked_size(self.config, len(self.teacher.vocab)) or self.search.size

    @cached_property
    def search(self) -> SizeSearch:
        """The search for a size that is enough, with the teacher's own normalizer."""
        if self._plain is not self:
            return self._plain.search
        return SizeSearch(
            teacher_model=self.teacher.spec["model"],
            unk_token=self.teacher.unk_token,
            trimmed=self.trimmed,
            words={lang: self._word_counts[lang] for lang in self._main},
            units=self._units,
            most=half_size(len(self.teacher.vocab)),
        )

    @property
    def sizes(self) -> list[VocabularySize]:
        """What other sizes would cost; nothing where the size was given."""
        return [] if asked_size(self.config, len(self.teacher.vocab)) else self.search.curve

    @property
    def exactly(self) -> int | None:
        """How many tokens to learn; None leaves that to the text."""
        keep, learn = self.config.keep, self.config.learn
        if keep is None or learn is not None:
            return learn
        if keep > self.size:
            raise UserError(f"--keep {keep} is more than the vocabulary has: --vocab-size is {self.size}. Give less.")
        return self.size - keep

    def make(self) -> AdaptedTokenizer:
        """Make the tokenizer that the configuration asks for: exactly V tokens, each of which some text produces.

        Raises:
            UserError: V is impossible.
        """
        return self._make(self.exactly)

    def with_fewer_learned(self, made: AdaptedTokenizer) -> dict[str, AdaptedTokenizer]:
        """Make the trim and, unless a number of tokens was asked for, tokenizers between it and this one, by name."""
        if made.is_trim or self.size > len(self.teacher.vocab):
            return {}
        shares = _SHARES if self.exactly is None else {}
        found = {}
        for name, share in shares.items():
            # New characters alone may be more.
            with suppress(UserError):
                found[name] = self._make(round(share * made.learned))
        return {**found, TRIM: self.trim()}

    def trim(self) -> AdaptedTokenizer:
        """Make a tokenizer of the same size with the teacher's own tokens and normalizer alone."""
        return self._plain._make(0)

    @cached_property
    def _plain(self) -> Adaptation:
        return self._with_own_normalizer() if self.change.notes else self

    def _make(self, exactly: int | None) -> AdaptedTokenizer:
        teacher = self.teacher
        if teacher.family == "WordPiece":
            plan = self._select_pieces(exactly)
            model = self._of_pieces(plan.tokens)
        else:
            model, plan = select_vocabulary(self._state(self.size), self._word_counts, exactly)
        normalizer = json.loads(self._pretokenizer.to_str())["normalizer"]
        student = teacher.with_model(model, normalizer, self._added_tokens(self.size), self._max_seq_length)
        return AdaptedTokenizer(teacher=teacher, student=student, plan=plan, change=self.change)

    def trimmed(self, size: int) -> dict[str, Any]:
        """Return the model of the trim of a size; a UserError if it is too small."""
        if self.teacher.family == "WordPiece":
            return self._of_pieces(trimmed_pieces(self._selection(size), self._special_tokens(size), size))
        return trimmed_model(self._state(size))

    def _of_pieces(self, tokens: Iterable[str]) -> dict[str, Any]:
        return {**self.teacher.spec["model"], "vocab": {token: token_id for token_id, token in enumerate(tokens)}}

    def _select_pieces(self, exactly: int | None) -> VocabularyPlan:
        return select_wordpiece_vocabulary(
            self._selection(self.size),
            special_tokens=self._special_tokens(self.size),
            vocab_size=self.size,
            letters=self.change.letters,
            learn=partial(learn_tokens, self._words),
            exactly=exactly,
        )

    @cached_property
    def _words(self) -> WordCounts:
        """The words of the targets together."""
        of_targets = [self._word_counts[lang] for lang in self.targets]
        return join_words(of_targets, model_only_tokenizer(self.teacher.spec["model"]))

    def _selection(self, size: int) -> SelectionInput:
        return SelectionInput(
            teacher_vocab=self.teacher.model_vocab,
            unk_token=str(self.teacher.unk_token),
            word_counts=self._word_counts,
            token_counts=self._token_counts,
            targets=self.targets,
            words=self._words,
            weights=self._weights(size),
            needed=self._needed(size),
            placeholders=self.teacher.placeholders,
            prompts=self._prompt_pieces,
        )

    def _state(self, size: int) -> SelectionState:
        weights, fixed, needed = self._weights(size), {*self._special_tokens(size)}, self._needed(size)
        # Nothing else changes with the size.
        key = (*weights.values(), frozenset(fixed), frozenset(needed))
        if key not in self._states:
            self._states[key] = selection_state(
                self._model,
                self._word_counts,
                self._token_counts,
                weights=weights,
                targets=self.targets,
                words=self._words,
                fixed=fixed,
                needed=needed,
                prompts=self._prompt_pieces,
                vocab_size=size,
            )
        return self._states[key].sized(size)

    @cached_property
    def _model(self) -> SubwordModel:
        return subword_model(self.teacher, self._words)

    @cached_property
    def _token_counts(self) -> dict[str, NDArray[np.int64]]:
        tokenizer = model_only_tokenizer(self.teacher.spec["model"])
        return tokens_by_language(tokenizer, self.teacher.model_vocab, self._word_counts)

    def _weights(self, size: int) -> dict[str, float]:
        return language_weights(list(self._word_counts), self.targets, size)

    def _needed(self, size: int) -> Set[str]:
        """Return the characters that have to stay: where there is little room, those of targets and English alone."""
        languages = self._word_counts if size >= _ROOM_FOR_CHARACTERS else self._main
        words = {lang: self._word_counts[lang] for lang in languages}
        return needed_characters(self.teacher, words, keep_all=self.config.keep_characters)

    def _added_tokens(self, size: int) -> list[str]:
        # Placeholders go first, but only when something has to go.
        keeps_all = size >= len(self.teacher.vocab)
        given_up = set() if keeps_all else self.teacher.placeholders - self._pinned
        return [token for token in self.teacher.added_tokens if token not in given_up]

    def _special_tokens(self, size: int) -> list[str]:
        return [*self._added_tokens(size), *self._pinned]


def _check_supported(teacher: TokenizerSpec) -> None:
    if teacher.family not in ("WordPiece", "BPE", "Unigram"):
        raise UserError(
            f"The teacher's tokenizer is a {teacher.family} model; only BPE, Unigram and WordPiece can be adapted. "
            "Pass --tokenizer with a ready tokenizer to use this teacher."
        )
    prefix = teacher.spec["model"].get("continuing_subword_prefix")
    if teacher.family == "WordPiece" and prefix != PREFIX:
        raise UserError(
            f"The teacher's tokenizer is a WordPiece model that marks continued tokens with {prefix!r}; only "
            f"{PREFIX!r} can be adapted. Pass another teacher, or --tokenizer with its own tokenizer."
        )


def _count_words(
    pretokenizer: Tokenizer, texts: Texts, text_count: int | None, units: Counter[str]
) -> dict[str, WordCounts]:
    """Count the words of each language, and the `units` of those that are there already: what fertility is per."""
    with bar("counting words", text_count, " texts", is_part=True) as progress:

        def seen(lang: str, own: Iterable[str]) -> Iterator[str]:
            for text in own:
                yield text
                progress.update()
                if lang in units:
                    units[lang] += len("".join(text.split()) if lang in WITHOUT_SPACES else text.split())

        return {lang: count_words(pretokenizer, seen(lang, open_texts())) for lang, open_texts in texts.items()}
