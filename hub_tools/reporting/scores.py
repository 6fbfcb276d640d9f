"""Measurements as tables show them, and what they say in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hub_tools.reporting.tables import score_text
from hub_tools.results import EvaluationRow, Interval

HOW_TO_READ = (
    "In brackets is the difference to the first model, = where it is within the noise (95 %, from a paired bootstrap "
    "over the items)."
)
_ADVICE = (
    "More training (--steps), fewer learned tokens (--learn), text like that of these tasks (--corpus) or --parallel "
    "text may help; the clone is kept beside the student."
)


def scores_table(rows: Sequence[EvaluationRow]) -> list[list[str]]:
    """Return the head of a table, and a row for each measurement with the cells of its models."""
    names = list(rows[0].models) if rows else []
    return [["task", *names], *([row_label(row), *row_cells(row, names)] for row in rows)]


def row_label(row: EvaluationRow) -> str:
    """Return what was measured, in a table."""
    count = f", n={row.n:,}" if row.n else ""
    supervised = ", supervised" if row.supervised else ""
    reason = f"; {row.reason}" if row.reason else ""
    return f"{row.task}, {row.metric} ({row.split}{count}{supervised}{reason})"


def row_cells(row: EvaluationRow, names: Iterable[str]) -> list[str]:
    """Return what models reach, with the difference to the first of them; nothing where it is not defined."""
    cells = []
    for name in names:
        figure = row.models.get(name)
        text = score_text(row.metric, None if figure is None else figure.value)
        difference = next(iter(figure.differences.values()), None) if figure else None
        cells.append(f"{text} ({_difference(difference)})" if difference else text)
    return cells


def verdict(rows: Iterable[EvaluationRow], *, student: str, teacher: str, clone: str | None = None) -> str:
    """Say in words whether a model is better than, level with or worse than another, at what and by how much.

    It is judged by the first measure of each task; a difference within the noise counts as level, and one without
    bounds is only named.
    """
    is_run = (student, teacher) == ("student", "teacher")
    names = ("The student", "its teacher") if is_run else (student, teacher)
    main = [row for row in rows if row.is_main]
    judged = [row for row in main if (found := _of(row, student, teacher)) is not None and found.has_bounds]
    unsure = _without_bounds(main, student, teacher)
    if not judged:
        first = names[0].replace("The", "the")
        nothing = f"No task says whether {first} is as good as {names[1]}: give --sts, --retrieval or --bitext."
        return " ".join([nothing, *unsure])
    better, worse = (_clear(judged, student, teacher, sign) for sign in (1, -1))
    level = len(judged) - len(better) - len(worse)
    word = "better at some tasks and worse at others than" if better and worse else "level with"
    if bool(better) != bool(worse):
        word = "better than" if better else "worse than"
    parts = [f"{name} at {', '.join(found)}" for name, found in (("better", better), ("worse", worse)) if found]
    if level:
        parts.append(f"level at {level} of {len(judged)} task{'s' if len(judged) > 1 else ''}")
    sentences = [f"{names[0]} is {word} {names[1]}: {'; '.join(parts)}."]
    if clone is not None and (lost := _clear(judged, student, clone, -1)):
        sentences.append(f"Training made it worse than the clone at {', '.join(lost)}.")
    if worse and is_run:
        sentences.append(_ADVICE)
    return " ".join([*sentences, *unsure])


def _clear(rows: Iterable[EvaluationRow], student: str, other: str, sign: int) -> list[str]:
    """Return the tasks at which a difference is more than noise and has this sign, with the difference."""
    found = []
    for row in rows:
        difference = _of(row, student, other)
        if difference is not None and difference.is_clear and difference.value * sign > 0:
            found.append(f"{row.task} ({100 * difference.value:+.1f})")
    return found


def _without_bounds(rows: Iterable[EvaluationRow], student: str, other: str) -> list[str]:
    """Return a sentence that names the tasks where nothing says how sure a difference is; none where there are none."""
    differences = [(row.task, found) for row in rows if (found := _of(row, student, other)) is not None]
    parts = [f"{task} ({100 * found.value:+.1f})" for task, found in differences if not found.has_bounds]
    return [f"Not judged, because nothing says how sure the difference is: {', '.join(parts)}."] if parts else []


def _of(row: EvaluationRow, student: str, other: str) -> Interval | None:
    figure = row.models.get(student)
    return figure.differences.get(other) if figure else None


def _difference(difference: Interval) -> str:
    if not difference.has_bounds:
        return f"{100 * difference.value:+.1f}?"
    return f"{100 * difference.value:+.1f}" if difference.is_clear else "="


def prompts_note(rows: Iterable[EvaluationRow]) -> str:
    """Say what stood before the texts of each side of the tasks."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for model, prompts in row.prompts.items():
            for side, prompt in prompts.items():
                names = found.setdefault((model, prompt), [])
                names += [side] if side not in names else []
    parts = [f"{model} read {', '.join(sides)} behind {prompt!r}" for (model, prompt), sides in found.items() if prompt]
    return f"Prompts: {'; '.join(parts)}." if parts else "No model has prompts."
