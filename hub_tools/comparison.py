"""Any models side by side on the user's data: `hub-distill evaluate MODEL MODEL ...`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from hub_tools.core.errors import UsageError
from hub_tools.core.files import write_json, write_text
from hub_tools.core.hardware import Hardware
from hub_tools.core.logging import log
from hub_tools.core.plain import to_plain
from hub_tools.core.run_record import RECORD, STUDENT
from hub_tools.evaluation.costs import measure_costs, texts_of_tasks
from hub_tools.evaluation.evaluate import DISTILLED, evaluate
from hub_tools.evaluation.mteb_files import write_results
from hub_tools.evaluation.mteb_tasks import AnyTask
from hub_tools.evaluation.smaller import smaller_vectors
from hub_tools.evaluation.subject import Subject
from hub_tools.models.loading import LoadPolicy, describe, load_model
from hub_tools.models.resolve import find_teacher
from hub_tools.models.sizes import weight_bytes
from hub_tools.models.teacher import Teacher
from hub_tools.reporting import plots, quality
from hub_tools.reporting.costs import SMALLER_NOTE, costs_note, costs_table, smaller_table
from hub_tools.reporting.markdown import alerts, escape
from hub_tools.reporting.report import FullReport, read_report
from hub_tools.reporting.scores import HOW_TO_READ, prompts_note, scores_table, verdict, warnings_of
from hub_tools.reporting.tables import markdown_table, terminal_table
from hub_tools.reporting.text import remedies_of
from hub_tools.results import EvaluationRow
from hub_tools.tokenization.adapt import TRIM


def compare(
    models: Sequence[str],
    tasks: Sequence[AnyTask],
    out: Path,
    *,
    lang: str,
    hardware: Hardware,
    policy: LoadPolicy,
    max_tokens: int | None = None,
    in_mteb_format: bool = False,
) -> str:
    """Measure models and write scores.json and scores.md into a folder; return a table for the terminal.

    `models` are ids of the Hub, folders, or a single run folder, which stands for the models of its evaluation. All
    read `max_tokens` of a text, or as many as the one that reads fewest. Vectors are kept in the folder: what was cut
    off continues. What the models cost is measured on the texts of the tasks, in the language `lang`. With
    `in_mteb_format` results are written in mteb's format too, to mteb/MODEL/TASK.json.

    Raises:
        UserError: a model is not found or cannot be loaded, or has no positions for so many tokens.
    """
    run = _report_of(models)
    names = _names(models) if run is None else _names_of_run(run, Path(models[0]))
    found = {name: find_teacher(model, policy=policy) for name, model in names.items()}
    longest = min(model.reads(max_tokens) for model in found.values())
    log.info("%s, %d tokens of a text at most, on %s", ", ".join(found), longest, hardware)
    subjects = {name: _subject(model, hardware, longest, out / ".vectors") for name, model in found.items()}
    if run:  # whose options may name prompts for all of its models
        subjects["teacher"].model.prompts = dict(subjects["student"].model.prompts)
    rows = evaluate(subjects, tasks)
    weights = {name: weight_bytes(model.path, policy) for name, model in found.items()}
    costs = measure_costs(subjects, texts_of_tasks(tasks), lang, weights)
    smaller = smaller_vectors(subjects, tasks, run.lengths if run else ())
    tables = list(filter(None, (scores_table(rows), costs_table(costs, lang), smaller_table(smaller))))
    how = f"All models ran on {hardware} and read at most {longest:,} tokens of a text."
    notes = [HOW_TO_READ, how, costs_note(costs), SMALLER_NOTE if smaller else None, prompts_note(rows)]
    first, *others = found
    remedies = {"student": remedies_of(run)} if run else {}  # no training changes a run's trim or clone
    notes += [verdict(rows, student=name, teacher=first, remedies=remedies.get(name, ())) for name in others]
    warnings = warnings_of(rows)
    measured = {"rows": rows, "costs": costs, "smaller": smaller}
    write_json(out / "scores.json", {"hardware": str(hardware), "longest": longest, **to_plain(measured)})
    pictures = _draw(out, rows, {name: describe(subject.model).params for name, subject in subjects.items()})
    scores, *others_tables = map(markdown_table, tables)
    parts = [scores, alerts(warnings), *others_tables, *notes, *pictures]
    write_text(out / "scores.md", "\n\n".join(filter(None, parts)) + "\n")
    if in_mteb_format:
        write_results(subjects, tasks, out / "mteb", language=lang)
    for warning in warnings:
        log.warning("Warning: %s", warning)
    return "\n".join(["", *(f"{terminal_table(table)}\n" for table in tables), *filter(None, notes)])


def _draw(out: Path, rows: Sequence[EvaluationRow], params: Mapping[str, int]) -> list[str]:
    """Draw scores.png, and quality.png of several models, into a folder; return the Markdown that shows them."""
    drawn = {"scores.png": (plots.scores_alt(rows), partial(plots.draw_scores, rows))}
    drawn["quality.png"] = (quality.quality_alt(rows, params), partial(quality.draw_quality, rows, params))
    for name, (alt, draw) in drawn.items():
        if alt is not None:
            (out / name).write_bytes(draw())
    return [f"![{escape(alt)}]({name})" for name, (alt, _) in drawn.items() if alt is not None]


def _report_of(models: Sequence[str]) -> FullReport | None:
    """Return the report of the run that a single folder stands for, or None if models are named themselves."""
    is_run = len(models) == 1 and (Path(models[0]) / RECORD).exists()
    return read_report(Path(models[0])) if is_run else None


def _names_of_run(report: FullReport, run: Path) -> Mapping[str, str]:
    """Return the name of each model of a run -> what finds it."""
    trim = {TRIM: str(run / "clone" / TRIM)} if (run / "clone" / TRIM).is_dir() else {}
    distilled = {DISTILLED: str(run / STUDENT)} if report.finetune else {}
    parents = {"teacher": report.teacher.spec, **trim, "clone": str(run / "clone"), **distilled}
    return {**parents, "student": report.student.id}


def _names(models: Sequence[str]) -> Mapping[str, str]:
    """Return the name of each model in the table -> what finds it.

    Raises:
        UsageError: a model is given twice.
    """
    names = {model: model for model in models}
    if len(names) < len(models):
        raise UsageError("A model is given twice.")
    short = [Path(model).name for model in models]
    return dict(zip(short, models, strict=True)) if len(set(short)) == len(short) else names


def _subject(model: Teacher, hardware: Hardware, longest: int, cache: Path) -> Subject:
    load = partial(load_model, model.path, device=hardware.device, policy=model.policy)
    return Subject(load, hardware, longest=longest, cache=cache, identity=model.identity)
