"""Pictures of figures, each with the text for those who do not see it.

All are as narrow as a phone, so that nothing is small on it, and have paper of their own, so that they can be read on
pages of any colour. They are drawn in each language of the page. Models differ in colour (Okabe and Ito, 2008, for all
kinds of colour vision) and in shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from statistics import fmean
from textwrap import wrap
from typing import Any, Literal

from hub_tools.core.languages import WITHOUT_SPACES
from hub_tools.reporting.scores import KINDS, kind_of
from hub_tools.reporting.sentences import language_name, local, named, say
from hub_tools.results import DistillResult, EvaluationRow, Figure

Rates = Mapping[str, Mapping[str, float]]  # language -> tokenizer -> tokens per word
Form = Literal["png", "svg"]
Unread = set[tuple[str, str]]  # languages, each with a tokenizer that does not read it

_PAPER, _INK, _SOFT, _LINE = "#f6f8fa", "#1b2733", "#52606d", "#d0d7de"
_STYLES = (("#6b7785", "o"), ("#d55e00", "^"), ("#0072b2", "D"), ("#009e73", "s"), ("#a8508a", "v"), ("#8a6d00", "P"))
_ROLES = {"teacher": 0, "clone": 1, "student": 2, "trim": 3, "distilled": 4}  # look alike in every picture
_WIDTH = 5.4  # inches
_LONGEST = 54  # characters that fit into a line
_SETTINGS: dict[Any, Any] = {
    "font.size": 11.5,
    "figure.facecolor": _PAPER,
    "axes.facecolor": _PAPER,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _SOFT,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.parse_math": False,  # names of files may hold $
    "svg.hashsalt": "hub_tools",  # the same run gives the same file
}


def draw_scores(rows: Sequence[EvaluationRow], lang: str = "en", form: Form = "png") -> bytes:
    """Draw what models reach at the tasks that `judged` finds, one line a task, as a file."""
    shown = judged(rows)
    names = list(shown[0].models)
    kinds = {kind: [row for row in shown if kind_of(row.metric) == kind] for kind in KINDS}
    spread = 0.14 * (len(names) - 1)  # models stand below one another, so that their bounds can be told apart
    row_height, headings = 0.95 + spread, sum(map(bool, kinds.values()))
    height = 0.45 * (row_height * len(shown) + 0.9 * headings)
    with _picture(_scores_title(shown, lang), form, height=height + 1.7) as (figure, picture):
        axes = figure.subplots()
        place = 0.0
        for kind, own in kinds.items():
            if own:
                _write(axes, place + 0.25, named(kind, lang), weight="bold")
                place += 0.9
            for row in own:
                _write(axes, place, _short(f"{named(row.task, lang)}, {named(row.metric, lang)}"), color=_SOFT)
                _draw_row(axes, place + 0.45, row, names, spread)
                place += row_height
        axes.set_ylim(place - 0.2, -0.2)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        note = say(lang, "draw_hollow", model=_short(named(names[0], lang), 30)) if len(names) > 1 else ""
        axes.set_xlabel(f"{say(lang, 'draw_score')}\n{note}".rstrip())
        _explain(figure, names, lang)
    return picture.getvalue()


def _draw_row(axes: Any, place: float, row: EvaluationRow, names: Sequence[str], spread: float) -> None:
    found = [(number, name, figure) for number, name in enumerate(names) if (figure := row.models.get(name))]
    step = spread / max(len(names) - 1, 1)
    points = [(100 * figure.value, place + number * step) for number, _, figure in found]
    axes.plot(*zip(*points, strict=True), color=_LINE, linewidth=3, zorder=1, solid_capstyle="round")
    for (x, y), (_, name, figure) in zip(points, found, strict=True):
        color, shape = _style(name, names)
        if figure.low is not None and figure.high is not None:
            axes.plot([100 * figure.low, 100 * figure.high], [y, y], color=color, linewidth=1, zorder=2)
        _dot(axes, x, y, color, shape, hollow=_is_level(figure))


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
        return say(lang, "draw_run", tasks=_count("task", len(rows), lang))
    models, tasks = _count("model", len(names), lang), _count("task", len(rows), lang)
    return say(lang, "draw_models", models=models, tasks=tasks)


def _count(what: str, number: int, lang: str) -> str:
    return say(lang, f"count_{what}" if number == 1 else f"count_{what}s", number=number)


def _all_named(names: Iterable[str], lang: str) -> str:
    return ", ".join(named(name, lang) for name in names)


def scores_alt(rows: Sequence[EvaluationRow], lang: str = "en") -> str | None:
    """Return the text for those who do not see `draw_scores`; None where there is nothing to draw."""
    shown = judged(rows)
    if not shown:
        return None
    return say(lang, "draw_scores_alt", title=_scores_title(shown, lang), models=_all_named(shown[0].models, lang))


def draw_quality(
    rows: Sequence[EvaluationRow], params: Mapping[str, int], lang: str = "en", form: Form = "png"
) -> bytes:
    """Draw the mean of the scores that all models have against their parameters, one dot a model, as a file."""
    from matplotlib.ticker import NullLocator

    points, count = _means(rows, params)
    names = list(points)
    with _picture(say(lang, "draw_quality"), form, height=4.4) as (figure, picture):
        axes = figure.subplots()
        sizes, scores = zip(*points.values(), strict=True)
        low, high = min(scores), max(scores)
        room = max(0.25 * (high - low), 1.5)  # noise fills no picture
        axes.set_xscale("log")
        axes.set_xlim(min(sizes) / 1.6, max(sizes) * 1.6)
        axes.set_ylim(low - room, high + room)
        middle, gap = (min(sizes) * max(sizes)) ** 0.5, (high - low + 2 * room) / 14
        for on_left in (True, False):
            side = sorted((n for n in names if (points[n][0] <= middle) == on_left), key=lambda n: points[n][1])
            height = -float("inf")
            for name in side:
                size, score = points[name]
                height = max(score, height + gap)  # names never cover one another
                _dot(axes, size, score, *_style(name, names), size=9)
                text, offset = f"{_short(named(name, lang), 26)}, {_points(score, lang)}", (10 if on_left else -10, 0)
                where = {"xytext": offset, "textcoords": "offset points", "ha": "left" if on_left else "right"}
                axes.annotate(text, (size, height), va="center", **where)
        ticks = _ticks(sizes)
        axes.set_xticks(ticks, [_millions(size, lang) for size in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid()
        axes.set_xlabel(say(lang, "draw_millions"))
        axes.set_ylabel(say(lang, "draw_mean", tasks=_count("task", count, lang)))
    return picture.getvalue()


def _means(rows: Sequence[EvaluationRow], params: Mapping[str, int]) -> tuple[dict[str, tuple[float, float]], int]:
    """Return model -> millions of parameters and the mean score x100, and the number of tasks that all models have."""
    shared = [row for row in judged(rows) if all(row.models.get(name) for name in params)]
    if not shared:
        return {}, 0
    scores = {name: [figure.value for row in shared if (figure := row.models[name])] for name in params}
    return {name: (params[name] / 1e6, 100 * fmean(values)) for name, values in scores.items()}, len(shared)


def _ticks(sizes: Sequence[float]) -> list[float]:
    """Return those of the sizes whose numbers have room below an axis."""
    ticks: list[float] = []
    for size in sorted(sizes):
        if not ticks or size > ticks[-1] * (max(sizes) / min(sizes)) ** 0.12 * 1.05:
            ticks.append(size)
    return ticks


def _millions(size: float, lang: str) -> str:
    rounded = float(f"{size:.2g}") if size < 100 else round(size)  # noqa: PLR2004 - three digits at most
    return local(f"{rounded:g}", lang)


def _points(score: float, lang: str) -> str:
    return local(f"{score:.1f}", lang)


def quality_alt(rows: Sequence[EvaluationRow], params: Mapping[str, int], lang: str = "en") -> str | None:
    """Return the text for those who do not see `draw_quality`; None where there are not two models to compare."""
    points, count = _means(rows, params)
    if len(points) <= 1:
        return None
    parts = [
        say(lang, "draw_point", model=named(name, lang), score=_points(score, lang), millions=_millions(size, lang))
        for name, (size, score) in points.items()
    ]
    return say(lang, "draw_quality_alt", tasks=_count("task", count, lang), points="; ".join(parts))


def draw_tokens(rates: Rates, targets: tuple[str, ...], unread: Unread, lang: str = "en", form: Form = "png") -> bytes:
    """Draw tokens per word of tokenizers in languages, most first, as a file; what one does not read has no mark."""
    names = list(next(iter(rates.values())))
    read = {code: {name: rates[code][name] for name in names if (code, name) not in unread} for code in rates}
    parts = [part for part in _sorted_languages(read) if part]
    note = _unread_note([code for code in rates if not read[code]], lang, is_any=bool(unread))
    height = 0.25 * sum(map(len, parts)) + 0.9 * len(parts) + 1.0 + 0.25 * len(note)
    with _picture(_tokens_title(rates, targets, unread, lang), form, height=height) as (figure, picture):
        ratios = [len(part) + 1 for part in parts] or [1]
        grid = figure.subplots(len(ratios), squeeze=False, height_ratios=ratios)
        for axes, part in zip(grid[:, 0], parts, strict=False):
            for place, code in enumerate(part):
                _draw_language(axes, place, read[code], names, lang, is_target=code in targets)
            axes.set_yticks(range(len(part)), [language_name(code, lang) for code in part])
            for code, label in zip(part, axes.get_yticklabels(), strict=True):
                if code in targets:
                    label.set(weight="bold", color=_style(names[-1], names)[0])
            axes.set_ylim(len(part) - 0.3, -0.7)
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x")
            axes.set_xlabel(say(lang, "draw_per_character" if part[0] in WITHOUT_SPACES else "draw_per_word"))
        if not parts:
            grid[0, 0].set_axis_off()
        _explain(figure, names, lang, "\n".join(note))
    return picture.getvalue()


_BEFORE_AND_AFTER = 2  # tokenizers


def _draw_language(
    axes: Any, place: float, read: Mapping[str, float], names: Sequence[str], lang: str, *, is_target: bool
) -> None:
    """Draw a dot for each tokenizer that reads a language, and a line between them where all do."""
    color = _style(names[-1], names)[0] if is_target else _LINE
    if len(read) == len(names):
        axes.plot([min(read.values()), max(read.values())], [place, place], color=color, linewidth=4, zorder=1)
        if is_target and len(names) == _BEFORE_AND_AFTER:
            change = " → ".join(local(f"{value:.2f}", lang) for value in read.values())
            where = {"xytext": (9, 0), "textcoords": "offset points", "va": "center"}
            axes.annotate(change, (max(read.values()), place), color=color, weight="bold", **where)
    for name, value in read.items():
        # The first is larger, so that it is seen behind others of the same value.
        _dot(axes, value, place, *_style(name, names), size=9 if name == names[0] else 6)


def _unread_note(languages: Sequence[str], lang: str, *, is_any: bool) -> list[str]:
    """Say in short lines why marks are missing, and which `languages` no tokenizer reads."""
    lines = [say(lang, "draw_no_mark")] if is_any else []
    names = ", ".join(language_name(code, lang) for code in languages)
    return lines + wrap(say(lang, "draw_read_by_none", languages=names), _LONGEST) if languages else lines


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
    return ", ".join(changes) or say(lang, "draw_tokens", languages=_count("language", len(rates), lang))


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
    with _picture(say(lang, "draw_history"), form, height=3.8) as (figure, picture):
        axes = figure.subplots()
        color, shape = _style("student", list(_ROLES))
        axes.plot(
            *zip(*measured.items(), strict=True),
            marker=".",
            color=_STYLES[0][0],
            linewidth=2,
            label=say(lang, "draw_training"),
        )
        if saved is not None:
            axes.plot([step, step], [measured.get(step, saved), saved], color=color, linestyle=":", zorder=2)
            _dot(axes, step, saved, color, shape, size=9, hollow=distill.kept_trim)
            axes.annotate(
                local(f"{saved:.3f}", lang), (step, saved), xytext=(0, -20), textcoords="offset points", ha="center"
            )
            axes.plot([], [], shape, color=color, markersize=8, label=_saved(distill, blend, lang))
            axes.margins(y=0.2)
        axes.set_xlabel(say(lang, "draw_step"))
        axes.set_ylabel(say(lang, "draw_cosine"))
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


@contextmanager
def _picture(title: str, form: Form, *, height: float) -> Iterator[tuple[Any, BytesIO]]:
    """Give a figure with a title, `height` inches high, and what holds it as a file when the block ends."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with plt.rc_context(_SETTINGS):
        figure = plt.figure(figsize=(_WIDTH, height), layout=ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.1))
        figure.suptitle(title, x=0.02, ha="left", weight="bold", fontsize=14)
        picture = BytesIO()
        yield figure, picture
        figure.savefig(picture, dpi=150, format=form, metadata={"Date": None} if form == "svg" else None)
        plt.close(figure)


