"""The figures of a run: which there are, as files and in words."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, get_args

from hub_tools.core.files import read_as
from hub_tools.core.run_files import cure_for
from hub_tools.reporting import plots, quality
from hub_tools.reporting.drawing import Form
from hub_tools.reporting.report import Report

FOLDER = "figures"


def write_figures(root: Path, report: Report) -> None:
    """Write the figures of the stages that ran into the folder figures/ of a run."""
    folder = root / FOLDER
    shutil.rmtree(folder, ignore_errors=True)  # those of an earlier run
    folder.mkdir()
    for form in get_args(Form):
        for name, content in draw_figures(root, report, form=form).items():
            (folder / name).write_bytes(content)


def draw_figures(root: Path, report: Report, lang: str = "en", form: Form = "png") -> dict[str, bytes]:
    """Draw the figures of the stages of a run that ran, in a language of the page; return name of the file -> content.

    What is published or shown is drawn from the record, not taken from the folder figures/, which anyone may change.
    """
    figures, ending = {}, file_ending(lang, form)
    if plots.judged(report.evaluation):
        figures[f"scores{ending}"] = plots.draw_scores(report.evaluation, lang, form)
    sizes, speeds = _sizes(report), speeds_of(report)
    if quality.quality_alt(report.evaluation, sizes) is not None:
        figures[f"quality{ending}"] = quality.draw_quality(report.evaluation, sizes, lang, form, speeds=speeds)
    if report.tokenizer is not None and report.tokenizer.fertility:
        tokenizer = report.tokenizer
        rates = tokenizer.fertility
        figures[f"tokens_per_word{ending}"] = plots.draw_tokens(rates, report.targets, tokenizer.unread, lang, form)
    if report.distill is not None and report.distill.cosine_after is not None:
        training = read_as(dict[str, Any], root / "student" / "training.json", cure_for(root / "student"))
        share = report.distill.weight_interpolation
        drawn = plots.draw_history(training["history"], report.distill, share, lang, form)
        figures[f"heldout_cosine{ending}"] = drawn
    return figures


def file_ending(lang: str, form: Form = "png") -> str:
    """Return what the names of figures in a language end with."""
    return f".{form}" if lang == "en" else f".{lang}.{form}"


def figure_alts(report: Report, lang: str = "en") -> dict[str, str | None]:
    """Return the name of each figure without its ending -> what it shows, in words; None where it is not drawn."""
    tokenizer, distill = report.tokenizer, report.distill
    return {
        "scores": plots.scores_alt(report.evaluation, lang),
        "quality": quality.quality_alt(report.evaluation, _sizes(report), lang, speeds=speeds_of(report)),
        "tokens_per_word": plots.tokens_alt(tokenizer.fertility, report.targets, tokenizer.unread, lang)
        if tokenizer
        else None,
        "heldout_cosine": plots.history_alt(distill, distill.weight_interpolation, lang) if distill else None,
    }


def _sizes(report: Report) -> dict[str, int]:
    """Return model -> its parameters; of one student's run all but the teacher have the student's."""
    if report.teacher is not None and report.students:
        return {"teacher": report.teacher.params, **{name: own.params for name, own in report.students.items()}}
    if report.teacher is None or report.student is None or not (shown := plots.judged(report.evaluation)):
        return {}
    return dict.fromkeys(shown[0].models, report.student.params) | {"teacher": report.teacher.params}


def speeds_of(report: Report) -> dict[str, float]:
    """Return how many times as fast as the teacher each of several students is; nothing where that is not known."""
    if not report.students or not report.costs:
        return {}
    speeds = {name: cost.sentences.texts_per_second for name, cost in report.costs.items()}
    return {name: speed / speeds["teacher"] for name, speed in speeds.items()}
