"""Results as HTML without scripts: tables, lists and pictures that a screen reader can read. All data is escaped."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from hub_tools.core.languages import WITHOUT_SPACES
from hub_tools.results import MOST_UNKNOWN, Figures, is_read
from hub_tools.space.i18n import AUTONYMS, TEXTS, translate

_MAP_COLORS = 8
_DARK = 0.55  # strength of a colour on which white letters are easier to read


def _number(value: float, lang: str, shape: str = ",") -> str:
    return _local(format(value, shape), lang)


def _local(number: str, lang: str) -> str:
    return number.translate(str.maketrans(",.", ".,")) if lang == "tr" else number


def _change(ratio: float, lang: str) -> str:
    """Write how much more or less, as a share: −40 %."""
    percent = f"{abs(100 * (ratio - 1)):.0f}"
    sign = "±" if percent == "0" else "−" if ratio < 1 else "+"
    return f"{sign}%{percent}" if lang == "tr" else f"{sign}{percent} %"


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


def _percent(share: float, lang: str) -> str:
    number = _local(f"{100 * share:.1f}".removesuffix(".0"), lang)
    return f"%{number}" if lang == "tr" else f"{number} %"


def hits(answers: dict[str, Any], titles: dict[str, str], quality: dict[str, tuple[float, float]], lang: str) -> str:
    """Show the answers of teacher and student, from `search.search`, next to each other.

    `quality`, which may be empty, is name -> share of the sample's questions answered at this setting and with
    everything.
    """
    models = answers["models"].items()
    panels = "".join(_answer_panel(titles[name], answer, quality.get(name), lang) for name, answer in models)
    lead = escape(translate(lang, "searched", number=_number(answers["documents"], lang)))
    return f'<p class="ht-lead" role="status">{lead}</p><div class="ht-two">{panels}</div>'


def _answer_panel(title: str, answer: dict[str, Any], quality: tuple[float, float] | None, lang: str) -> str:
    score = escape(translate(lang, "score"))
    items = "".join(
        f'<li><span class="ht-score" title="{score}">{_number(hit["score"], lang, ".3f")}</span>'
        f"<span>{escape(hit['text'])}</span></li>"
        for hit in answer["hits"]
    )
    share = _number(100 * answer["index_bytes"] / max(answer["full_bytes"], 1), lang, ".0f")
    encode, search = _number(answer["encode_ms"], lang, ".0f"), _number(answer["search_ms"], lang, ".1f")
    facts = [
        (translate(lang, "time_query"), f"{encode} + {search} ms"),
        (translate(lang, "time_documents"), f"{_number(answer['ms_per_1000_documents'] / 1000, lang, '.1f')} s"),
        (translate(lang, "memory"), f"{_size(answer['index_bytes'], lang)} ({share} %)"),
        (translate(lang, "agreement"), f"{_number(100 * answer['agreement'], lang, '.0f')} %"),
    ]
    if quality:
        here, full = (_number(100 * answered, lang, ".0f") for answered in quality)
        facts.append((translate(lang, "quality"), f"{here} % ({full} %)"))
    return _section(title, f'<ol class="ht-hits">{items}</ol>{_facts(facts)}')


def _size(number: int, lang: str) -> str:
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= step:
            return f"{_number(number / step, lang, '.1f')} {unit}"
    return f"{number} B"


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


def maps(points: dict[str, Any], texts: Sequence[str], groups: Sequence[str], titles: dict[str, str], lang: str) -> str:
    """Draw a corpus in two dimensions, one picture a model; the group of a text gives its colour.

    `points` is name -> array of shape (texts, 2) in -1..1.
    """
    panels = "".join(
        _section(titles[name], _map(flat, texts, groups, titles[name], lang)) for name, flat in points.items()
    )
    return f'<div class="ht-two">{panels}</div><p class="ht-legend">{escape(translate(lang, "map_means"))}</p>'


def _map(flat: Any, texts: Sequence[str], groups: Sequence[str], title: str, lang: str) -> str:
    order = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    dots = "".join(
        f'<circle class="m{order[group] % _MAP_COLORS}" cx="{200 + 190 * x:.1f}" cy="{200 - 190 * y:.1f}" r="4">'
        f"<title>{escape(f'{text[:200]} · {group}' if group else text[:200])}</title></circle>"
        for (x, y), text, group in zip(flat, texts, groups, strict=True)
    )
    label = escape(translate(lang, "map_label", name=title, number=len(texts)))
    return f'<svg class="ht-map" viewBox="0 0 400 400" role="img" aria-label="{label}">{dots}</svg>'


def judgement(verdict: str, warnings: Sequence[str], lang: str) -> str:
    """Show in words how good the student is, and what it must not be; the sentences are the report's, in English."""
    alerts = "".join(f'<p class="ht-warning" lang="en"><b>⚠</b> {escape(warning)}</p>' for warning in warnings)
    lead = f'{escape(translate(lang, "report_says"))} <span lang="en">{escape(verdict)}</span>'
    return f'<p class="ht-lead">{lead}</p>{alerts}'


