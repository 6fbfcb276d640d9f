"""Measurements as tables show them, and what they say in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hub_tools.reporting.sentences import listed, local, named, say
from hub_tools.reporting.tables import score_text
from hub_tools.results import EvaluationRow, Figure, Interval

HOW_TO_READ = (
    "In brackets is the difference to the first model, = where it is within the noise (95%, from a paired bootstrap "
    "over the items)."
)
HOW_TO_READ_BOUNDS = (
    "In brackets is the difference to the first model, with its bounds (95%, from a paired bootstrap over the items): "
    "where they lie on both sides of 0, it is within the noise."
)
# Scores of fewer items are shown, but praise nothing and rank no models.
SMALL_SAMPLE = 200
# Model, and what it must not fall below. `trim` is the teacher with as many of its own tokens as the student has, and
# nothing learned.
_STEPS = (("student", "clone"), ("student", "distilled"), ("clone", "trim"), ("student", "trim"))

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


def row_label(row: EvaluationRow, lang: str = "en") -> str:
    """Return what was measured, in a table."""
    details = [named(row.split, lang)]
    details += [f"n={local(f'{row.n:,}', lang)}"] if row.n else []
    details += [say(lang, "supervised")] if row.supervised else []
    reason = f"; {named(row.reason, lang)}" if row.reason else ""
    return f"{named(row.task, lang)}, {named(row.metric, lang)} ({', '.join(details)}{reason})"


def row_cells(row: EvaluationRow, names: Iterable[str], *, bounds: bool = False) -> list[str]:
    """Return what models reach, as `score_cell` shows it."""
    return [score_cell(row.metric, row.models.get(name), bounds=bounds) for name in names]


def score_cell(metric: str, figure: Figure | None, *, bounds: bool = False) -> str:
    """Return a figure with its difference to the first one, or the bounds of that; nothing where it is not defined."""
    text = score_text(metric, None if figure is None else figure.value)
    difference = next(iter(figure.differences.values()), None) if figure else None
    return f"{text} ({_difference(difference, bounds=bounds)})" if difference else text


def verdict(
    rows: Iterable[EvaluationRow], *, student: str, teacher: str, remedies: Sequence[str] = (), lang: str = "en"
) -> str:
    """Say in words whether a model is better than, level with or worse than another, at what and by how much.

    It is judged by the first measure of each task; a difference within the noise counts as level, and one without
    bounds is only named. `remedies` are what may help where it is worse: `steps`, `learn`, `corpus`, `parallel`; with
    none, because it was not made here, the advice is to keep the other one for these tasks.
    """
    is_run = (student, teacher) == ("student", "teacher")
    models = {
        "student": say(lang, "the_student") if is_run else student,
        "teacher": say(lang, "its_teacher") if is_run else teacher,
    }
    main = [row for row in rows if row.is_main]
    judged = [row for row in main if (found := _of(row, student, teacher)) is not None and found.has_bounds]
    sentences = [say(lang, "verdict_none", **models)]
    if judged:
        better, worse = (_at(judged, student, teacher, sign, lang) for sign in (1, -1))
        level = len(judged) - len(better) - len(worse)
        parts = [
            say(lang, f"at_{key}", tasks=", ".join(own)) for key, own in (("better", better), ("worse", worse)) if own
        ]
        if level:
            parts.append(say(lang, "at_level" if len(judged) > 1 else "at_level_one", level=level, all=len(judged)))
        word = "mixed" if better and worse else "better" if better else "worse" if worse else "level"
        sentence = say(lang, f"verdict_{word}", found="; ".join(parts), **models)
        sentences = [_sentence(sentence) if is_run else sentence]
        if any("n=" in task for task in (*better, *worse)):
            sentences.append(say(lang, "small_tasks", few=SMALL_SAMPLE))
        if worse:
            sentences.append(_advice(remedies, lang) if remedies else say(lang, "advice_keep", **models))
    if unsure := _without_bounds(main, student, teacher, lang):
        sentences.append(say(lang, "not_judged", tasks=", ".join(unsure)))
    return " ".join(sentences)


def _advice(remedies: Sequence[str], lang: str) -> str:
    listing = listed([say(lang, f"remedy_{key}") for key in remedies], say(lang, "or"))
    return _sentence(say(lang, "advice", remedies=listing))


def gain_of_training(rows: Iterable[EvaluationRow], lang: str = "en") -> str | None:
    """Say at which tasks training made the student better or worse than the clone, and where that is only noise."""
    main = [row for row in rows if row.is_main]
    found = {"better": 1, "worse": -1, "noise": 0}
    parts = [
        say(lang, f"at_{key}", tasks=", ".join(tasks))
        for key, sign in found.items()
        if (tasks := _at(main, "student", "clone", sign, lang))
    ]
    return say(lang, "trained", found="; ".join(parts)) if parts else None


def warnings_of(rows: Iterable[EvaluationRow], lang: str = "en", *, is_public: bool = False) -> list[str]:
    """Say where work on the models of a run made them worse, beyond the noise: each step has to be worth its while.

    What its owner can do instead is said too, but not in public.
    """
    main = [row for row in rows if row.is_main]
    return [
        say(lang, f"worse_{model}_{other}", tasks=", ".join(lost))
        + ("" if is_public else " " + say(lang, f"instead_{model}_{other}"))
        for model, other in _STEPS
        if (lost := _at(main, model, other, -1, lang))
    ]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _at(rows: Iterable[EvaluationRow], student: str, other: str, sign: int, lang: str) -> list[str]:
    """Return the tasks at which a difference has a sign beyond the noise (0: is within it), with the difference."""
    found = []
    for row in rows:
        difference = _of(row, student, other)
        if difference is not None and difference.has_bounds and _sign(difference) == sign:
            few = f", n={row.n}" if row.n is not None and row.n < SMALL_SAMPLE else ""
            found.append(f"{named(row.task, lang)} ({_points(difference, lang)}{few})")
    return found


def _sign(difference: Interval) -> int:
    return 0 if not difference.is_clear else 1 if difference.value > 0 else -1


def _without_bounds(rows: Iterable[EvaluationRow], student: str, other: str, lang: str) -> list[str]:
    """Return the tasks where nothing says how sure a difference is, with the difference."""
    differences = [(named(row.task, lang), found) for row in rows if (found := _of(row, student, other)) is not None]
    return [f"{task} ({_points(found, lang)})" for task, found in differences if not found.has_bounds]


def _points(difference: Interval, lang: str) -> str:
    return local(f"{100 * difference.value:+.1f}", lang)


def _of(row: EvaluationRow, student: str, other: str) -> Interval | None:
    figure = row.models.get(student)
    return figure.differences.get(other) if figure else None


def _difference(difference: Interval, *, bounds: bool) -> str:
    value = f"{100 * difference.value:+.1f}"
    if difference.low is None or difference.high is None:
        return f"{value}?"
    if bounds:
        return f"{value}, {100 * difference.low:+.1f} to {100 * difference.high:+.1f}"
    return value if difference.is_clear else "="


def prompts_note(rows: Sequence[EvaluationRow], lang: str = "en") -> str:
    """Say what stood before the texts of each side of the tasks."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for model, prompts in row.prompts.items():
            for side, prompt in prompts.items():
                names = found.setdefault((model, prompt), [])
                names += [side] if side not in names else []
    same: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (model, prompt), sides in found.items():
        if prompt:
            same.setdefault((prompt, tuple(sides)), []).append(named(model, lang))
    everyone = {named(model, lang) for row in rows for model in row.models}
    read = [
        say(
            lang,
            "reads_behind",
            models=say(lang, "all_models") if everyone == set(models) else ", ".join(models),
            sides=", ".join(named(side, lang) for side in sides),
            prompt=repr(prompt),
        )
        for (prompt, sides), models in same.items()
    ]
    return say(lang, "prompts", read="; ".join(read)) if read else say(lang, "prompts_none")
