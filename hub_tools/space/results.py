"""What a run measured, and the command that makes a student of one's own."""

from __future__ import annotations

import re
import shlex
from typing import Any

from hub_tools.core.languages import check_language, language_order
from hub_tools.evaluation.evaluate import MODELS
from hub_tools.reporting.reproduce import public
from hub_tools.reporting.text import Report, figure_text
from hub_tools.space.limits import RefusedError
from hub_tools.space.sandbox import check_id

_SMALLEST, _LARGEST = 300, 1_000_000


def public_report(report: Report) -> Report:
    """A report without the folders of the machine that made it."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(own) for key, own in value.items()}
        if isinstance(value, list):
            return [clean(own) for own in value]
        return public(value) if isinstance(value, str) else value

    cleaned: Report = clean(report)
    return cleaned


def score_rows(report: Report) -> list[dict[str, str]]:
    """One row a measurement: `task` (with metric, split and n) and what teacher, clone and student reach."""
    rows = []
    for row in report["evaluation"]:
        counted = f", n={row['n']:,}" if row["n"] else ""
        values = {name: figure_text(row["metric"], row[name]) for name in MODELS}
        rows.append({"task": f"{row['task']}, {row['metric']} ({row['split']}{counted})", **values})
    return rows


def fertility_rows(report: Report) -> list[tuple[str, float, float]]:
    """(language, tokens per word of the teacher, of the student), the target first."""
    fertility = report["tokenizer"]["fertility"]
    order = language_order(fertility, report["config"]["lang"][0])
    return [(lang, fertility[lang]["teacher"], fertility[lang]["student"]) for lang in order]


def command(teacher: str, language: str, vocabulary: int) -> str:
    """The command that makes a student, safe to paste into a shell.

    Raises:
        RefusedError: the teacher is no Hub id, or the vocabulary has an impossible size.
        UserError: the language is not known.
    """
    repo, _, revision = teacher.partition("@")
    repo = check_id(repo)
    if revision and not re.fullmatch(r"[\w.-]{1,60}", revision):
        raise RefusedError("error_id", id=teacher[:100])
    if not _SMALLEST <= vocabulary <= _LARGEST:
        raise RefusedError("error_vocabulary", smallest=_SMALLEST, largest=f"{_LARGEST:,}")
    chosen = f"{repo}@{revision}" if revision else repo
    words = ["hub-distill", "--teacher", chosen, "--lang", check_language(language), "--vocab-size", str(vocabulary)]
    return shlex.join(words)