def scores(rows: Sequence[Sequence[str]], models: Sequence[str], prompts: str, lang: str) -> str:
    """Show the table of a run, names, then sizes or measurements of its models, and the prompts that these had."""
    heads = (translate(lang, name) if name in TEXTS[lang] else name for name in models)
    head = "<td></td>" + "".join(f'<th scope="col">{escape(title)}</th>' for title in heads)
    body = "".join(_score_row(name, values, lang) for name, *values in rows)
    table = _table("ht-scores", translate(lang, "scores_title"), translate(lang, "scores_caption"), head, body)
    return f'{table}<p class="ht-legend" lang="en">{escape(prompts)}</p>'


def _score_row(name: str, values: Sequence[str], lang: str) -> str:
    cells = "".join(f'<td class="ht-num">{escape(_local(value, lang))}</td>' for value in values)
    return f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'


def pictures(figures: Mapping[str, bytes], alts: Mapping[str, str | None], lang: str) -> str:
    """Show the figures of a run, inside the page; `alts` says in English what is on them."""
    shown = ""
    for name, content in figures.items():
        label = escape(_figure_name(name, lang))
        alt = f'alt="{escape(text)}" lang="en"' if (text := alts.get(name)) else f'alt="{label}"'
        source = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
        shown += f'<figure><img {alt} src="{source}"><figcaption>{label}</figcaption></figure>'
    return f'<div class="ht-figures">{shown}</div>'


def _figure_name(name: str, lang: str) -> str:
    key = f"figure_{name}"
    return translate(lang, key) if key in TEXTS[lang] else name.replace("_", " ")


def links(addresses: dict[str, str]) -> str:
    """Show links that leave the page."""
    items = "".join(
        f'<li>{escape(name)}: <a href="{escape(address)}" target="_blank" rel="noopener noreferrer">'
        f"{escape(address.removeprefix('https://'))}</a></li>"
        for name, address in addresses.items()
    )
    return f'<ul class="ht-links">{items}</ul>'


def note(message: str) -> str:
    """Show what was done, and let screen readers say it."""
    return f'<p class="ht-note" role="status">{escape(message)}</p>'


def problem(message: str) -> str:
    """Show what went wrong, and let screen readers say it."""
    return f'<p class="ht-problem" role="alert">{escape(message)}</p>'


def _section(title: str, content: str) -> str:
    return f'<section class="ht-panel"><h3>{escape(title)}</h3>{content}</section>'


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return f'<dl class="ht-facts">{rows}</dl>'


def _table(kind: str, label: str, caption: str, head: str, body: str) -> str:
    """Write a table that scrolls in its own frame where it is wide, also with the keyboard."""
    return (
        f'<div class="ht-scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
        f'<table class="{kind}"><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
