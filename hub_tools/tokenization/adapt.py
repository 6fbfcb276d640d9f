"""Stage `tokenizer`: the teacher's tokenizer, pruned and taught the target language."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from hub_tools.config import TokenizerConfig
from hub_tools.core.errors import UserError
from hub_tools.core.logging import bar, log
from hub_tools.results import Figures, TokenizerResult, is_read
from hub_tools.tokenization.characters import needed_characters
from hub_tools.tokenization.metrics import compare_tokenizers
from hub_tools.tokenization.normalizer import NormalizerChange, adapt_normalizer
from hub_tools.tokenization.pretokenization import WordCounts, count_words, reachable_tokens
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.tokenization.vocabulary_selection import select_vocabulary, subword_model
from hub_tools.tokenization.wordpiece import PREFIX, learn_tokens
from hub_tools.tokenization.wordpiece_selection import (
    SelectionInput,
    VocabularyPlan,
    reachable_pieces,
    select_wordpiece_vocabulary,
)

# Language -> a function that starts reading its texts.
Texts = Mapping[str, Callable[[], Iterable[str]]]
# Most languages that a warning names.
_NAMED = 8


def default_vocab_size(teacher_size: int) -> int:
    """Return half of the teacher's vocabulary, rounded up to a multiple of 64 (262,144 -> 131,072)."""
    return -(-teacher_size // 2 // 64) * 64


@dataclass(frozen=True, kw_only=True)
class AdaptedTokenizer:
    """A student's tokenizer and how it came about."""

    teacher: TokenizerSpec
    student: TokenizerSpec
    plan: VocabularyPlan
    change: NormalizerChange

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the student's tokenizer as AutoTokenizer reads it."""
        self.student.write(Path(folder))

    def summary(self) -> dict[str, Any]:
        """Return the fields of `TokenizerResult` that say how it was made."""
        teacher_vocab = self.teacher.vocab
        return {
            **_count_tokens(self.teacher, self.student),
            "added_reachable": self._count_reachable([t for t in self.student.model_vocab if t not in teacher_vocab]),
            "placeholders_dropped": len(self.teacher.placeholders - self.student.vocab.keys()),
            "sources": self._sources(),
            "new_characters": self.plan.characters,
            "split": self.plan.split,
            "objective": self.plan.objective,
            "normalizer_changes": list(self.change.notes),
        }

    def _sources(self) -> dict[str, int]:
        teacher_vocab, student_vocab = self.teacher.vocab, self.student.vocab
        kept = student_vocab.keys() & teacher_vocab.keys()
        special = kept & set(self.teacher.added_tokens)
        single = {t for t in kept - special if len(t.removeprefix(PREFIX)) == 1 or t.startswith("<0x")}
        new_characters = set(self.plan.characters) - teacher_vocab.keys()
        return {
            "special": len(special),
            "bytes and characters": len(single),
            "teacher's, by use": len(kept) - len(special) - len(single),
            "new characters": len(new_characters),
            "learned": len(student_vocab) - len(kept) - len(new_characters),
        }

    def _count_reachable(self, tokens: list[str]) -> int:
        model = self.student.spec["model"]
        if self.teacher.family == "WordPiece":
            return len(reachable_pieces(tokens, model["vocab"], model["unk_token"]))
        return len(reachable_tokens(model, tokens))


def adapt_tokenizer(
    teacher: TokenizerSpec,
    texts: Texts,
    *,
    target: str,
    config: TokenizerConfig,
    max_seq_length: int | None = None,
    text_count: int | None = None,
) -> AdaptedTokenizer:
    """Prune a tokenizer and teach it a language: exactly V tokens, every one of which some text produces.

    The function of each language in `texts` is called up to three times. `target` is one of these languages, and
    `max_seq_length` the longest input in tokens, written into the settings. `text_count`, of all texts, is only shown.

    Raises:
        UserError: the family is not supported, or V is impossible.
    """
    _check_supported(teacher)
    pretokenizer = teacher.load()
    change = NormalizerChange(normalizer=pretokenizer.normalizer)
    if not config.keep_normalizer:
        change = adapt_normalizer(pretokenizer.normalizer, teacher.spec["normalizer"], target, texts[target]())
    if change.normalizer is not None:
        pretokenizer.normalizer = change.normalizer
    word_counts = _count_words(pretokenizer, texts, text_count)
    size, exactly = config.vocab_size or default_vocab_size(len(teacher.vocab)), config.learn
    if config.keep is not None:
        if config.vocab_size is None and exactly is not None:
            size = config.keep + exactly
        exactly = size - config.keep if exactly is None else exactly
    # Placeholders go first, but only when something has to go.
    placeholders = teacher.placeholders
    keeps_all = size >= len(teacher.vocab)
    needed = needed_characters(teacher, word_counts, keep_all=config.keep_characters)
    added_tokens = [token for token in teacher.added_tokens if keeps_all or token not in placeholders]
    if teacher.family == "WordPiece":
        plan = select_wordpiece_vocabulary(
            SelectionInput(
                teacher_vocab=teacher.model_vocab,
                unk_token=str(teacher.unk_token),
                word_counts=word_counts,
                target=target,
                needed=needed,
                placeholders=placeholders,
            ),
            special_tokens=added_tokens,
            vocab_size=size,
            letters=change.letters,
            learn=lambda count: learn_tokens(
                pretokenizer, texts[target](), count, chain.from_iterable(word_counts[target].words)
            ),
            exactly=exactly,
        )
        model = {**teacher.spec["model"], "vocab": {token: token_id for token_id, token in enumerate(plan.tokens)}}
    else:
        model, plan = select_vocabulary(
            subword_model(teacher, word_counts[target]),
            word_counts,
            target=target,
            fixed=set(added_tokens),
            needed=needed,
            vocab_size=size,
            exactly=exactly,
        )
    normalizer = json.loads(pretokenizer.to_str())["normalizer"]
    student = teacher.with_model(model, normalizer, added_tokens, max_seq_length)
    return AdaptedTokenizer(teacher=teacher, student=student, plan=plan, change=change)


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


def _count_words(pretokenizer: Tokenizer, texts: Texts, text_count: int | None) -> dict[str, WordCounts]:
    with bar("counting words", text_count, " texts") as progress:

        def seen(own: Iterable[str]) -> Iterator[str]:
            for text in own:
                yield text
                progress.update()

        return {lang: count_words(pretokenizer, seen(open_texts())) for lang, open_texts in texts.items()}


def make_tokenizer(
    teacher: TokenizerSpec,
    texts: Texts,
    out: Path,
    *,
    target: str,
    config: TokenizerConfig,
    max_seq_length: int,
    text_count: int,
    samples: Mapping[str, list[str]],
    pairs: Sequence[tuple[str, str]] = (),
) -> TokenizerResult:
    """Make the student's tokenizer as `adapt_tokenizer` does, write it to the folder `out` and measure it.

    Both are measured on `samples`, language -> texts, and for the parity on `pairs`, held-out (source, translation).
    """
    adapted = adapt_tokenizer(
        teacher, texts, target=target, config=config, max_seq_length=max_seq_length, text_count=text_count
    )
    adapted.student.write(out)
    measured = compare_tokenizers(teacher, adapted.student, samples, pairs)
    _warn_of_longer_texts(measured["measures"])
    if measured["new_unknowns"]:
        log.warning(
            "  %s measured texts have characters that only the teacher can read; --keep-characters keeps them",
            f"{measured['new_unknowns']:,}",
        )
    return TokenizerResult(**adapted.summary(), **measured)


def _warn_of_longer_texts(measures: Mapping[str, Mapping[str, Figures]]) -> None:
    read = {lang: row for lang, row in measures.items() if all(map(is_read, row.values()))}
    count = "tokens_per_word"
    shown = {lang: (round(row["teacher"][count], 2), round(row["student"][count], 2)) for lang, row in read.items()}
    longer = {lang: after / max(before, 0.01) for lang, (before, after) in shown.items() if after > before}
    worst = sorted(longer, key=longer.__getitem__, reverse=True)
    if worst:
        log.warning(
            "  more tokens per word than with the teacher: %s%s",
            ", ".join("{} {:.2f} -> {:.2f}".format(lang, *shown[lang]) for lang in worst[:_NAMED]),
            f", and {len(worst) - _NAMED} more languages" if len(worst) > _NAMED else "",
        )


def use_tokenizer(
    teacher: TokenizerSpec,
    ready: TokenizerSpec,
    out: Path,
    *,
    max_seq_length: int,
    samples: Mapping[str, list[str]],
    pairs: Sequence[tuple[str, str]] = (),
) -> TokenizerResult:
    """Write a ready tokenizer as the student's and measure it; arguments as of `make_tokenizer`."""
    student = ready.with_model(ready.spec["model"], ready.spec["normalizer"], ready.added_tokens, max_seq_length)
    student.write(out)
    measured = compare_tokenizers(teacher, student, samples, pairs)
    _warn_of_longer_texts(measured["measures"])
    return TokenizerResult(**_count_tokens(teacher, student), added_reachable=None, **measured)


def _count_tokens(teacher: TokenizerSpec, student: TokenizerSpec) -> dict[str, Any]:
    teacher_vocab, student_vocab = teacher.vocab, student.vocab
    kept = len(student_vocab.keys() & teacher_vocab.keys())
    return {
        "family": student.family,
        "vocab_size": len(student_vocab),
        "kept": kept,
        "added": len(student_vocab) - kept,
        "specials_kept": sum(token in student_vocab for token in teacher.special_tokens),
    }
