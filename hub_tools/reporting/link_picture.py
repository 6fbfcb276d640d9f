"""What a link to a student's page shows of it: what the student gained, and a picture that says so."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from textwrap import fill
from typing import Any

from hub_tools.core.languages import name_of
from hub_tools.reporting.report import FullReport
from hub_tools.results import is_read


def gains(report: FullReport) -> list[str]:
    """Say what the student gained, of what was measured."""
    found, said = report.tokenizer.measures.get(report.target), []
    language = name_of(report.target)
    if found and all(map(is_read, found.values())):
        before, after = (found[name]["tokens_per_word"] for name in ("teacher", "student"))
        if after < before:
            said.append(f"{language} text in {1 - after / before:.0%} fewer tokens")
    for row in report.evaluation:
        teacher, student = (row.value(name) for name in ("teacher", "student"))
        if row.metric == "recall@1" and teacher is not None and student is not None and student > teacher:
            said.append(f"right passage found first: {teacher:.0%} → {student:.0%} of {row.n} questions")
            break
    if {"teacher", "student"} <= report.costs.keys():
        slow, fast = (report.costs[name].sentences.texts_per_second for name in ("teacher", "student"))
        if fast > slow:
            said.append(f"{fast / slow:.1f} times the speed on {language} sentences")
    return said


def draw_link_picture(title: str, lines: Sequence[str]) -> bytes:
    """Return a picture for links, PNG of 1200 x 630: a title and up to three lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.3), facecolor="#0b3a52")
    style: dict[str, Any] = {"ha": "left", "va": "top", "color": "#ffffff", "parse_math": False}
    figure.text(
        0.06, 0.88, fill(title, 34, break_on_hyphens=False), fontsize=46, weight="bold", linespacing=1.15, **style
    )
    for number, line in enumerate(lines):
        figure.text(0.06, 0.5 - 0.12 * number, f"✓ {line}", fontsize=26, **style)
    figure.text(0.06, 0.1, "hub_tools", fontsize=22, **{**style, "color": "#9fd3ea"})
    picture = BytesIO()
    figure.savefig(picture, dpi=100, format="png")
    return picture.getvalue()
