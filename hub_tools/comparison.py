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
from hub_tools.core.run_record import RECORD
from hub_tools.evaluation.evaluate import evaluate
from hub_tools.evaluation.mteb_files import write_results
from hub_tools.evaluation.mteb_tasks import AnyTask
from hub_tools.evaluation.subject import Subject
from hub_tools.models.loading import LoadPolicy, load_model
from hub_tools.models.resolve import find_teacher
from hub_tools.models.teacher import Teacher
from hub_tools.reporting.report import read_report
from hub_tools.reporting.scores import HOW_TO_READ, prompts_note, scores_table, verdict
from hub_tools.reporting.tables import markdown_table, terminal_table
from hub_tools.results import EvaluationRow


def compare(
    models: Sequence[str],
    tasks: Sequence[AnyTask],
    out: Path,
    *,
    hardware: Hardware,
    policy: LoadPolicy,
    mteb_language: str | None = None,
) -> str:
    """Measure models and write scores.json and scores.md into a folder; return a table for the terminal.

    With `mteb_language`, that of the files, results are written in mteb's format too, to mteb/MODEL/TASK.json.

    `models` are ids of the Hub, folders, or a single run folder, which stands for its teacher, clone and student. All
    read as many tokens of a text as the one that reads fewest. Vectors are kept in the folder: what was cut off
    continues.

    Raises:
        UserError: a model is not found or cannot be loaded.
    """
    found = {name: find_teacher(model, policy=policy) for name, model in _names(models).items()}
    longest = min(model.max_seq_length for model in found.values())
    log.info("%s, %d tokens of a text at most, on %s", ", ".join(found), longest, hardware)
    subjects = {name: _subject(model, hardware, longest, out / ".vectors") for name, model in found.items()}
    rows = evaluate(subjects, tasks)
    how = f"All models ran on {hardware} and read at most {longest:,} tokens of a text."
    notes = [HOW_TO_READ, how, prompts_note(rows)]
    notes += [_verdict(rows, name, list(found)) for name in list(found)[1:]]
    write_json(out / "scores.json", {"hardware": str(hardware), "longest": longest, "rows": to_plain(rows)})
    write_text(out / "scores.md", "\n\n".join([markdown_table(scores_table(rows)), *notes]) + "\n")
    if mteb_language is not None:
        write_results(subjects, tasks, out / "mteb", language=mteb_language)
    return "\n".join(["", terminal_table(scores_table(rows)), "", *notes])


def _names(models: Sequence[str]) -> Mapping[str, str]:
    """Return the name of each model in the table -> what finds it."""
    if len(models) == 1 and (Path(models[0]) / RECORD).exists():
        run = Path(models[0])
        return {"teacher": read_report(run).teacher.spec, "clone": str(run / "clone"), "student": str(run / "student")}
    names = {model: model for model in models}
    if len(names) < len(models):
        raise UsageError("A model is given twice.")
    short = [Path(model).name for model in models]
    return dict(zip(short, models, strict=True)) if len(set(short)) == len(short) else names


def _subject(model: Teacher, hardware: Hardware, longest: int, cache: Path) -> Subject:
    load = partial(load_model, model.path, device=hardware.device, policy=model.policy)
    return Subject(load, hardware, longest=longest, cache=cache, identity=model.identity)


def _verdict(rows: Sequence[EvaluationRow], name: str, names: Sequence[str]) -> str:
    clone = "clone" if name == "student" and "clone" in names else None
    return verdict(rows, student=name, teacher=names[0], clone=clone)
