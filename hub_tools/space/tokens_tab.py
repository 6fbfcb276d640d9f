"""The tabs of tokenizers: a text by two of them, and what the same sentences cost in all languages."""

from __future__ import annotations

from functools import cache
from typing import Any

import gradio as gr

from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.corpus.sources import SAMPLE
from hub_tools.space import html, limits, tokens_html
from hub_tools.space.api import SANDBOXED
from hub_tools.space.events import PRIVATE, Label, html_errors, lang_of, remember
from hub_tools.space.i18n import AUTONYMS, translate
from hub_tools.space.service import Service
from hub_tools.space.tokenize import known_counts

# Public tokenizers that many know. Those with known counts need the Hub for a visitor's text alone, the others always.
_KNOWN = (
    *known_counts(),
    "FacebookAI/xlm-roberta-base",
    "google-bert/bert-base-multilingual-cased",
    "BAAI/bge-m3",
)
_OWN_TEXT = "own"  # what is chosen of the examples where a visitor's text is none of them
_MORE = 2  # tokenizers beside the two that are compared
# What is chosen while an answer is awaited is answered after it; by default it would be dropped.
_LAST: dict[str, Any] = {"trigger_mode": "always_last"}
_LIVE: dict[str, Any] = {**_LAST, "show_progress": "hidden", **PRIVATE}


def tokens_tab(service: Service, label: Label, page: gr.Blocks) -> dict[str, Any]:
    """Two tokenizers and up to two more, one below the other."""
    report, examples = service.content.report, _examples(service.content.target)
    models = service.content.models
    default = "teacher" if "teacher" in models else "student"
    with gr.Row(equal_height=True):
        text = gr.Textbox(
            value=next(iter(examples.values())),
            label=label("text"),
            info=label("text_info"),
            lines=2,
            max_lines=12,
            max_length=limits.TEXT,
            scale=4,
            min_width=280,
            elem_id="ht-text",
        )
        choices = [*((AUTONYMS.get(code, code), code) for code in examples), (label("own_text"), _OWN_TEXT)]
        first_one = next(iter(examples))
        example = gr.Dropdown(
            choices, value=first_one, label=label("example"), scale=1, min_width=160, elem_id="ht-example"
        )
    go = gr.Button(label("compare"), variant="primary", visible=False, elem_id="ht-compare")
    stale = gr.HTML(elem_id="ht-tokens-stale")
    out = gr.HTML(elem_id="ht-tokens-out")
    tokenizers = [*((label(name), name) for name in models), *((name, name) for name in _KNOWN)]
    options: dict[str, Any] = {"allow_custom_value": True, "min_width": 240}
    with gr.Accordion(label("other_tokenizers"), open=False):
        with gr.Row():
            first = gr.Dropdown(tokenizers, value=default, label=label("first"), elem_id="ht-first", **options)
            second = gr.Dropdown(tokenizers, value="student", label=label("second"), elem_id="ht-second", **options)
        more = gr.Dropdown(
            tokenizers,
            value=[],
            multiselect=True,
            max_choices=_MORE,
            label=label("add_tokenizers"),
            elem_id="ht-more",
            **options,
        )
        ids = gr.Checkbox(label=label("show_ids"), container=False, elem_id="ht-ids")

    def shown_name(name: str, lang: str) -> tuple[str, str]:
        model = models.get(name)
        return (translate(lang, name).capitalize(), model.title) if model else (name, "")

    def is_here(*names: str | None) -> bool:
        return {(name or "").strip().lower() for name in names} <= {*models, ""}

    @html_errors
    def compare(text: str, first: str, second: str, more: list[str], ids: bool, request: gr.Request) -> str:
        lang = lang_of(request)
        if not text.strip():
            return html.note(translate(lang, "no_text"))
        comparison = service.compare(text, first, second)
        added = list(more)[:_MORE]
        others = [service.compare(text, name, second)["first"] for name in added]
        names = [shown_name(name.strip(), lang) for name in (first, second, *added)]
        window = report.student.max_seq_length or 512
        is_seen = codes.get(text) in report.corpus.languages and _learned_from_examples(service)
        return tokens_html.tokens(
            comparison,
            text,
            names,
            others=others,
            ids=ids,
            window=window,
            lang=lang,
            text_lang=codes.get(text, ""),
            note=translate(lang, "text_seen") if is_seen and "student" in (first, second) else "",
        )

    def compare_typed(
        text: str, first: str, second: str, more: list[str] | None, ids: bool, request: gr.Request
    ) -> tuple[Any, str]:
        # A process for each letter typed would be too much.
        if is_here(first, second, *(more or [])):
            return compare(text, first, second, more, ids, request), ""
        return gr.skip(), html.note(translate(lang_of(request), "press_compare"))

    def compare_chosen(
        text: str, first: str, second: str, more: list[str] | None, ids: bool, request: gr.Request
    ) -> tuple[Any, str, Any]:
        is_asked = not is_here(first, second, *(more or []))
        return compare(text, first, second, more, ids, request), "", gr.update(visible=is_asked)

    codes = {sentence: code for code, sentence in examples.items()}

    def pick(code: str) -> Any:
        return examples.get(code, gr.skip())

    def name_example(text: str) -> str:
        return codes.get(text, _OWN_TEXT)

    inputs, js = [text, first, second, more, ids], remember("text", "first", "second", "more", "_ids")
    # Both write the tokens: what is asked for beside the text is asked for in turn with it, or an older answer stays.
    gr.on([page.load, text.change, ids.change], compare_typed, inputs, [out, stale], js=js, **_LIVE)
    chosen = [go.click, first.change, second.change, more.change]
    gr.on(chosen, compare_chosen, inputs, [out, stale, go], js=js, **_LAST, **SANDBOXED, **PRIVATE)
    example.input(pick, example, text, **PRIVATE)
    gr.on([page.load, text.change], name_example, text, example, **_LIVE)
    return {"text": text, "first": first, "second": second, "more": more}


