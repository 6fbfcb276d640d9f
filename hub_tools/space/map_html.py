"""Documents on a map as HTML: a picture a model, what the colours mean, and the nearest texts of the one chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from hub_tools.space.documents import Documents
from hub_tools.space.i18n import AUTONYMS, translate
from hub_tools.space.parts import section

# Colours are told apart by sight, so the next groups have the same ones in another shape.
_COLOURS = 8
_SHAPES = (
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0",
    "M-4-4h8v8h-8z",
    "M0-5.5l5.5,5.5-5.5,5.5-5.5-5.5z",
    "M0-5l5.5,9h-11z",
    "M0,5l5.5-9h-11z",
)
_MIDDLE, _RADIUS = 200, 190
_NAME = 80  # characters of a text by which a screen reader names a dot


def maps(found: Mapping[str, Any], documents: Documents, titles: Mapping[str, str], lang: str) -> str:
    """Draw what `Service.map` found, one picture a model; topic or language of a text gives its colour and shape.

    The page's script shows the text of a dot, and which texts are nearest by each model, as the dots say.
    """
    groups = [_group(documents, row, lang) for row in found["rows"]]
    order = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    panels = ""
    for name, points in found["models"].items():
        nearest = found["nearest"][name]
        dots = "".join(
            _dot(place, point, order[groups[place]], nearest[place], found["texts"][place])
            for place, point in enumerate(points)
        )
        label = escape(translate(lang, "map_label", name=titles[name], number=len(groups)))
        picture = f'<svg class="ht-map" viewBox="0 0 400 400" role="group" aria-label="{label}">{dots}</svg>'
        panels += section(titles[name], f'{picture}<div class="ht-near" aria-live="polite"></div>')
    texts = "".join(
        f'<li dir="auto"{_spoken(documents, row)} data-group="{escape(group)}">{escape(text)}</li>'
        for row, group, text in zip(found["rows"], groups, found["texts"], strict=True)
    )
    return (
        f'<p class="ht-legend">{escape(translate(lang, "map_means"))}</p>{_legend(order)}'
        f'<div class="ht-maps" data-nearest="{escape(translate(lang, "nearest"))}"><div class="ht-two">{panels}</div>'
        f"<ul hidden>{texts}</ul></div>"
    )


def _group(documents: Documents, row: int, lang: str) -> str:
    if documents.topics:
        return documents.topics[lang][row]
    return AUTONYMS.get(documents.languages[row], "") if documents.languages else ""


def _spoken(documents: Documents, row: int) -> str:
    return f' lang="{documents.languages[row]}"' if documents.languages else ""


def _mark(group: int) -> str:
    return f'class="m{group % _COLOURS}" d="{_SHAPES[group // _COLOURS % len(_SHAPES)]}"'


def _dot(place: int, point: Any, group: int, nearest: Sequence[int], text: str) -> str:
    """Return a mark that is reached by keyboard: the first is a stop of the Tab key, and arrow keys walk on."""
    near, stop = " ".join(map(str, nearest)), 0 if place == 0 else -1
    x, y = _MIDDLE + _RADIUS * point[0], _MIDDLE - _RADIUS * point[1]
    return (
        f'<path {_mark(group)} transform="translate({x:.1f} {y:.1f})" data-place="{place}" data-nearest="{near}" '
        f'tabindex="{stop}" role="button" aria-label="{escape(text[:_NAME])}"></path>'
    )


def _legend(order: Mapping[str, int]) -> str:
    """Name the groups; nothing where there is one alone, or more than there are marks."""
    if not 1 < len(order) <= _COLOURS * len(_SHAPES):
        return ""
    items = "".join(
        f'<li><svg class="ht-map" viewBox="-7 -7 14 14" aria-hidden="true"><path {_mark(place)}></path></svg>'
        f"{escape(group)}</li>"
        for group, place in order.items()
    )
    return f'<ul class="ht-groups">{items}</ul>'
