"""Measurements as tables show them, and what they say in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hub_tools.reporting.tables import score_text
from hub_tools.results import EvaluationRow, Figure, Interval

HOW_TO_READ = (
    "In brackets is the difference to the first model, = where it is within the noise (95 %, from a paired bootstrap "
    "over the items)."
)
_ADVICE = (
    "More training (--steps), fewer learned tokens (--learn), text like that of these tasks (--corpus) or --parallel "
    "text may help; the clone is kept beside the student."
)
# Model, what it must not fall below, how that is said, and what to do. `trim` is the teacher with as many of its own
# tokens as the student has, and nothing learned.
_STEPS = (
    (
        "student",
        "clone",
        "Training made the student worse than the clone",
        "Use the clone, which is kept beside it; or train longer (--steps) or on text like that of these tasks.",
    ),
    (
        "student",
        "distilled",
        "Training with labels made the student worse than the distilled one",
        "Use that, which is kept beside it; or leave out the data of --finetune-... that does not suit these tasks.",
    ),
    (
        "clone",
        "trim",
        "The clone is worse than plain trimming, where no token is learned,",
        "The learned tokens cost more than they gain: learn fewer (--learn), or start their rows otherwise (--init).",
    ),
    (
        "student",
        "trim",
        "The student is worse than plain trimming, where no token is learned,",
        "Use the trimmed teacher, or learn fewer tokens (--learn) and train longer (--steps).",
    ),
)

# Kinds of tasks, in the order of tables and pictures.
KINDS = ("Similarity", "Retrieval", "Translations", "Pairs", "Classification", "Clustering", "Other")
# Kind -> what stands in the name of its measures; accuracy and F1 of translations name two languages.
_MEASURES = {
    "Similarity": "spearman|pearson",
    "Retrieval": "ndcg|recall|mrr|map",
    "Translations": "^(accuracy|f1) .*-",
    "Pairs": "(^|_)ap$",
    "Classification": "accuracy|f1",
    "Clustering": "v.measure",
}


def kind_of(metric: str) -> str:
    """Return which of `KINDS` a measure belongs to, by its name, here or in mteb."""
    return next((kind for kind, pattern in _MEASURES.items() if re.search(pattern, metric)), KINDS[-1])


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
    return [score_cell(row.metric, row.models.get(name)) for name in names]


def score_cell(metric: str, figure: Figure | None) -> str:
    """Return a figure with its difference to the first one; nothing where it is not defined."""
    text = score_text(metric, None if figure is None else figure.value)
    difference = next(iter(figure.differences.values()), None) if figure else None
    return f"{text} ({_difference(difference)})" if difference else text


def verdict(rows: Iterable[EvaluationRow], *, student: str, teacher: str) -> str:
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
    if worse and is_run:
        sentences.append(_ADVICE)
    return " ".join([*sentences, *unsure])


def warnings_of(rows: Iterable[EvaluationRow]) -> list[str]:
    """Say where work on the models of a run made them worse, beyond the noise: each step has to be worth its while."""
    main = [row for row in rows if row.is_main]
    return [
        f"{said} at {', '.join(lost)}. {advice}"
        for model, other, said, advice in _STEPS
        if (lost := _clear(main, model, other, -1))
    ]


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
