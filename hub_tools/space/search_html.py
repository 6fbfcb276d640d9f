"""A search as HTML: what both models find side by side, which of it is right, and questions to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from hub_tools.space.documents import Documents
from hub_tools.space.i18n import translate
from hub_tools.space.parts import facts, number, percent, section
from hub_tools.space.search import FIRST, Question, pick_examples

_SHOWN, _SHOWN_CHARACTERS = 3, 160  # of a visitor's documents, so that it can be seen how they were read


def proof(questions: Sequence[Question], ranks: Mapping[str, list[int]], asked: int | None, lang: str) -> str:
    """Say how often each model finds the right passage first, and offer questions that they answer and miss.

    `ranks` is model -> the place of each question's passage, `asked` the question that is being answered.
    """
    counts = ", ".join(
        translate(lang, "first_of", name=translate(lang, name), number=places.count(1), all=len(questions))
        for name, places in ranks.items()
    )
    translated = ""
    if lang == "en" and asked is not None:
        translated = f'<p class="ht-en" lang="en">{escape(questions[asked].english)}</p>'
    few, every = (
        "".join(f"<li>{_chip(questions[place], ranks, place, lang)}</li>" for place in places)
        for places in (pick_examples(ranks), range(len(questions)))
    )
    return (
        f'{translated}<p class="ht-lead" role="status">{escape(translate(lang, "right_first", counts=counts))}</p>'
        f'<ul class="ht-chips" aria-label="{escape(translate(lang, "try"))}">{few}</ul>'
        f'<details class="ht-all"><summary>{escape(translate(lang, "all_questions", number=len(questions)))}</summary>'
        f'<p class="ht-note">{escape(translate(lang, "marks"))}</p><ul class="ht-chips">{every}</ul></details>'
    )


def _chip(question: Question, ranks: Mapping[str, list[int]], place: int, lang: str) -> str:
    text, spoken = (question.english, "en") if lang == "en" else (question.text, "tr")
    marks = "".join(
        f'<span class="{"hit" if places[place] == 1 else "miss"}" title="{escape(_found(places[place], lang))}">'
        f"{escape(translate(lang, name))} {'✓' if places[place] == 1 else '✗'}</span> "
        for name, places in ranks.items()
    )
    asked = f'<span lang="{spoken}">{escape(text)}</span>'
    return f'<button type="button" data-query="{escape(question.text)}">{asked} <small>{marks}</small></button>'


def _found(place: int, lang: str) -> str:
    key = "right_place" if place <= FIRST else "right_nowhere"
    return translate(lang, key, place=place, first=FIRST)


def answers(
    found: Mapping[str, Any],
    documents: Documents,
    titles: Mapping[str, str],
    right: tuple[int, Mapping[str, int]] | None,
    lang: str,
) -> str:
    """Show what `search.search` found, next to each other; on a phone one model at a time.

    `right` is the row of the document that answers the question, where that is known, and its place by model.
    """
    panels = ""
    for name, answer in found["models"].items():
        place = f'<p class="ht-place">{escape(_found(right[1][name], lang))}</p>' if right else ""
        row = right[0] if right else None
        hits = "".join(_hit(hit, documents, hit["document"] == row, lang) for hit in answer["hits"])
        content = f'{place}<ol class="ht-hits">{hits}</ol>{facts(_costs(answer, lang))}'
        panels += f'<div class="ht-side {name}">{section(titles[name], content)}</div>'
    note = escape(translate(lang, "cosines_differ"))
    return (
        f'<div class="ht-answers">{_switch(list(found["models"]), lang)}<div class="ht-two">{panels}</div>'
        f'<p class="ht-legend">{note}</p></div>'
    )


def searched(number_of_documents: int, lang: str) -> str:
    """Say that documents were searched, and let screen readers say it."""
    message = translate(lang, "searched", number=number(number_of_documents, lang))
    return f'<p class="ht-lead" role="status">{escape(message)}</p>'


def preparing(done: int, documents: int, lang: str) -> str:
    """Say how far the page is with documents of its own; the page's script asks again while this is shown."""
    message = translate(lang, "preparing", done=number(done, lang), number=number(documents, lang))
    bar = f'<progress value="{done}" max="{documents}"></progress>'
    return f'<p class="ht-lead ht-preparing"><label>{escape(message)} {bar}</label></p>'


def _switch(names: Sequence[str], lang: str) -> str:
    """Return the choice of a model on a phone; without one of two there is nothing to choose."""
    if len(names) == 1:
        return ""
    return "".join(
        f'<input type="radio" name="ht-side" id="ht-side-{name}" {"checked" if name == "student" else ""}>'
        f'<label for="ht-side-{name}">{escape(translate(lang, name))}</label>'
        for name in reversed(names)
    )


def _hit(hit: Mapping[str, Any], documents: Documents, is_right: bool, lang: str) -> str:
    row = hit["document"]
    spoken = f' lang="{documents.languages[row]}"' if documents.languages else ""
    english = documents.english[row] if documents.english and lang == "en" else ""
    badge = f'<b class="ht-right">✓ {escape(translate(lang, "answers"))}</b>' if is_right else ""
    score = f'<span class="ht-score">{escape(translate(lang, "score"))} {number(hit["score"], lang, ".3f")}</span>'
    translated = f'<span class="ht-en" lang="en">{escape(english)}</span>' if english else ""
    return (
        f'<li class="{"right" if is_right else ""}"><div>{badge}{score}</div>'
        f'<div class="ht-clamp"><span dir="auto"{spoken}>{escape(hit["text"])}</span>{translated}</div></li>'
    )


def _costs(answer: Mapping[str, Any], lang: str) -> list[tuple[str, str]]:
    encode, search = number(answer["encode_ms"], lang, ".0f"), number(answer["search_ms"], lang, ".1f")
    costs = [(translate(lang, "time_query"), f"{encode} + {search} ms")]
    if (share := answer["index_bytes"] / max(answer["full_bytes"], 1)) < 1:
        costs += [
            (translate(lang, "memory"), f"{_size(answer['index_bytes'], lang)} ({percent(share, lang, '.0f')})"),
            (translate(lang, "agreement"), percent(answer["agreement"], lang, ".0f")),
        ]
    return costs


def _size(size: int, lang: str) -> str:
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= step:
            return f"{number(size / step, lang, '.1f')} {unit}"
    return f"{size} B"


def ready(texts: Sequence[str], lang: str) -> str:
    """Show how a visitor's documents were read: how many they are, and the first of them."""
    message = escape(translate(lang, "loaded", number=number(len(texts), lang)))
    first = "".join(f'<li dir="auto">{escape(text[:_SHOWN_CHARACTERS])}</li>' for text in texts[:_SHOWN])
    return f'<div class="ht-note" role="status">{message}<ol class="ht-first">{first}</ol></div>'
