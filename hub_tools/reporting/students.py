"""Several students of one run side by side: a table, a picture and a sentence for each, by which a user chooses."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hub_tools.core.files import write_json, write_text
from hub_tools.core.languages import names_of
from hub_tools.core.names import public_name
from hub_tools.core.plain import to_plain
from hub_tools.core.run_dir import SHARED
from hub_tools.core.run_record import STUDENTS, read_record
from hub_tools.core.terminal import Style
from hub_tools.reporting.costs import rate_text
from hub_tools.reporting.figures import figure_alts, speeds_of, write_figures
from hub_tools.reporting.markdown import escape, render
from hub_tools.reporting.report import FullReport, Report, read_report
from hub_tools.reporting.scores import HOW_TO_READ, row_cells, verdict
from hub_tools.reporting.tables import markdown_table, terminal_table
from hub_tools.results import Costs, EvaluationRow, Figure, Speed

_SPEEDS = "Speeds are medians, in proportion to the teacher's, which encoded the same texts in turns with each student."


def read_students(run: Path) -> Report:
    """Read what became of several students: the report of what they share, and their figures under their names.

    Raises:
        UserError: one of them is not finished, or something is damaged.
    """
    record = read_record(run)
    reports = {name: read_report(run / STUDENTS / name, ()) for name in record.students}
    shared = Report.from_record(record.only(SHARED), run)
    first = next(iter(reports.values()))
    own = {name: sum(report.timings.values()) for name, report in reports.items()}
    return replace(
        shared,
        teacher=first.teacher,
        students={name: report.student for name, report in reports.items()},
        evaluation=_side_by_side(reports),
        costs=_costs(reports),
        timings={**shared.timings, **{name: round(own[name] - sum(shared.timings.values()), 2) for name in own}},
    )


def _costs(reports: dict[str, FullReport]) -> dict[str, Costs]:
    """Return what all models cost, the teacher's as it was measured beside the first student.

    A machine is not as fast in one evaluation as in the next, so speeds are in proportion to the teacher's.
    """
    first = next(iter(reports.values())).costs.get("teacher")
    if first is None:
        return {}
    costs = {"teacher": first}
    for name, report in reports.items():
        teacher, student = report.costs["teacher"], report.costs["student"]
        costs[name] = replace(
            student,
            sentences=_as_if(student.sentences, teacher.sentences, first.sentences),
            paragraphs=_as_if(student.paragraphs, teacher.paragraphs, first.paragraphs),
        )
    return costs


def _as_if(speed: Speed, measured: Speed, expected: Speed) -> Speed:
    """Return a speed as it would be where the teacher's is the expected one."""
    times = expected.texts_per_second / measured.texts_per_second
    rates = (round(times * rate, 1) for rate in (speed.texts_per_second, speed.tokens_per_second))
    return replace(speed, texts_per_second=next(rates), tokens_per_second=next(rates))


def _side_by_side(reports: dict[str, FullReport]) -> list[EvaluationRow]:
    """Return what was measured of all students as one table, with their differences to the teacher."""
    found = {name: {_key(row): row for row in report.evaluation} for name, report in reports.items()}
    first, *others = found.values()
    shared = [key for key in first if all(key in rows for rows in others)]
    rows = []
    for key in shared:
        models = {"teacher": first[key].models.get("teacher")}
        models |= {name: _beside_teacher(own[key].models.get("student")) for name, own in found.items()}
        prompts = {"teacher": first[key].prompts.get("teacher", {})}
        prompts |= {name: own[key].prompts.get("student", {}) for name, own in found.items()}
        is_supervised = any(own[key].supervised for own in found.values())
        some = prompts if first[key].prompts else {}
        rows.append(replace(first[key], models=models, prompts=some, supervised=is_supervised))
    return rows


def _key(row: EvaluationRow) -> tuple[str, str, str]:
    return row.task, row.split, row.metric


def _beside_teacher(figure: Figure | None) -> Figure | None:
    if figure is None:
        return None
    return replace(figure, differences={k: v for k, v in figure.differences.items() if k == "teacher"})