def _style(name: str, names: Sequence[str]) -> tuple[str, str]:
    """Return colour and shape of a model."""
    place = _ROLES[name] if set(names) <= _ROLES.keys() else list(names).index(name)
    return _STYLES[place % len(_STYLES)]


def _dot(axes: Any, x: float, y: float, color: str, shape: str, *, hollow: bool = False, size: float = 7) -> None:
    face = _PAPER if hollow else color
    axes.plot([x], [y], shape, color=color, markerfacecolor=face, markersize=size, markeredgewidth=1.6, zorder=3)


def _write(axes: Any, place: float, text: str, **style: Any) -> None:
    # The grid stays behind the letters.
    paper = {"facecolor": _PAPER, "edgecolor": "none", "pad": 1}
    axes.text(0, place, text, transform=axes.get_yaxis_transform(), va="center", bbox=paper, **style)


def _explain(figure: Any, names: Sequence[str], lang: str, note: str = "") -> None:
    """Put the legend below the picture."""
    from matplotlib.lines import Line2D

    handles = []
    for name in names:
        color, shape = _style(name, names)
        handles.append(
            Line2D([], [], color=color, marker=shape, linestyle="", markersize=8, label=_short(named(name, lang), 46))
        )
    columns = len(names) if sum(map(len, names)) <= _LONGEST - 4 * len(names) else 1
    figure.legend(
        handles=handles, loc="outside lower left", ncols=columns, frameon=False, title=note or None, alignment="left"
    )


def _short(text: str, longest: int = _LONGEST) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
