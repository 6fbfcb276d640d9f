"""Models of a run without labels: how much of the teacher's space is in theirs."""

from __future__ import annotations

import math
from collections.abc import Mapping

from hub_tools.corpus.build import Corpus
from hub_tools.evaluation.costs import paragraphs_of
from hub_tools.evaluation.subject import Role, Subject
from hub_tools.results import Agreement, EvaluationRow, Figure
from hub_tools.vectors.agreement import agreement, agreement_across
from hub_tools.vectors.bitext import heldout_pairs

# Held-out texts whose similarities are compared, and how few of them say nothing.
_TEXTS, _PARAGRAPHS, _FEWEST = 2000, 200, 20
_MEASURES = {"ranks": "similarities ranked", "neighbours": "ten nearest found", "spread": "spread of similarities"}


def agreement_rows(subjects: Mapping[str, Subject], corpus: Corpus, targets: tuple[str, ...]) -> list[EvaluationRow]:
    """Return how much of the first model's space is in each one's, on held-out text.

    That is text of each target language as it is and as paragraphs, and pairs of translations, one side with the other.
    """
    rows = []
    for lang in targets:
        texts = list(corpus.texts(lang, "heldout", _TEXTS)) if lang in corpus.languages else []
        which = f" ({lang})" if len(targets) > 1 else ""
        rows += _rows(f"sentences{which}", subjects, texts, "query")
        rows += _rows(f"paragraphs{which}", subjects, paragraphs_of(texts, lang, _PARAGRAPHS), "document")
    pairs = heldout_pairs(corpus)
    return [*rows, *_rows_across(subjects, list(pairs), list(pairs.values()))]


def _rows(what: str, subjects: Mapping[str, Subject], texts: list[str], role: Role) -> list[EvaluationRow]:
    if len(texts) < _FEWEST:
        return []
    vectors = [subject.encode(texts, role, f"held-out {what}") for subject in subjects.values()]
    found = [agreement(vectors[0], own) for own in vectors]
    return _named(what, len(texts), dict(zip(subjects, found, strict=True)))


def _rows_across(subjects: Mapping[str, Subject], sources: list[str], targets: list[str]) -> list[EvaluationRow]:
    if len(sources) < _FEWEST:
        return []
    sides = (sources, targets)
    vectors = []
    for subject in subjects.values():
        first, second = (subject.encode(side, "query", "held-out translations") for side in sides)
        vectors.append((first, second))
    found = [agreement_across(vectors[0], own) for own in vectors]
    return _named("across languages", len(sources), dict(zip(subjects, found, strict=True)))


def _named(what: str, n: int, found: Mapping[str, Agreement]) -> list[EvaluationRow]:
    task = f"agreement with the teacher, {what}"
    rows = []
    for key, label in _MEASURES.items():
        values = {name: getattr(own, key) for name, own in found.items()}
        rows.append(plain_row(task, "heldout", label, n, values, is_main=key == "ranks"))
    return rows


def plain_row(
    task: str,
    split: str,
    metric: str,
    n: int | None,
    values: Mapping[str, float | None],
    *,
    is_main: bool = True,
) -> EvaluationRow:
    """Return a row of numbers for which nothing is drawn anew."""
    shown = {
        name: None if value is None or not math.isfinite(value) else Figure(value=round(value, 4))
        for name, value in values.items()
    }
    return EvaluationRow(task=task, split=split, metric=metric, n=n, models=shown, is_main=is_main)