def students_table(report: Report) -> list[list[str]]:
    """Return the head of the table, with the teacher first, and its rows: size, speed and the main measures."""
    teacher, names = report.teacher, list(report.students)
    if teacher is None:
        raise ValueError("no student was measured")
    infos = [teacher, *report.students.values()]
    table = [["", "teacher", *names]]
    table.append(["parameters", *(f"{info.params / 1e6:.1f}M" for info in infos)])
    table.append(["vocabulary", *(f"{info.vocab_size:,}" for info in infos)])
    if report.costs:
        costs = report.costs.values()
        table.append(["weights on disk, MB", *(f"{cost.weight_bytes / 1e6:,.1f}" for cost in costs)])
        table.append(["sentences/s", *(rate_text(cost.sentences.texts_per_second) for cost in costs)])
        table.append(["times as fast", *(f"{times:.3g}" for times in speeds_of(report).values())])
    main = [row for row in report.evaluation if row.is_main]
    return [*table, *([f"{row.task}, {row.metric}", *row_cells(row, ("teacher", *names))] for row in main)]


def verdicts(report: Report) -> dict[str, str]:
    """Say in words how good each student is beside the teacher."""
    find = partial(verdict, report.evaluation, teacher="teacher", remedies=("steps", "corpus"))
    return {name: find(student=name) for name in report.students}


def _notes(report: Report) -> Sequence[str]:
    return [HOW_TO_READ, *([_SPEEDS] if report.costs else [])]


def students_text(report: Report, run: Path, paint: Callable[[str, Style], str] = lambda text, _: text) -> str:
    """Return what a run of several students ends with on a terminal."""
    head, *lines = terminal_table(students_table(report)).splitlines()
    folder = run / STUDENTS
    steps = {
        str(run / "report.md"): "the table, and the picture of quality against size and speed",
        f"hub-distill report {shlex.quote(str(folder))}/NAME": "all results of one",
        f"hub-distill space {shlex.quote(str(folder))}/NAME": "try teacher and student in your browser",
        f"hub-distill publish {shlex.quote(str(folder))}/NAME --push-to-hub NAMESPACE": "publish the one you choose",
    }
    width = max(map(len, steps))
    nexts = [f"  {step.ljust(width)}  {paint(why, 'dim')}" for step, why in steps.items()]
    said = verdicts(report).values()
    return "\n".join(
        ["", paint(head, "bold"), *lines, "", *_notes(report), "", paint("Next:", "bold"), *nexts, "", *said]
    )


def students_data(report: Report, run: Path) -> dict[str, Any]:
    """Return the same as plain data."""
    said, main = verdicts(report), [row for row in report.evaluation if row.is_main]
    results = [{"task": row.task, "metric": row.metric, **{n: row.value(n) for n in row.models}} for row in main]
    return {
        "run": str(run),
        "teacher": public_name(report.config.teacher),
        "languages": list(report.targets),
        "students": {name: {**to_plain(own), "verdict": said[name]} for name, own in report.students.items()},
        "costs": to_plain(report.costs),
        "results": results,
        "seconds": report.timings,
    }


def write_students(root: Path, report: Report) -> None:
    """Write report.json, report.md and figures/ of several students into the folder of their run."""
    write_json(root / "report.json", report.to_dict())
    write_figures(root, report)
    teacher, alts = public_name(report.config.teacher), figure_alts(report)
    said = verdicts(report).items()
    links = [f"- [{escape(name)}]({STUDENTS}/{name}/report.md): {escape(own)}" for name, own in said]
    timings = [["what", "seconds"], *([name, f"{seconds:.0f}"] for name, seconds in report.timings.items())]
    text = render(
        "students.md",
        title=escape(f"{names_of(report.targets)} students of {teacher}"),
        results=markdown_table([[escape(cell) for cell in row] for row in students_table(report)]),
        notes=" ".join(_notes(report)),
        quality_alt=alts["quality"] and escape(alts["quality"]),
        scores_alt=alts["scores"] and escape(alts["scores"]),
        students="\n".join(links),
        timings=markdown_table(timings),
    )
    write_text(root / "report.md", text)
