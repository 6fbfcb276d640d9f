"""Results as HTML without scripts: tables, lists and pictures that a screen reader can read. All data is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from hub_tools.core.languages import WITHOUT_SPACES
from hub_tools.results import MOST_UNKNOWN, Figures, is_read
from hub_tools.space.i18n import AUTONYMS, translate
from hub_tools.space.parts import change as _change
from hub_tools.space.parts import facts as _facts
from hub_tools.space.parts import number as _number
from hub_tools.space.parts import percent as _percent
from hub_tools.space.parts import section as _section
from hub_tools.space.parts import table as _table

_DARK = 0.55  # strength of a colour on which white letters are easier to read


def tokens(comparison: dict[str, Any], titles: Sequence[str], *, ids: bool, window: int, lang: str) -> str:
    """Show a text by two tokenizers side by side, from `tokenize.compare`; `window` tokens are read at once."""
    sides = (("first", titles[0], "gone"), ("second", titles[1], "new"))
    panels = "".join(_panel(comparison[side], title, kind, ids=ids, lang=lang) for side, title, kind in sides)
    counts = {key: _number(comparison[key], lang) for key in ("both", "only_first", "only_second")}
    return (
        f'<p class="ht-lead" role="status">{_verdict(comparison, titles, window, lang)}</p>'
        f'<div class="ht-two">{panels}</div>'
        f'<p class="ht-legend">{_meaning("new", lang)} {_meaning("gone", lang)} {escape(translate(lang, "signs"))}</p>'
        f'<p class="ht-legend">{escape(translate(lang, "vocabularies", **counts))}</p>'
    )


def _meaning(kind: str, lang: str) -> str:
    mark = f'<span class="ht-t {kind}">{escape(translate(lang, kind))}</span>'
    return f"{mark} {escape(translate(lang, f'{kind}_means'))}"


def _verdict(comparison: dict[str, Any], titles: Sequence[str], window: int, lang: str) -> str:
    first, second, ratio = comparison["first"], comparison["second"], comparison["ratio"]
    if not first["count"] or not second["count"]:
        return escape(translate(lang, "no_tokens"))
    sides = ((titles[0], first), (titles[1], second))
    if unread := [(title, side["unknown_text"]) for title, side in sides if not is_read(side)]:
        sentences = [translate(lang, "text_unknown", name=name, share=_percent(part, lang)) for name, part in unread]
        return escape(" ".join(sentences))
    key = "verdict_same" if first["count"] == second["count"] else "verdict_less" if ratio < 1 else "verdict_more"
    verdict = translate(
        lang,
        key,
        first=titles[0],
        second=titles[1],
        a=_number(first["count"], lang),
        b=_number(second["count"], lang),
        change=_change(ratio, lang),
        window=window,
        words_a=_number(window / max(first["per_word"], 1e-9), lang, ",.0f"),
        words_b=_number(window / max(second["per_word"], 1e-9), lang, ",.0f"),
        work=_number(100 * ratio, lang, ".0f"),
    )
    return escape(verdict)


def _panel(side: dict[str, Any], title: str, kind: str, *, ids: bool, lang: str) -> str:
    shown = side["tokens"]
    items = "".join(_token(token, place, kind, ids=ids, lang=lang) for place, token in enumerate(shown))
    facts = [
        (translate(lang, "tokens"), _number(side["count"], lang)),
        (translate(lang, "per_word"), _number(side["per_word"], lang, ".2f")),
        (translate(lang, "per_character"), _number(side["per_character"], lang, ".2f")),
        (translate(lang, kind), _number(side["not_shared"], lang)),
        (translate(lang, "vocabulary"), _number(side["vocabulary"], lang)),
    ]
    label = escape(translate(lang, "tokens_of", name=title))
    content = f'{_facts(facts)}<ol class="ht-tokens" aria-label="{label}">{items}</ol>'
    if (rest := side["count"] - len(shown)) > 0:
        content += f'<p class="ht-note">{escape(translate(lang, "more_tokens", number=_number(rest, lang)))}</p>'
    return _section(title, content)


def _token(token: dict[str, Any], place: int, kind: str, *, ids: bool, lang: str) -> str:
    classes = f"ht-t c{place % 5}" + ("" if token["shared"] else f" {kind}") + (" unknown" if token["unknown"] else "")
    status = translate(lang, "kept" if token["shared"] else kind)
    title = escape(f"{token['token']} · id {token['id']} · {status}")
    number = f"<small>{token['id']}</small>" if ids else ""
    return f'<li class="{classes}" title="{title}">{escape(token["shown"])}{number}</li>'


def languages(rows: Sequence[tuple[str, Figures, Figures]], lang: str) -> str:
    """Show the rows (language, figures of the teacher's tokenizer, of the student's) of a run as a table with bars."""
    if not rows:
        return ""
    # Languages without spaces have tokens per character, which are far less than tokens per word.
    scaled = [row for row in rows if row[0] not in WITHOUT_SPACES] or rows
    longest = max(found["tokens_per_word"] for _, *both in scaled for found in both)
    heads = [translate(lang, key) for key in ("language", "teacher", "student", "change")]
    body = ""
    for code, *both in rows:
        name = escape(AUTONYMS.get(code, code)) + ("*" if code in WITHOUT_SPACES else "")
        body += f'<tr><th scope="row"><span lang="{escape(code)}">{name}</span></th>'
        body += "".join(_bar(found, longest, side, lang) for found, side in zip(both, "ab", strict=True))
        before, after = (found["tokens_per_word"] for found in both)
        change = _change(after / before, lang) if before and all(map(is_read, both)) else ""
        body += f'<td class="ht-num {"good" if change and after < before else ""}">{change}</td></tr>'
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in heads)
    caption = translate(lang, "languages_caption", number=len(rows))
    if not all(is_read(found) for _, *both in rows for found in both):
        caption += " " + translate(lang, "languages_unread", share=_percent(MOST_UNKNOWN, lang))
    return _table("ht-bars", translate(lang, "languages_title"), caption, head, body)


def _bar(found: Figures, longest: float, side: str, lang: str) -> str:
    read, value, unknown = is_read(found), found["tokens_per_word"], found["unknown_tokens"]
    width = min(100.0, 100 * value / max(longest, 1e-9))
    bar = f'<span class="ht-bar {side} {"" if read else "unread"}" style="width:{width:.1f}%"></span>'
    note = translate(lang, "unknown_share", share=_percent(unknown, lang)) if round(unknown, 3) else ""
    shown = f"<span>{_number(value, lang, '.2f')}{'' if read else '?'}</span>"
    return f"<td>{bar}{shown}{f' <small>{escape(note)}</small>' if note else ''}</td>"


def heat_maps(
    sentences: Sequence[str], cosines: dict[str, list[list[float]]], titles: dict[str, str], lang: str
) -> str:
    """Show the cosines of all pairs, a table a model, darker where they are higher."""
    legend = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    panels = "".join(
        _section(titles[name], _heat_map(sentences, rows, titles[name], lang)) for name, rows in cosines.items()
    )
    return f'<ol class="ht-sentences">{legend}</ol><div class="ht-two">{panels}</div>'


def _heat_map(sentences: Sequence[str], rows: list[list[float]], title: str, lang: str) -> str:
    head = "".join(f'<th scope="col">{number}</th>' for number in range(1, len(rows) + 1))
    body = ""
    for number, row in enumerate(rows):
        cells = "".join(_heat_cell(value, lang) for value in row)
        name = escape(sentences[number])
        body += f'<tr><th scope="row" title="{name}">{number + 1}</th>{cells}</tr>'
    return _table("ht-heat", title, translate(lang, "heat_caption", name=title), "<td></td>" + head, body)


def _heat_cell(value: float, lang: str) -> str:
    strength = max(0.0, min(1.0, value))
    strong = "strong" if strength > _DARK else ""
    return f'<td class="{strong}" style="--heat:{strength:.3f}">{_number(value, lang, ".2f")}</td>'


def note(message: str) -> str:
    """Show what was done, and let screen readers say it."""
    return f'<p class="ht-note" role="status">{escape(message)}</p>'


def problem(message: str) -> str:
    """Show what went wrong, and let screen readers say it."""
    return f'<p class="ht-problem" role="alert">{escape(message)}</p>'
