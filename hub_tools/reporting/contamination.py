"""What a run dropped from its training text because models are measured on it."""

from __future__ import annotations

from hub_tools.core.languages import name_of
from hub_tools.reporting.markdown import escape
from hub_tools.reporting.report import Report
from hub_tools.reporting.tables import markdown_table
from hub_tools.results import Contamination


def contamination(report: Report) -> str | None:
    """Say how many texts of the evaluation data were dropped, by data and language; None where there was no data."""
    if report.corpus is None or not report.corpus.kept_out:
        return None
    rows = [
        [escape(data), where, f"{count.exact:,}", f"{count.near:,}"]
        for where, counts in _counts(report).items()
        for data, count in counts.items()
    ]
    names = ", ".join(map(escape, report.corpus.kept_out))
    if not rows:
        return f"No evaluation text ({names}) was in the training text, not even a near copy."
    said = f"Evaluation texts ({names}) and near copies of them were dropped from the training text:"
    table = markdown_table([["evaluation data", "in", "exact copies dropped", "near copies dropped"], *sorted(rows)])
    return f"{said}\n\n{table}"


def _counts(report: Report) -> dict[str, dict[str, Contamination]]:
    """Return what was dropped from each part of the training text, by the data that it is in."""
    counts: dict[str, dict[str, Contamination]] = {}
    if report.corpus is not None:
        counts = {name_of(lang): text.contamination for lang, text in report.corpus.text.items()}
        if report.corpus.parallel is not None:
            counts["parallel text"] = report.corpus.parallel.contamination
    if report.embeddings is not None:
        counts["vectors of others"] = report.embeddings.contamination
    return counts
