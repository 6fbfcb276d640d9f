"""What the student was trained for with labels, on what, and what was kept of it."""

from __future__ import annotations

from hub_tools.reporting.markdown import escape, inline_code
from hub_tools.reporting.report import Report
from hub_tools.reporting.tables import markdown_table
from hub_tools.results import FinetuneData, FinetuneResult, FinetuneStep

_SUPERVISED = "Rows of tasks of a kind that it was trained for with labels are marked `supervised`."
_SKILLS = {"nli": "inference", "retrieval": "retrieval", "sts": "similarity"}


def finetuning(report: Report) -> str | None:
    """Return the data, what each training changed on held-out data, and in words what was taken; None for nothing."""
    found = report.finetune
    if found is None:
        return None
    parts = [
        "## Training with labels",
        "After the distillation the student was trained with labels or pseudo-labels, for each skill by itself, and a "
        "share of what that changed in its weights was taken. Held-out data decided the shares.",
        markdown_table([_HEAD, *map(_data_row, found.data)], numbers=False),
        "\n".join(f"- {_said(step)}" for step in found.skills),
        markdown_table(_measures(found)),
        f"While it was trained, the distance to the teacher's vectors of {found.anchors:,} texts was part of the loss."
        if found.anchors
        else "",
        _SUPERVISED if found.supervised else "",
        _dropped(found),
    ]
    return "\n\n".join(filter(None, parts))


_HEAD = ["trained for", "data", "examples", "held out", "license"]


def _data_row(data: FinetuneData) -> list[str]:
    name = escape(data.name) + (f" at {inline_code(data.revision)}" if data.revision else "")
    kind = _SKILLS[data.skill] + ("" if data.has_labels else ", queries made from the text")
    return [kind, name, f"{data.train:,}", f"{data.heldout:,}", escape(data.license or "not named")]


def _said(step: FinetuneStep) -> str:
    name = _SKILLS[step.skill].capitalize()
    if step.taken:
        return f"{name}: {step.share:.0%} of what the training changed in the weights was taken."
    if step.lowered:
        lost = ", ".join(f"{escape(measure)} by {-change:.1f}" for measure, change in step.lowered.items())
        return f"{name}: not taken, because every share lowers a measure by more than half a point; the best, {lost}."
    return f"{name}: not taken, because no share of it was better on held-out data."


def _measures(found: FinetuneResult) -> list[list[str]]:
    steps = [(f"{step.skill}{'' if step.taken else ' (not taken)'}", step.measures) for step in found.skills]
    columns = [("distilled", found.before), *steps]
    rows = [["held-out data, x100", *(name for name, _ in columns)]]
    rows += [[escape(key), *(f"{own[key]:.1f}" for _, own in columns)] for key in found.before]
    return rows


def _dropped(found: FinetuneResult) -> str:
    dropped = {data.name: data.dropped_contaminated for data in found.data if data.dropped_contaminated}
    if not dropped:
        return ""
    counts = ", ".join(f"{count:,} of {escape(name)}" for name, count in dropped.items())
    return f"Examples with a text that models are measured on, or nearly one, were dropped: {counts}."
