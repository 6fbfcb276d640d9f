"""The picture of quality against size, and of several students against speed too, with its text."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from statistics import fmean
from typing import Any

from hub_tools.reporting.drawing import Form, counted, draw_dot, new_picture, shorten, style_of
from hub_tools.reporting.plots import judged
from hub_tools.reporting.sentences import local, named, say
from hub_tools.results import EvaluationRow

# What is measured without labels, where there are no tasks.
_LABEL_FREE = "similarities ranked"


def draw_quality(
    rows: Sequence[EvaluationRow],
    params: Mapping[str, int],
    lang: str = "en",
    form: Form = "png",
    *,
    speeds: Mapping[str, float] | None = None,
) -> bytes:
    """Draw the mean of the scores that all models have against their parameters, one dot a model, as a file.

    `speeds` say how many times as fast as the first model each is; a second picture below shows the scores against
    them.
    """
    scores, count = _means(rows, params)
    parts = {"draw_millions": _in_millions(params), **({"draw_times": speeds} if speeds else {})}
    title = say(lang, "draw_quality_speed" if speeds else "draw_quality")
    with new_picture(title, form, height=0.6 + 3.8 * len(parts)) as (figure, picture):
        for axes, (label, places) in zip(figure.subplots(len(parts), squeeze=False)[:, 0], parts.items(), strict=True):
            _draw_points(axes, {name: (places[name], score) for name, score in scores.items()}, lang)
            axes.set_xlabel(say(lang, label))
            axes.set_ylabel(say(lang, "draw_mean", tasks=counted("task", count, lang)))
    return picture.getvalue()


def _draw_points(axes: Any, points: Mapping[str, tuple[float, float]], lang: str) -> None:
    """Draw a dot with its name for each model, at a place on a logarithmic axis and its score."""
    from matplotlib.ticker import NullLocator

    names = list(points)
    places, scores = zip(*points.values(), strict=True)
    low, high = min(scores), max(scores)
    room = max(0.25 * (high - low), 1.5)  # noise fills no picture
    axes.set_xscale("log")
    axes.set_xlim(min(places) / 1.6, max(places) * 1.6)
    # Names that move up may make the picture higher by as much each.
    middle, gap = (min(places) * max(places)) ** 0.5, (high - low + 2 * room) / max(14 - len(names), 4)
    height = -float("inf")
    for name in sorted(names, key=lambda name: points[name][1]):
        place, score = points[name]
        height = max(score, height + gap)  # a long name on the left would reach one on the right of the same height
        draw_dot(axes, place, score, *style_of(name, names), size=9)
        side, offset = ("left", 10) if place <= middle else ("right", -10)
        where = {"xytext": (offset, 0), "textcoords": "offset points", "ha": side, "va": "center"}
        axes.annotate(f"{shorten(named(name, lang), 26)}, {_points(score, lang)}", (place, height), **where)
    axes.set_ylim(low - room, max(high + room, height + gap))
    ticks = _ticks(places)
    axes.set_xticks(ticks, [_short(place, lang) for place in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid()


def _means(rows: Sequence[EvaluationRow], names: Collection[str]) -> tuple[dict[str, float], int]:
    """Return model -> the mean score x100, and the number of tasks that all models have.

    Without tasks it is how well they rank the similarities of the first one's vectors.
    """
    compared = judged(rows) or [row for row in rows if row.is_main and row.metric == _LABEL_FREE]
    shared = [row for row in compared if all(row.models.get(name) for name in names)]
    if not shared:
        return {}, 0
    return {name: 100 * fmean(row.value(name) or 0.0 for row in shared) for name in names}, len(shared)


def _in_millions(params: Mapping[str, int]) -> dict[str, float]:
    return {name: count / 1e6 for name, count in params.items()}


def _ticks(sizes: Sequence[float]) -> list[float]:
    """Return those of the sizes whose numbers have room below an axis."""
    ticks: list[float] = []
    for size in sorted(sizes):
        if not ticks or size > ticks[-1] * (max(sizes) / min(sizes)) ** 0.12 * 1.05:
            ticks.append(size)
    return ticks


def _short(number: float, lang: str) -> str:
    """Return a number with two digits, or all that a larger one has before its point: 0.15, 28, 117."""
    digits = max(2, len(str(int(number))))
    return local(f"{float(f'{number:.{digits}g}'):g}", lang)


def _points(score: float, lang: str) -> str:
    return local(f"{score:.1f}", lang)


def quality_alt(
    rows: Sequence[EvaluationRow],
    params: Mapping[str, int],
    lang: str = "en",
    *,
    speeds: Mapping[str, float] | None = None,
) -> str | None:
    """Return the text for those who do not see `draw_quality`; None where there are not two models to compare."""
    scores, count = _means(rows, params)
    if len(scores) <= 1:
        return None
    sizes, ending = _in_millions(params), "_speed" if speeds else ""
    parts = [
        say(
            lang,
            f"draw_point{ending}",
            model=named(name, lang),
            score=_points(score, lang),
            millions=_short(sizes[name], lang),
            times=_short(speeds[name], lang) if speeds else "",
        )
        for name, score in scores.items()
    ]
    return say(lang, f"draw_quality{ending}_alt", tasks=counted("task", count, lang), points="; ".join(parts))
