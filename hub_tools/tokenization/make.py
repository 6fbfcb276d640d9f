"""Stage `tokenizer`: what is written and measured, of tokenizers that are made and of ready ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hub_tools.core.logging import log
from hub_tools.results import Figures, TokenizerResult, is_read
from hub_tools.tokenization.adapt import Adaptation
from hub_tools.tokenization.adapted import AdaptedTokenizer, count_tokens
from hub_tools.tokenization.metrics import compare_tokenizers
from hub_tools.tokenization.prompts import changed_prompts
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

# Most languages that a warning names.
_NAMED = 8


def make_tokenizer(
    adaptation: Adaptation,
    out: Path,
    *,
    samples: Mapping[str, list[str]],
    unseen: Mapping[str, int] | None = None,
    pairs: Sequence[tuple[str, str]] = (),
) -> TokenizerResult:
    """Make the student's tokenizer, write it to the folder `out` and measure it.

    The plain trim and, where it is open how many tokens are learned, tokenizers between are written to folders in it.
    All are measured on `samples`, language -> texts, of which the first `unseen` are not learned from, and for the
    parity on `pairs`, held-out (source, translation).
    """
    measure = partial(compare_tokenizers, texts=samples, pairs=pairs, unseen=unseen)
    adapted = adaptation.make()
    others = {
        name: _write_and_measure(other, out / name, measure)
        for name, other in adaptation.with_fewer_learned(adapted).items()
    }
    result = _write_and_measure(adapted, out, measure)
    _warn_of_longer_texts(result.measures)
    _warn_of_changed_prompts(adaptation.teacher, adapted.student, adaptation.prompts, samples)
    if result.new_unknowns:
        log.warning(
            "  %s texts have characters that only the teacher can read; --keep-characters keeps them",
            f"{result.new_unknowns:,}",
        )
    return replace(result, others=others, sizes=adaptation.sizes)


def _write_and_measure(
    adapted: AdaptedTokenizer, out: Path, measure: Callable[[TokenizerSpec, TokenizerSpec], dict[str, Any]]
) -> TokenizerResult:
    adapted.student.write(out)
    return TokenizerResult(**adapted.summary(), **measure(adapted.teacher, adapted.student))


def _warn_of_longer_texts(measures: Mapping[str, Mapping[str, Figures]]) -> None:
    read = {lang: row for lang, row in measures.items() if all(map(is_read, row.values()))}
    count = "tokens_per_word"
    shown = {lang: (round(row["teacher"][count], 2), round(row["student"][count], 2)) for lang, row in read.items()}
    longer = {lang: after / max(before, 0.01) for lang, (before, after) in shown.items() if after > before}
    worst = sorted(longer, key=longer.__getitem__, reverse=True)
    if worst:
        log.warning(
            "  more tokens per word than with the teacher's tokenizer: %s%s",
            ", ".join("{} {:.2f} -> {:.2f}".format(lang, *shown[lang]) for lang in worst[:_NAMED]),
            f", and {len(worst) - _NAMED} more languages" if len(worst) > _NAMED else "",
        )


def _warn_of_changed_prompts(
    teacher: TokenizerSpec, student: TokenizerSpec, prompts: Sequence[str], samples: Mapping[str, list[str]]
) -> None:
    texts = [own[0] for own in samples.values() if own]
    for prompt, theirs, ours in changed_prompts(teacher, student, prompts, texts):
        log.warning(
            "  the prompt %r is tokenized differently than by the teacher, so every vector with it differs: %s -> %s",
            prompt,
            " ".join(theirs),
            " ".join(ours),
        )


def use_tokenizer(
    teacher: TokenizerSpec,
    ready: TokenizerSpec,
    out: Path,
    *,
    max_seq_length: int,
    samples: Mapping[str, list[str]],
    pairs: Sequence[tuple[str, str]] = (),
    prompts: Sequence[str] = (),
) -> TokenizerResult:
    """Write a ready tokenizer as the student's and measure it, as `make_tokenizer` does.

    `max_seq_length` is the longest input in tokens, and `prompts` those of the model.
    """
    student = ready.with_model(ready.spec["model"], ready.spec["normalizer"], ready.added_tokens, max_seq_length)
    student.write(out)
    measured = compare_tokenizers(teacher, student, samples, pairs)
    _warn_of_longer_texts(measured["measures"])
    _warn_of_changed_prompts(teacher, student, prompts, samples)
    return TokenizerResult(**count_tokens(teacher, student), added_reachable=None, **measured)