def languages_tab(service: Service, label: Label, page: gr.Blocks) -> dict[str, Any]:
    """What the same sentences cost in every language, by teacher, student and any other tokenizer."""
    codes = _examples(service.content.target)
    with gr.Row():
        own = gr.Dropdown(
            [(AUTONYMS.get(code, code), code) for code in codes],
            value=next(iter(codes)),
            label=label("own_language"),
            min_width=200,
            elem_id="ht-own",
        )
        other = gr.Dropdown(
            list(_KNOWN),
            value=next(iter(known_counts())),
            label=label("third"),
            allow_custom_value=True,
            min_width=240,
            elem_id="ht-third",
        )
    out = gr.HTML(elem_id="ht-languages")
    count = cache(service.count_languages)  # of teacher and student: the answer never changes

    @html_errors
    def draw(own: str, other: str, request: gr.Request) -> str:
        lang = lang_of(request)
        counts = {translate(lang, name).capitalize(): count(name) for name in service.content.models}
        if other.strip():
            counts[other.strip()] = service.count_languages(other)
        note = translate(lang, "tax_seen") if _learned_from_examples(service) else ""
        return tokens_html.languages(counts, own, lang, note=note)

    page.load(draw, [own, other], out, **_LIVE)
    js = remember("own", "third")
    gr.on([own.change, other.change], draw, [own, other], out, js=js, **_LAST, **SANDBOXED, **PRIVATE)
    return {"own": own, "third": other}


def _learned_from_examples(service: Service) -> bool:
    """Return whether the text of the run has the sentences that are shown, so that they cost its student less."""
    config = service.content.report.config
    return SAMPLE in config.corpus.sources and config.tokenizer.use is None


def _examples(target: str) -> dict[str, str]:
    """Return a sentence in each language of the sample, the target first."""
    row = next(iter(read_table(sample_file("languages.tsv"))))
    return dict(sorted(row.items(), key=lambda item: item[0] != target))
