"""What a run ends with: a table, searches, what to do next and a verdict, for a terminal or as plain data."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hub_tools.core.languages import WITHOUT_SPACES, name_of
from hub_tools.core.names import public_name
from hub_tools.core.plain import to_plain
from hub_tools.core.run_record import student_of
from hub_tools.core.terminal import Style
from hub_tools.evaluation.tasks import SAMPLE_RETRIEVAL
from hub_tools.reporting.costs import rate_text
from hub_tools.reporting.report import FullReport, Report
from hub_tools.reporting.tables import UNREAD, measure_text, score_text, terminal_table
from hub_tools.reporting.text import measures_of, models_of, report_warnings, search_text, verdict_of
from hub_tools.results import EvaluationRow, is_read

Verdict = Literal["better", "worse", "level", "not known"]
Paint = Callable[[str, Style], str]
_MARKS: dict[Verdict, str] = {"better": "✓", "worse": "✗", "level": "=", "not known": "?"}
_STYLES: dict[str, Style] = {"✓": "green", "✗": "red", "=": "dim", "?": "dim"}
HOW_TO_READ = (
    "✓ better and ✗ worse than the teacher by more than noise, = within it (95%, paired bootstrap over the items), "
    "? not known."
)


@dataclass(frozen=True, kw_only=True)
class _Row:
    """What was measured of each model, and how the student compares with the teacher."""

    name: str
    values: dict[str, float | None]  # by model; None where it was not measured or means nothing
    texts: dict[str, str]
    change: float | None = None  # points of a score, of all others a share of the teacher's value
    change_text: str = ""
    verdict: Verdict | None = None  # of scores


def summary_text(report: FullReport, run: Path, paint: Paint = lambda text, _: text) -> str:
    """Return what a whole run ends with on a terminal, painted by a function of a text and its style."""
    models, rows = models_of(report), list(_rows(report))
    table = [["", *models, "change"]]
    table += [[row.name, *(row.texts[name] for name in models), row.change_text] for row in rows]
    head, rule, *lines = terminal_table(table).splitlines()
    painted = [_with_mark(line, row.change_text, paint).rstrip() for line, row in zip(lines, rows, strict=True)]
    unread = [UNREAD] if any(text.endswith("?") for row in rows for text in row.texts.values()) else []
    searches = [_painted(search_text(search), paint) for search in report.searches]
    return "\n".join(
        [
            "",
            paint(head, "bold"),
            rule,
            *painted,
            "",
            HOW_TO_READ,
            *unread,
            *(["", found] if (found := _found_first(report)) else []),
            *searches,
            "",
            *_next_steps(run, paint),
            "",
            verdict_of(report),
        ]
    )


def summary_data(report: Report, run: Path) -> dict[str, Any]:
    """Return the same as plain data, empty where stages did not run; `run` is the folder of the report."""
    full = report if isinstance(report, FullReport) else None
    rows = _rows(full) if full else []
    return {
        "run": str(run),
        "teacher": public_name(report.config.teacher),
        "languages": list(report.targets),
        "results": [{"name": row.name, **row.values, "change": row.change, "student_is": row.verdict} for row in rows],
        "searches": to_plain(report.searches),
        "verdict": verdict_of(full) if full else None,
        "warnings": report_warnings(report),
        "seconds": report.timings,
    }


def _rows(report: FullReport) -> Iterator[_Row]:
    models, teacher, student = models_of(report), report.teacher, report.student
    params = {model: teacher.params if model == "teacher" else student.params for model in models}
    yield _ratio("parameters", params, {model: f"{count / 1e6:.1f}M" for model, count in params.items()})
    vocabulary = {model: teacher.vocab_size if model == "teacher" else student.vocab_size for model in models}
    yield _ratio("vocabulary", vocabulary, {model: f"{count:,}" for model, count in vocabulary.items()})
    for lang in dict.fromkeys((*report.targets, "en")):
        if lang in report.tokenizer.measures:
            yield _tokens(report, lang)
    main = [row for row in report.evaluation if row.is_main]
    of_task = Counter(row.task for row in main)
    for row in main:
        yield _score(row, models, is_alone=of_task[row.task] == 1)
    if report.costs:
        speeds = {model: report.costs[model].sentences.texts_per_second for model in models}
        yield _ratio("sentences/s", speeds, {model: rate_text(speed) for model, speed in speeds.items()})


def _tokens(report: FullReport, lang: str) -> _Row:
    found = measures_of(report, lang)
    unit = "character" if lang in WITHOUT_SPACES else "word"
    counts = {model: own["tokens_per_word"] if own and is_read(own) else None for model, own in found.items()}
    texts = {model: measure_text(own, "tokens_per_word", ".2f") if own else "" for model, own in found.items()}
    return _ratio(f"tokens per {unit}, {name_of(lang)}", counts, texts)


def _ratio(name: str, values: dict[str, Any], texts: dict[str, str]) -> _Row:
    before, after = values["teacher"], values["student"]
    change = after / before - 1 if before and after is not None else None
    text = "" if change is None else f"{round(100 * change):+d}%  "
    return _Row(name=name, values=values, texts=texts, change=change, change_text=text)


def _score(row: EvaluationRow, models: list[str], *, is_alone: bool) -> _Row:
    count = f", n={row.n:,}" if row.n else ""
    figure = row.models.get("student")
    difference = figure.differences.get("teacher") if figure else None
    verdict: Verdict | None = None
    text = ""
    if difference is not None:
        verdict = "better" if difference.value > 0 else "worse"
        if not difference.is_clear:
            verdict = "level" if difference.has_bounds else "not known"
        text = f"{100 * difference.value:+.1f} {_MARKS[verdict]}"
    return _Row(
        # What is measured without labels has long names.
        name=f"{row.task}{count}" if is_alone and difference is None else f"{row.task}, {row.metric}{count}",
        values={model: row.value(model) for model in models},
        texts={model: score_text(row.metric, row.value(model)) for model in models},
        change=difference.value if difference else None,
        change_text=text,
        verdict=verdict,
    )


def _with_mark(line: str, change: str, paint: Paint) -> str:
    """Paint the change that a line ends with by its mark."""
    style = _STYLES.get(change[-1:])
    return line[: -len(change)] + paint(change, style) if style else line


def _painted(search: str, paint: Paint) -> str:
    for mark in "✓✗":
        search = search.replace(f" {mark} ", f" {paint(mark, _STYLES[mark])} ")
    return search


def _found_first(report: FullReport) -> str | None:
    """Say how often each model finds the right one of the sample's passages first."""
    for row in report.evaluation:
        if (row.task, row.metric) == (SAMPLE_RETRIEVAL, "recall@1") and row.n:
            counts = (f"{name} {row.n * (row.value(name) or 0):.0f}" for name in ("teacher", "student"))
            return f"The right passage comes first, of {row.n} questions: {', '.join(counts)}. Three of them:"
    return None


def _next_steps(run: Path, paint: Paint) -> list[str]:
    folder = shlex.quote(str(run))
    steps = {
        f"hub-distill space {folder}": "try teacher and student in your browser",
        f'SentenceTransformer("{student_of(run)}")': "use the student in Python",
        f"hub-distill publish {folder} --push-to-hub NAME --dry-run": "see what would be published",
        str(run / "report.md"): "read all results",
    }
    width = max(map(len, steps))
    return [paint("Next:", "bold"), *(f"  {step.ljust(width)}  {paint(why, 'dim')}" for step, why in steps.items())]
