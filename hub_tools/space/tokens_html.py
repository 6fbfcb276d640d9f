"""A text by two tokenizers and the token tax of languages, as HTML. All data is escaped; page.js marks and sorts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from hub_tools.core.names import short_name
from hub_tools.reporting.sentences import language_name
from hub_tools.results import Figures, is_read
from hub_tools.space.i18n import AUTONYMS, translate
from hub_tools.space.parts import change, number, percent, table
from hub_tools.space.tokenize import visible

# Thai, Lao, Burmese, Khmer, kana and Chinese characters: written without spaces between words.
_WITHOUT_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_SOURCE = "en"  # whose number of tokens is the measure of the others


@dataclass(kw_only=True)
class _Piece:
    """Letters of a text, and the tokens that stand for them: several where they share a letter."""

    start: int
    end: int
    tokens: list[dict[str, Any]] = field(default_factory=list)


def tokens(
    comparison: dict[str, Any],
    text: str,
    names: Sequence[tuple[str, str]],
    *,
    ids: bool,
    window: int,
    lang: str,
    text_lang: str = "",
    others: Sequence[dict[str, Any]] = (),
    note: str = "",
) -> str:
    """Show a text by two tokenizers, from `tokenize.compare`: its own letters, coloured by word.

    `names` are title and subtitle of both, and of `others`, more tokenizers that are shown below; `window` tokens are
    read at once; `text_lang` is the language of the text, if it is known, and `note` what has to be said of the text.
    """
    sides = (comparison["first"], comparison["second"])
    before = (None, comparison["first"], *(None for _ in others))
    panels = "".join(
        _panel(side, text, name, other, ids=ids, lang=lang, text_lang=text_lang)
        for side, name, other in zip((*sides, *others), names, before, strict=True)
    )
    names = names[:2]
    verdict = " ".join([_verdict(comparison, text, names, window, lang), *([escape(note)] if note else [])])
    return (
        f'<p class="ht-verdict" role="status">{verdict}</p>{panels}'
        f'<p class="ht-detail" aria-hidden="true">{escape(translate(lang, "point"))}</p>{_legend(sides, names, lang)}'
    )


def _verdict(comparison: dict[str, Any], text: str, names: Sequence[tuple[str, str]], window: int, lang: str) -> str:
    first, second, ratio = comparison["first"], comparison["second"], comparison["ratio"]
    if not first["count"] or not second["count"]:
        return escape(translate(lang, "no_tokens"))
    sides = zip(names, (first, second), strict=True)
    if unread := [(title, side["unknown_text"]) for (title, _), side in sides if not is_read(side)]:
        said = [translate(lang, "text_unknown", name=name, share=percent(share, lang, ".0f")) for name, share in unread]
        return f"<strong>{escape(' '.join(said))}</strong>"
    a, b = (number(side["count"], lang) for side in (first, second))
    if first["count"] == second["count"]:
        return f"<strong>{escape(translate(lang, 'verdict_same', a=a))}</strong>"
    share = percent(abs(ratio - 1), lang, ".0f")
    lead = translate(lang, "verdict_less" if ratio < 1 else "verdict_more", a=a, b=b, share=share)
    unit = "characters" if 2 * len(_WITHOUT_SPACES.findall(text)) > len("".join(text.split())) else "words"
    sizes = (number(window * first[unit] / side["count"], lang, ",.0f") for side in (first, second))
    hold = translate(lang, f"window_{unit}", window=window, **dict(zip("ab", sizes, strict=True)))
    return f"<strong>{escape(lead)}</strong> {escape(hold)}"


def _panel(
    side: dict[str, Any],
    text: str,
    name: tuple[str, str],
    before: dict[str, Any] | None,
    *,
    ids: bool,
    lang: str,
    text_lang: str,
) -> str:
    title, subtitle = name
    shown = "".join(_pieces_html(side, text, marks_new=before is not None, ids=ids, lang=lang))
    if (rest := side["count"] - len(side["tokens"])) > 0:
        shown += f" <span>{escape(translate(lang, 'more_tokens', number=number(rest, lang)))}</span>"
    note = ""
    if not is_read(side):
        count = "?"
        note = translate(lang, "unread", share=percent(side["unknown_text"], lang, ".0f"))
        note = f'<span class="bad">{escape(note)}</span>'
    else:
        count = number(side["count"], lang)
        if before is not None and before["count"] and is_read(before) and side["count"] != before["count"]:
            ratio = side["count"] / before["count"]
            kind, key = ("good", "fewer") if ratio < 1 else ("bad", "more")
            note = escape(translate(lang, key, share=percent(abs(ratio - 1), lang, ".0f")))
            note = f'<span class="{kind}">{note}</span>'
    facts = translate(
        lang, "facts", vocabulary=number(side["vocabulary"], lang), words=number(side["per_word"], lang, ".2f")
    )
    label = escape(translate(lang, "tokens_of", name=title))
    code = f' lang="{escape(text_lang)}"' if text_lang else ""
    return (
        f'<section class="ht-panel ht-tokens"><div><h2>{escape(title)}</h2><p>{escape(subtitle)}</p></div>'
        f'<div class="ht-text{" ids" if ids else ""}" dir="auto"{code} role="group" aria-label="{label}">{shown}</div>'
        f'<div class="ht-count"><b>{count}</b> <span>{escape(translate(lang, "tokens"))}</span>{note}'
        f"<small>{escape(facts)}</small></div></section>"
    )


def _pieces(tokens: Sequence[dict[str, Any]]) -> Iterator[_Piece]:
    """Join tokens of the same letters: bytes of a letter, its parts, a mark without a letter of its own."""
    piece = None
    for token in tokens:
        if piece and (token["start"] < piece.end or piece.start == piece.end or token["start"] == token["end"]):
            piece.start, piece.end = min(piece.start, token["start"]), max(piece.end, token["end"])
        else:
            if piece:
                yield piece
            piece = _Piece(start=token["start"], end=token["end"])
        piece.tokens.append(token)
    if piece:
        yield piece


def _pieces_html(side: dict[str, Any], text: str, *, marks_new: bool, ids: bool, lang: str) -> Iterator[str]:
    changed = {letter["start"]: letter for letter in side["changed"]}
    place, word, part = 0, 0, 0
    for piece in _pieces(side["tokens"]):
        letters = text[piece.start : piece.end]
        # The space before a word belongs to its first token in some families; it is shown as a space.
        start = piece.start + (len(letters) - len(letters.lstrip()) if letters.strip() else 0)
        gap = text[place:start]
        word, part = (word + 1, 0) if any(map(str.isspace, gap)) else (word, part)
        yield from _letters(place, start, text, changed)
        kinds = [f"w{word % 2}", f"p{part % 2}"]
        kinds += ["new"] if marks_new and not all(token["shared"] for token in piece.tokens) else []
        kinds += ["unknown"] if any(token["unknown"] for token in piece.tokens) else []
        inside = "".join(_letters(start, piece.end, text, changed))
        if len(piece.tokens) > 1:
            inside += f"<sup>{len(piece.tokens)}</sup>"
        if ids:
            inside += f"<small>{' '.join(str(token['id']) for token in piece.tokens)}</small>"
        label = escape(_label(piece, text[start : piece.end], changed, lang))
        yield (
            f'<span class="ht-piece {" ".join(kinds)}" role="button" tabindex="{-1 if place else 0}" '
            f'data-start="{start}" data-end="{piece.end}" aria-label="{label}">{inside}</span>'
        )
        place, part = max(place, piece.end, 1), part + 1
    # What follows the last token that is shown is left out where there are more.
    if side["count"] == len(side["tokens"]):
        yield from _letters(place, len(text), text, changed)


def _letters(start: int, end: int, text: str, changed: Mapping[int, dict[str, Any]]) -> Iterator[str]:
    """Write letters of the text, those with a mark that the model does not see as such."""
    while start < end:
        letter = changed.get(start)
        stop = min(end, letter["end"]) if letter else start + 1
        shown = "".join(c if _is_shown_as_it_is(c) else visible(c, byte_level=False) for c in text[start:stop])
        yield f'<i class="ht-lost">{escape(shown)}</i>' if letter else escape(shown)
        start = stop


def _is_shown_as_it_is(character: str) -> bool:
    return character.isspace() or character in "\u200c\u200d"  # which join letters


def _label(piece: _Piece, letters: str, changed: Mapping[int, dict[str, Any]], lang: str) -> str:
    """Say what a piece is: its letters, tokens, ids, whether the other tokenizer has them, and what is lost."""
    is_shared, is_unknown = (all(t["shared"] for t in piece.tokens), any(t["unknown"] for t in piece.tokens))
    said = [
        " ".join(token["shown"] for token in piece.tokens),
        f"id {' '.join(str(token['id']) for token in piece.tokens)}",
        translate(lang, "is_unknown" if is_unknown else "in_both" if is_shared else "only_here"),
    ]
    for place in range(piece.start, piece.end):
        if place in changed:
            letter = changed[place]
            said.append(f"{letters[place - piece.end :][: letter['end'] - place]} → {letter['read'] or '∅'}")
    return f"{letters.strip()}: {' · '.join(said)}"


def _legend(sides: Sequence[dict[str, Any]], names: Sequence[tuple[str, str]], lang: str) -> str:
    """Say what the marks mean that can be seen."""
    said = [escape(translate(lang, "colours"))]
    if not all(token["shared"] for token in sides[1]["tokens"]):
        mark = f'<span class="ht-piece new">{escape(translate(lang, "new"))}</span>'
        said.append(f"{mark} {escape(translate(lang, 'new_means', name=names[1][0], other=names[0][0]))}")
    for side, (title, _) in zip(sides, names, strict=True):
        if side["changed"]:
            count = number(len(side["changed"]), lang)
            said.append(f'<i class="ht-lost">ü</i> {escape(translate(lang, "lost_means", name=title, number=count))}')
    if any(token["unknown"] for side in sides for token in side["tokens"]):
        mark = f'<span class="ht-piece unknown">{escape(translate(lang, "unknown"))}</span>'
        said.append(f"{mark} {escape(translate(lang, 'unknown_means'))}")
    return f'<ul class="ht-legend">{"".join(f"<li>{part}</li>" for part in said)}</ul>'


def languages(counts: Mapping[str, Mapping[str, Figures]], own: str, lang: str, *, note: str = "") -> str:
    """Show what the same sentences cost in each language against English.

    `counts` is title of a tokenizer -> language -> `tokens` and `unknown_text`; the row of `own` stands on top.
    """
    first, *others = counts.values()
    taxes = {title: {code: _tax(found, code) for code in found} for title, found in counts.items()}
    main = next(iter(taxes.values()))
    order = sorted(first, key=lambda code: -(main[code] or 0))
    longest = max((tax for found in taxes.values() for tax in found.values() if tax), default=1.0)
    rows = {code: _row(code, counts, taxes, longest, lang) for code in order}
    titles = [short_name(title) for title in counts]
    heads = [translate(lang, "language"), *titles[:2], *([translate(lang, "change")] if others else []), *titles[2:]]
    head = "".join(_sort_head(title, place == 1) for place, title in enumerate(heads))
    pinned = rows.pop(own, "")
    body = f"{pinned}</tbody><tbody>{''.join(rows.values())}"
    caption = " ".join([translate(lang, "tax_caption", number=len(order)), *([note] if note else [])])
    lead = _tax_verdict(counts, taxes, own, lang)
    return lead + table("ht-bars", translate(lang, "tax_title"), caption, head, body)


def _tax(found: Mapping[str, Figures], code: str) -> float | None:
    """Return tokens for one of English; None where one of both cannot be read."""
    if not is_read(found[code]) or not is_read(found[_SOURCE]):
        return None
    return found[code]["tokens"] / max(found[_SOURCE]["tokens"], 1)


def _tax_verdict(
    counts: Mapping[str, Mapping[str, Figures]],
    taxes: Mapping[str, Mapping[str, float | None]],
    own: str,
    lang: str,
) -> str:
    if own == _SOURCE or own not in next(iter(taxes.values())):
        return ""
    said = []
    for title, found in taxes.items():
        tax, share = found[own], percent(counts[title][own]["unknown_text"], lang, ".0f")
        cost = translate(lang, "unread", share=share) if tax is None else _times(tax, lang)
        said.append(f"{escape(title)} <strong>{escape(cost)}</strong>")
    lead = translate(lang, "tax_verdict", language=language_name(own, lang), source=language_name(_SOURCE, lang))
    return f'<p class="ht-verdict" role="status">{escape(lead)} {", ".join(said)}</p>'


def _sort_head(title: str, is_sorted: bool) -> str:
    order = ' aria-sort="descending"' if is_sorted else ""
    return f'<th scope="col"{order}><button type="button" class="ht-sort">{escape(title)}</button></th>'


def _row(
    code: str,
    counts: Mapping[str, Mapping[str, Figures]],
    taxes: Mapping[str, Mapping[str, float | None]],
    longest: float,
    lang: str,
) -> str:
    own_name, name = AUTONYMS.get(code, code), language_name(code, lang)
    also = f' <small lang="{escape(code)}" dir="auto">{escape(own_name)}</small>' if own_name != name else ""
    cells = f'<th scope="row" data-value="{escape(name)}">{escape(name)}{also}</th>'
    for place, title in enumerate(counts):
        tax, share = taxes[title][code], counts[title][code]["unknown_text"]
        if tax is None:
            unread = escape(translate(lang, "unread_cell", share=percent(share, lang, ".0f")))
            cells += f'<td data-value=""><small class="bad">{unread}</small></td>'
        else:
            width = 100 * tax / longest
            bar = f'<span class="ht-bar {"abc"[place]}" style="width:{width:.1f}%"></span>'
            cells += f'<td data-value="{tax:.4f}">{bar}{escape(_times(tax, lang))}</td>'
        if place == 1:
            cells += _change_cell([found[code] for found in counts.values()], lang)
    return f"<tr>{cells}</tr>"


def _times(tax: float, lang: str) -> str:
    return translate(lang, "times", number=number(tax, lang, ".2f"))


def _change_cell(found: Sequence[Figures], lang: str) -> str:
    """Write how many tokens fewer or more the second tokenizer needs than the first."""
    if not all(map(is_read, found[:2])) or not found[0]["tokens"]:
        return '<td data-value=""></td>'
    ratio = found[1]["tokens"] / found[0]["tokens"]
    kind = "good" if round(ratio, 2) < 1 else "bad" if round(ratio, 2) > 1 else ""
    return f'<td class="ht-num {kind}" data-value="{ratio - 1:.4f}">{change(ratio, lang)}</td>'
