"""Pictures of figures, each with the text for those who do not see it.

They are drawn in each language of the page, with the pens of `hub_tools.reporting.drawing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap
from typing import Any

from hub_tools.core.languages import WITHOUT_SPACES
from hub_tools.reporting.drawing import (
    LINE,
    LONGEST,
    ROLES,
    SOFT,
    STYLES,
    Form,
    counted,
    draw_dot,
    explain,
    new_picture,
    shorten,
    style_of,
    write_at,
)
from hub_tools.reporting.scores import KINDS, kind_of
from hub_tools.reporting.sentences import language_name, local, named, say
from hub_tools.results import DistillResult, EvaluationRow, Figure

Rates = Mapping[str, Mapping[str, float]]  # language -> tokenizer -> tokens per word
Unread = set[tuple[str, str]]  # languages, each with a tokenizer that does not read it


def draw_scores(rows: Sequence[EvaluationRow], lang: str = "en", form: Form = "png") -> bytes:
    """Draw what models reach at the tasks that `judged` finds, one line a task, as a file."""
    shown = judged(rows)
    names = list(shown[0].models)
    kinds = {kind: [row for row in shown if kind_of(row.metric) == kind] for kind in KINDS}
    spread = 0.14 * (len(names) - 1)  # models stand below one another, so that their bounds can be told apart
    row_height, headings = 0.95 + spread, sum(map(bool, kinds.values()))
    height = 0.45 * (row_height * len(shown) + 0.9 * headings)
    with new_picture(_scores_title(shown, lang), form, height=height + 1.7) as (figure, picture):
        axes = figure.subplots()
        place = 0.0
        for kind, own in kinds.items():
            if own:
                write_at(axes, place + 0.25, named(kind, lang), weight="bold")
                place += 0.9
            for row in own:
                write_at(axes, place, shorten(f"{named(row.task, lang)}, {named(row.metric, lang)}"), color=SOFT)
                _draw_row(axes, place + 0.45, row, names, spread)
                place += row_height
        axes.set_ylim(place - 0.2, -0.2)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        note = say(lang, "draw_hollow", model=shorten(named(names[0], lang), 30)) if len(names) > 1 else ""
        axes.set_xlabel(f"{say(lang, 'draw_score')}\n{note}".rstrip())
        explain(figure, names, lang)
    return picture.getvalue()


def _draw_row(axes: Any, place: float, row: EvaluationRow, names: Sequence[str], spread: float) -> None:
    found = [(number, name, figure) for number, name in enumerate(names) if (figure := row.models.get(name))]
    step = spread / max(len(names) - 1, 1)
    points = [(100 * figure.value, place + number * step) for number, _, figure in found]
    axes.plot(*zip(*points, strict=True), color=LINE, linewidth=3, zorder=1, solid_capstyle="round")
    for (x, y), (_, name, figure) in zip(points, found, strict=True):
        color, shape = style_of(name, names)
        if figure.low is not None and figure.high is not None:
            axes.plot([100 * figure.low, 100 * figure.high], [y, y], color=color, linewidth=1, zorder=2)
        draw_dot(axes, x, y, color, shape, hollow=_is_level(figure))


def _is_level(figure: Figure) -> bool:
    difference = next(iter(figure.differences.values()), None)
    return difference is not None and not difference.is_clear


def judged(rows: Sequence[EvaluationRow]) -> list[EvaluationRow]:
    """Return the main measures of tasks, sorted by kind; what is no task has no differences and no prompts."""
    tasks = [row for row in rows if row.is_main and any(figure is not None for figure in row.models.values())]
    tasks = [row for row in tasks if row.prompts or any(f.differences for f in row.models.values() if f)]
    return sorted(tasks, key=lambda row: KINDS.index(kind_of(row.metric)))


def _scores_title(rows: Sequence[EvaluationRow], lang: str) -> str:
    names = list(rows[0].models)
    if {"teacher", "student"} <= set(names):
        return say(lang, "draw_run", tasks=counted("task", len(rows), lang))
    models, tasks = counted("model", len(names), lang), counted("task", len(rows), lang)
    return say(lang, "draw_models", models=models, tasks=tasks)


def _all_named(names: Iterable[str], lang: str) -> str:
    return ", ".join(named(name, lang) for name in names)


def scores_alt(rows: Sequence[EvaluationRow], lang: str = "en") -> str | None:
    """Return the text for those who do not see `draw_scores`; None where there is nothing to draw."""
    shown = judged(rows)
    if not shown:
        return None
    return say(lang, "draw_scores_alt", title=_scores_title(shown, lang), models=_all_named(shown[0].models, lang))


def draw_tokens(rates: Rates, targets: tuple[str, ...], unread: Unread, lang: str = "en", form: Form = "png") -> bytes:
    """Draw tokens per word of tokenizers in languages, most first, as a file; what one does not read has no mark."""
    names = list(next(iter(rates.values())))
    read = {code: {name: rates[code][name] for name in names if (code, name) not in unread} for code in rates}
    parts = [part for part in _sorted_languages(read) if part]
    note = _unread_note([code for code in rates if not read[code]], lang, is_any=bool(unread))
    height = 0.25 * sum(map(len, parts)) + 0.9 * len(parts) + 1.0 + 0.25 * len(note)
    with new_picture(_tokens_title(rates, targets, unread, lang), form, height=height) as (figure, picture):
        ratios = [len(part) + 1 for part in parts] or [1]
        grid = figure.subplots(len(ratios), squeeze=False, height_ratios=ratios)
        for axes, part in zip(grid[:, 0], parts, strict=False):
            for place, code in enumerate(part):
                _draw_language(axes, place, read[code], names, lang, is_target=code in targets)
            axes.set_yticks(range(len(part)), [language_name(code, lang) for code in part])
            for code, label in zip(part, axes.get_yticklabels(), strict=True):
                if code in targets:
                    label.set(weight="bold", color=style_of(names[-1], names)[0])
            axes.set_ylim(len(part) - 0.3, -0.7)
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x")
            axes.set_xlabel(say(lang, "draw_per_character" if part[0] in WITHOUT_SPACES else "draw_per_word"))
        if not parts:
            grid[0, 0].set_axis_off()
        explain(figure, names, lang, "\n".join(note))
    return picture.getvalue()


_BEFORE_AND_AFTER = 2  # tokenizers


def _draw_language(
    axes: Any, place: float, read: Mapping[str, float], names: Sequence[str], lang: str, *, is_target: bool
) -> None:
    """Draw a dot for each tokenizer that reads a language, and a line between them where all do."""
    color = style_of(names[-1], names)[0] if is_target else LINE
    if len(read) == len(names):
        axes.plot([min(read.values()), max(read.values())], [place, place], color=color, linewidth=4, zorder=1)
        if is_target and len(names) == _BEFORE_AND_AFTER:
            change = " → ".join(local(f"{value:.2f}", lang) for value in read.values())
            where = {"xytext": (9, 0), "textcoords": "offset points", "va": "center"}
            axes.annotate(change, (max(read.values()), place), color=color, weight="bold", **where)
    for name, value in read.items():
        # The first is larger, so that it is seen behind others of the same value.
        draw_dot(axes, value, place, *style_of(name, names), size=9 if name == names[0] else 6)


def _unread_note(languages: Sequence[str], lang: str, *, is_any: bool) -> list[str]:
    """Say in short lines why marks are missing, and which `languages` no tokenizer reads."""
    lines = [say(lang, "draw_no_mark")] if is_any else []
    names = ", ".join(language_name(code, lang) for code in languages)
    return lines + wrap(say(lang, "draw_read_by_none", languages=names), LONGEST) if languages else lines


def _sorted_languages(read: Rates) -> tuple[list[str], list[str]]:
    """Return languages with spaces between words and those without, most tokens of the first tokenizer first."""
    order = sorted((lang for lang in read if read[lang]), key=lambda lang: -next(iter(read[lang].values())))
    return [lang for lang in order if lang not in WITHOUT_SPACES], [lang for lang in order if lang in WITHOUT_SPACES]


def _tokens_title(rates: Rates, targets: tuple[str, ...], unread: Unread, lang: str) -> str:
    changes = []
    for code in targets:
        own = rates.get(code, {})
        if list(own) == ["teacher", "student"] and own["teacher"] and not {(code, name) for name in own} & unread:
            change = 100 * (own["student"] / own["teacher"] - 1)
            key = "draw_fewer" if change < 0 else "draw_more"
            changes.append(say(lang, key, change=f"{abs(change):.0f}", language=language_name(code, lang)))
    return ", ".join(changes) or say(lang, "draw_tokens", languages=counted("language", len(rates), lang))


def tokens_alt(rates: Rates, targets: tuple[str, ...], unread: Unread, lang: str = "en") -> str | None:
    """Return the text for those who do not see `draw_tokens`; None where there is nothing to draw."""
    if not rates:
        return None
    names = list(next(iter(rates.values())))
    title, number = _tokens_title(rates, targets, unread, lang), len(rates)
    models = {"names": _all_named(names, lang), "first": named(names[0], lang)}
    return say(lang, "draw_tokens_alt", title=title, number=number, **models)


def draw_history(
    history: Sequence[Mapping[str, Any]],
    distill: DistillResult,
    blend: float,
    lang: str = "en",
    form: Form = "png",
) -> bytes:
    """Draw the held-out cosine over the steps of a training, and the student that was saved, as a file.

    `blend` is the share of the weights before the training that was blended into the best ones.
    """
    measured = {entry["step"]: entry["cosine"] for entry in history if entry["cosine"] is not None}
    step, saved = distill.best_step, distill.cosine_after
    with new_picture(say(lang, "draw_history"), form, height=3.8) as (figure, picture):
        axes = figure.subplots()
        color, shape = style_of("student", list(ROLES))
        axes.plot(
            *zip(*measured.items(), strict=True),
            marker=".",
            color=STYLES[0][0],
            linewidth=2,
            label=say(lang, "draw_training"),
        )
        if saved is not None:
            axes.plot([step, step], [measured.get(step, saved), saved], color=color, linestyle=":", zorder=2)
            draw_dot(axes, step, saved, color, shape, size=9, hollow=distill.kept_trim)
            axes.annotate(
                local(f"{saved:.3f}", lang), (step, saved), xytext=(0, -20), textcoords="offset points", ha="center"
            )
            axes.plot([], [], shape, color=color, markersize=8, label=_saved(distill, blend, lang))
            axes.margins(y=0.2)
        axes.set_xlabel(say(lang, "draw_step"))
        axes.set_ylabel(say(lang, "draw_cosine"))
        axes.yaxis.set_major_formatter(lambda value, _: local(f"{value:.3f}", lang))
        axes.grid()
        figure.legend(loc="outside lower left", frameon=False, alignment="left")
    return picture.getvalue()


def _saved(distill: DistillResult, blend: float, lang: str) -> str:
    """Say what the mark of the student is."""
    key = "draw_kept_trim" if distill.kept_trim else "draw_blended" if blend else "draw_saved"
    return say(lang, key, step=distill.best_step, share=f"{100 * blend:g}")


def history_alt(distill: DistillResult, blend: float, lang: str = "en") -> str | None:
    """Return the text for those who do not see `draw_history`; None where nothing was held out."""
    before, after = distill.cosine_before, distill.cosine_after
    if before is None or after is None:
        return None
    cosines = {"before": local(f"{before:.3f}", lang), "after": local(f"{after:.3f}", lang)}
    return say(lang, "draw_history_alt", saved=_saved(distill, blend, lang), **cosines)
