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
    legend = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    panels = "".join(
        section(titles[name], _heat_map(sentences, rows, titles[name], lang)) for name, rows in cosines.items()
    )
    return f'<ol class="ht-sentences">{legend}</ol><div class="ht-two">{panels}</div>'


def _heat_map(sentences: Sequence[str], rows: list[list[float]], title: str, lang: str) -> str:
    head = "".join(f'<th scope="col">{place}</th>' for place in range(1, len(rows) + 1))
    body = ""
    for place, row in enumerate(rows):
        cells = "".join(_heat_cell(value, lang) for value in row)
        name = escape(sentences[place])
        body += f'<tr><th scope="row" title="{name}">{place + 1}</th>{cells}</tr>'
    return table("ht-heat", title, translate(lang, "heat_caption", name=title), "<td></td>" + head, body)


def _heat_cell(value: float, lang: str) -> str:
    strength = max(0.0, min(1.0, value))
    return f'<td style="--heat:{strength:.3f}">{number(round(value, 2) + 0.0, lang, ".2f")}</td>'


def note(message: str) -> str:
    """Show what was done, and let screen readers say it."""
    return f'<p class="ht-note" role="status">{escape(message)}</p>'


def problem(message: str) -> str:
    """Show what went wrong, and let screen readers say it."""
    return f'<p class="ht-problem" role="alert">{escape(message)}</p>'
