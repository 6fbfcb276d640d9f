"""Stage `tokenizer`: the teacher's tokenizer, pruned and taught the target language.

`adapt_tokenizer` is the stage as a function of a tokenizer and texts; the modules beside this one hold one family each.
Nothing in here needs torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from hub_tools.config import TokenizerConfig
from hub_tools.core.errors import UserError
from hub_tools.core.logging import bar
from hub_tools.corpus.build import Corpus
from hub_tools.tokenization.bpe import Bpe
from hub_tools.tokenization.metrics import tokenizer_report
from hub_tools.tokenization.normalizer import NormalizerChange, adapt_normalizer
from hub_tools.tokenization.pretokenization import WordCounts, count_words
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.tokenization.unigram import Unigram
from hub_tools.tokenization.vocabulary_selection import select_vocabulary
from hub_tools.tokenization.wordpiece import PREFIX, learn_tokens
from hub_tools.tokenization.wordpiece_selection import Counts, Plan, reachable, select_wordpiece_vocabulary

__all__ = [
    "AdaptedTokenizer",
    "TokenizerSpec",
    "adapt_tokenizer",
    "default_vocab_size",
    "make_tokenizer",
    "use_tokenizer",
]

Texts = Mapping[str, Callable[[], Iterable[str]]]


def default_vocab_size(teacher_size: int) -> int:
    """Half of the teacher's vocabulary, rounded up to a multiple of 64 (262,144 -> 131,072)."""
    return -(-teacher_size // 2 // 64) * 64


@dataclass(frozen=True, kw_only=True)
class AdaptedTokenizer:
    """A student's tokenizer and how it came about.

    Attributes:
        teacher: the tokenizer it was made from.
        files: the student's tokenizer.
        plan: which tokens stayed and came.
        change: the normalizer, and what is different in it.
    """

    teacher: TokenizerSpec
    files: TokenizerSpec
    plan: Plan
    change: NormalizerChange

    def summary(self) -> dict[str, Any]:
        """What was done, for the `tokenizer` section of the report."""
        theirs = self.teacher.ids
        ours = self.files.ids
        kept = len(ours.keys() & theirs.keys())
        return {
            "family": self.teacher.family,
            "vocab_size": len(ours),
            "kept": kept,
            "added": len(ours) - kept,
            "added_reachable": self._reachable([token for token in self.files.vocabulary if token not in theirs]),
            "specials_kept": sum(token in ours for token in self.teacher.specials),
            "placeholders_dropped": len(self.teacher.placeholders - ours.keys()),
            "sources": self._sources(theirs, ours),
            "new_characters": self.plan.characters,
            "split": self.plan.split,
            "objective": self.plan.objective,
            "normalizer_changes": list(self.change.notes),
        }

    def _sources(self, theirs: Mapping[str, int], ours: Mapping[str, int]) -> dict[str, int]:
        """Where the student's tokens come from, counted by the rule that put them there."""
        kept = ours.keys() & theirs.keys()
        special = kept & set(self.teacher.added)
        single = {t for t in kept - special if len(t.removeprefix(PREFIX)) == 1 or t.startswith("<0x")}
        new_characters = set(self.plan.characters) - theirs.keys()
        return {
            "special": len(special),
            "bytes and characters": len(single),
            "teacher's, by use": len(kept) - len(special) - len(single),
            "new characters": len(new_characters),
            "learned": len(ours) - len(kept) - len(new_characters),
        }

    def _reachable(self, tokens: list[str]) -> int:
        model = self.files.spec["model"]
        if self.teacher.family == "WordPiece":
            return len(reachable(tokens, model["vocab"], model["unk_token"]))
        return len(_family(self.teacher).reachable(model, tokens))


def adapt_tokenizer(
    teacher: TokenizerSpec,
    texts: Texts,
    *,
    target: str,
    config: TokenizerConfig,
    max_seq_length: int | None = None,
) -> AdaptedTokenizer:
    """Prune a tokenizer and teach it a language: exactly V tokens, every one of which some text produces.

    Args:
        teacher: any fast tokenizer of the families BPE, Unigram and WordPiece.
        texts: language -> a function that starts reading its text; read once or twice.
        target: the language to be learned, one of `texts`.
        config: how large, how many tokens to keep and to learn, and whether the normalizer may change.
        max_seq_length: longest input in tokens, written into the settings.

    Returns:
        The student's tokenizer.

    Raises:
        UserError: the family is not supported, or V is impossible.
    """
    if teacher.family not in ("WordPiece", "BPE", "Unigram"):
        raise UserError(
            f"The teacher's tokenizer is a {teacher.family} model; tokenizer surgery handles BPE, Unigram and "
            "WordPiece. Pass --tokenizer with a ready tokenizer to use this teacher."
        )
    _refuse_other_prefix(teacher)
    change = _normalizer(teacher, texts, target, config)
    student = teacher.load()
    if change.normalizer is not None:
        student.normalizer = change.normalizer
    tables = _count(student, texts)
    size = _size(teacher, config)
    exactly = size - config.keep if config.learn is None and config.keep is not None else config.learn
    # Rows that were set aside go first, but only when something has to go.
    everything, reserved = size >= len(teacher.ids), teacher.placeholders
    added = [token for token in teacher.added if everything or token not in reserved]
    if teacher.family == "WordPiece":
        learn = partial(_learn_wordpiece, student, texts[target], tables[target])
        plan = select_wordpiece_vocabulary(
            Counts(
                teacher=teacher.vocabulary,
                unknown=str(teacher.unknown),
                tables=tables,
                target=target,
                reserved=reserved,
            ),
            specials=added,
            vocab_size=size,
            letters=change.letters,
            learn=learn,
            exactly=exactly,
        )
        model = {**teacher.spec["model"], "vocab": {token: number for number, token in enumerate(plan.tokens)}}
    else:
        model, plan = select_vocabulary(
            _family(teacher, tables[target]),
            tables,
            target=target,
            fixed=set(added),
            size=size - len(set(added) - teacher.vocabulary.keys()),
            exactly=exactly,
        )
    files = teacher.with_model(model, json.loads(student.to_str())["normalizer"], added, max_seq_length)
    return AdaptedTokenizer(teacher=teacher, files=files, plan=plan, change=change)


def _refuse_other_prefix(teacher: TokenizerSpec) -> None:
    prefix = teacher.spec["model"].get("continuing_subword_prefix")
    if teacher.family == "WordPiece" and prefix != PREFIX:
        raise UserError(
            f"The teacher's tokenizer is a WordPiece model that marks continued tokens with {prefix!r}; tokenizer "
            f"surgery handles {PREFIX!r}. Pass another teacher, or --tokenizer with its own tokenizer."
        )


def _family(teacher: TokenizerSpec, target: WordCounts | None = None) -> Bpe | Unigram:
    return Bpe(teacher.spec) if teacher.family == "BPE" else Unigram(teacher.spec, target)


def _size(teacher: TokenizerSpec, config: TokenizerConfig) -> int:
    if config.vocab_size is None and config.keep is not None and config.learn is not None:
        return config.keep + config.learn
    return config.vocab_size or default_vocab_size(len(teacher.ids))


def _count(student: Tokenizer, texts: Texts) -> dict[str, WordCounts]:
    tables = {}
    with bar("counting words", len(texts), " languages") as progress:
        for lang, open_texts in texts.items():
            tables[lang] = count_words(student, open_texts())
            progress.update()
    return tables


def _normalizer(teacher: TokenizerSpec, texts: Texts, target: str, config: TokenizerConfig) -> NormalizerChange:
    original = teacher.load().normalizer
    if config.keep_normalizer:
        return NormalizerChange(normalizer=original)
    return adapt_normalizer(original, teacher.spec["normalizer"], target, texts[target]())


def _learn_wordpiece(
    student: Tokenizer, open_texts: Callable[[], Iterable[str]], table: WordCounts, size: int
) -> list[str]:
    return learn_tokens(student, open_texts(), size, chain.from_iterable(table.words))


def make_tokenizer(
    teacher: TokenizerSpec, corpus: Corpus, out: Path, *, target: str, config: TokenizerConfig, max_seq_length: int
) -> dict[str, Any]:
    """Make the student's tokenizer from a corpus and write it to a folder.

    Args:
        teacher: the teacher's tokenizer.
        corpus: text in all languages.
        out: folder for tokenizer.json and tokenizer_config.json.
        target: the language the student is made for.
        config: see `adapt_tokenizer`.
        max_seq_length: the teacher's longest input in tokens, written into the settings.

    Returns:
        The `tokenizer` section of the report.

    Raises:
        UserError: the family is not supported, or V is impossible.
    """
    languages = list(dict.fromkeys((*corpus.languages, *([target] if corpus.has_pairs else []))))
    texts = {lang: partial(corpus.all_texts, lang, target) for lang in languages}
    made = adapt_tokenizer(teacher, texts, target=target, config=config, max_seq_length=max_seq_length)
    made.files.write(out)
    return {**made.summary(), **tokenizer_report(teacher, made.files, corpus)}


def use_tokenizer(
    teacher: TokenizerSpec, ready: Path, corpus: Corpus, out: Path, *, max_seq_length: int
) -> dict[str, Any]:
    """Use a ready tokenizer as the student's.

    Args:
        teacher: the teacher's tokenizer.
        ready: folder of the tokenizer to use.
        corpus: text to measure it on.
        out: folder for its files.
        max_seq_length: the teacher's longest input in tokens, written into the settings.

    Returns:
        The `tokenizer` section of the report.
    """
    found = TokenizerSpec.read(ready)
    files = found.with_model(found.spec["model"], found.spec["normalizer"], found.added, max_seq_length)
    files.write(out)
    ours, theirs = (files.ids, teacher.ids)
    kept = len(ours.keys() & theirs.keys())
    return {
        "family": files.family,
        "vocab_size": len(ours),
        "kept": kept,
        "added": len(ours) - kept,
        "added_reachable": None,
        "specials_kept": sum(token in ours for token in teacher.specials),
        **tokenizer_report(teacher, files, corpus),
    }
