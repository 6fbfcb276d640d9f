"""The first screen of a model card: what the model is good for, its facts, and an example with its output."""

from __future__ import annotations

from typing import Any

from hub_tools.core.languages import name_of, names_of
from hub_tools.reporting.cards.shared import teacher_link
from hub_tools.reporting.markdown import escape, literal
from hub_tools.reporting.report import FullReport
from hub_tools.reporting.scores import SMALL_SAMPLE
from hub_tools.results import EvaluationRow

# What a ratio has to differ from 1 by to be worth a word; speeds differ by some hundredths from one try to the next.
_WORTH_SAYING = 0.05
_FASTER = 1.1


def overview(report: FullReport) -> dict[str, str | float | None]:
    """Return what the first screen says."""
    longest, vectors = report.student.max_seq_length, report.embeddings
    across = f", also between {_source(report)} and {name_of(report.target)}" if _source(report) else ""
    return {
        "benefit": f"**A {names_of(report.targets)} version of {teacher_link(report)}{_gains(report)}.**",
        "parameters": f"{report.student.params:,} (teacher: {report.teacher.params:,})",
        "dimension": f"{report.student.dim:,}" + (", normalised to length 1" if vectors.normalized else ""),
        "max_tokens": f"{longest:,} tokens" if longest else "no limit",
        "languages": names_of(dict.fromkeys((*report.targets, "en"))),
        "use_for": f"search, similarity and clustering of {names_of(report.targets)} text{across}",
        "not_for": _not_for(report),
        **_example(report),
        "truncated": min(report.lengths, default=None),
    }


def is_comparable(row: EvaluationRow) -> bool:
    """Return whether a figure says something beyond the run: not of few items, nor of the run's own held-out text."""
    return row.is_main and (row.n or 0) >= SMALL_SAMPLE and row.split != "heldout"


def widget(report: FullReport) -> list[dict[str, Any]] | None:
    """Return the example as the Hub's widget for similarity reads it."""
    example = report.example
    return [{"source_sentence": example.query, "sentences": example.documents}] if example else None


def _gains(report: FullReport) -> str:
    """Return what the student has that the teacher has not, as far as it is clear; nothing where nothing is."""
    target, gains = report.target, []
    tokens = report.tokenizer.fertility.get(target)
    if tokens and not any(lang == target for lang, _ in report.tokenizer.unread):
        gains += _less("tokens", tokens["student"] / tokens["teacher"], f" for {name_of(target)} text")
    gains += _less("parameters", report.student.params / report.teacher.params, "")
    if report.costs:
        speed, before = (report.costs[name].sentences.texts_per_second for name in ("student", "teacher"))
        gains += [f"{speed / before:.1f} times as fast"] if speed / before >= _FASTER else []
    for row in report.evaluation:
        figure = row.models.get("student")
        difference = figure.differences.get("teacher") if figure else None
        if is_comparable(row) and difference and difference.is_clear and difference.value > 0:
            gains.append(
                f"{escape(row.task)} {100 * (row.value('teacher') or 0):.1f} → {100 * (row.value('student') or 0):.1f}"
            )
    return f": {', '.join(gains)}" if gains else ""


def _less(what: str, ratio: float, where: str) -> list[str]:
    return [f"{100 * (1 - ratio):.0f}% fewer {what}{where}"] if ratio < 1 - _WORTH_SAYING else []


def _source(report: FullReport) -> str | None:
    """Return the language whose translations the student learned; None where it learned none."""
    parallel = report.corpus.parallel
    return name_of(parallel.languages[0]) if parallel and parallel.languages else None


def _not_for(report: FullReport) -> str:
    longest = report.student.max_seq_length
    lost = sorted(name_of(lang) for lang, name in report.tokenizer.unread if name == "student")
    parts = [f"texts of more than {longest:,} tokens, whose rest it ignores"] if longest else []
    parts += [f"{', '.join(lost)}, which its tokenizer cannot read"] if lost else []
    return "; ".join([*parts, "languages that the tables below do not name, without a test of your own"])


def _example(report: FullReport) -> dict[str, str | None]:
    """Return texts in Python and what the model printed; placeholders for languages without bundled text."""
    example = report.example
    if example is None:
        placeholders = {"query": literal("a question"), "documents": '    "a text",\n    "another text",'}
        return {**placeholders, "printed": None, "by_teacher": None}
    cosines = {name: ", ".join(f"{value:.4f}" for value in found) for name, found in example.similarities.items()}
    return {
        "query": literal(example.query),
        "documents": "\n".join(f"    {literal(text)}," for text in example.documents),
        "printed": f"# tensor([[{cosines['student']}]])",
        "by_teacher": "The first of these says the same as the query. The run measured them; the teacher gives "
        f"{cosines['teacher']}.",
    }
