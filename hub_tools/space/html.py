"""Results as HTML without scripts: tables, lists and pictures that a screen reader can read. All data is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from hub_tools.space.i18n import translate
from hub_tools.space.parts import number, section, table


def heat_maps(
    sentences: Sequence[str], cosines: dict[str, list[list[float]]], titles: dict[str, str], lang: str
) -> str:
    """Show the cosines of all pairs, a table a model, darker where they are higher."""
    panels = "".join(
        section(titles[name], _heat_map(sentences, rows, titles[name], lang)) for name, rows in cosines.items()
    )
    pairs = ", ".join(_closest(name, rows, lang) for name, rows in cosines.items())
    lead = f'<p class="ht-lead" role="status">{escape(translate(lang, "closest", pairs=pairs))}</p>'
    return f'{lead}<div class="ht-two">{panels}</div>'


def _closest(name: str, rows: list[list[float]], lang: str) -> str:
    """Name the two sentences that mean most nearly the same to a model."""
    pairs = ((row[other], place, other) for place, row in enumerate(rows) for other in range(place))
    cosine, other, one = max(pairs)
    shown = {"one": one + 1, "other": other + 1, "cosine": number(round(cosine, 2) + 0.0, lang, ".2f")}
    return translate(lang, "closest_of", name=translate(lang, name), **shown)


def _heat_map(sentences: Sequence[str], rows: list[list[float]], title: str, lang: str) -> str:
    head = "".join(f'<th scope="col">{place}</th>' for place in range(1, len(rows) + 1))
    body = ""
    for place, row in enumerate(rows):
        cells = "".join(_heat_cell(value, lang) for value in row)
        name = escape(sentences[place])
        body += f'<tr><th scope="row" title="{name}">{place + 1}. <span dir="auto">{name}</span></th>{cells}</tr>'
    return table("ht-heat", title, translate(lang, "heat_caption"), "<td></td>" + head, body)


def _heat_cell(value: float, lang: str) -> str:
    strength = max(0.0, min(1.0, value))
    return f'<td style="--heat:{strength:.3f}">{number(round(value, 2) + 0.0, lang, ".2f")}</td>'


def note(message: str) -> str:
    """Show what was done, and let screen readers say it."""
    return f'<p class="ht-note" role="status">{escape(message)}</p>'


def problem(message: str) -> str:
    """Show what went wrong, and let screen readers say it."""
    return f'<p class="ht-problem" role="alert">{escape(message)}</p>'
