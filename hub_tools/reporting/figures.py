"""The figures of a run: which there are, as PNG and in words."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hub_tools.core.files import read_as
from hub_tools.core.run_files import cure_for
from hub_tools.reporting import plots
from hub_tools.reporting.report import Report

FOLDER = "figures"


def write_figures(root: Path, report: Report) -> None:
    """Write the figures of the stages that ran into the folder figures/ of a run."""
    folder = root / FOLDER
    shutil.rmtree(folder, ignore_errors=True)  # those of an earlier run
    folder.mkdir()
    for name, content in draw_figures(root, report).items():
        (folder / name).write_bytes(content)


def draw_figures(root: Path, report: Report) -> dict[str, bytes]:
    """Draw the figures of the stages of a run that ran; return name of the file -> PNG.

    What is published or shown is drawn from the record, not taken from the folder figures/, which anyone may change.
    """
    figures = {}
    if plots.judged(report.evaluation):
        figures["scores.png"] = plots.draw_scores(report.evaluation)
    if plots.quality_alt(report.evaluation, _sizes(report)) is not None:
        figures["quality.png"] = plots.draw_quality(report.evaluation, _sizes(report))
    if report.tokenizer is not None and report.tokenizer.fertility:
        tokenizer = report.tokenizer
        figures["tokens_per_word.png"] = plots.draw_tokens(tokenizer.fertility, report.targets, tokenizer.unread)
    if report.distill is not None and report.distill.cosine_after is not None:
        training = read_as(dict[str, Any], root / "student" / "training.json", cure_for(root / "student"))
        figures["heldout_cosine.png"] = plots.draw_history(training["history"], report.distill, _blend(report))
    return figures


def figure_alts(report: Report) -> dict[str, str | None]:
    """Return the name of each figure without its ending -> what it shows, in words; None where it is not drawn."""
    tokenizer, distill = report.tokenizer, report.distill
    return {
        "scores": plots.scores_alt(report.evaluation),
        "quality": plots.quality_alt(report.evaluation, _sizes(report)),
        "tokens_per_word": plots.tokens_alt(tokenizer.fertility, report.targets, tokenizer.unread)
        if tokenizer
        else None,
        "heldout_cosine": plots.history_alt(distill, _blend(report)) if distill else None,
    }


def _blend(report: Report) -> float:
    return report.config.distill.weight_interpolation


def _sizes(report: Report) -> dict[str, int]:
    """Return model -> its parameters; all but the teacher have the student's."""
    if report.teacher is None or report.student is None or not (shown := plots.judged(report.evaluation)):
        return {}
    return dict.fromkeys(shown[0].models, report.student.params) | {"teacher": report.teacher.params}
