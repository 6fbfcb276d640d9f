"""The four tabs: components and their events; each function returns what an address restores: key -> component."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.space import html, limits, map_html, results, search_html
from hub_tools.space.api import MODELS, SANDBOXED
from hub_tools.space.events import PRIVATE, Label, html_errors, lang_of, remember, titles_of
from hub_tools.space.i18n import AUTONYMS, translate
from hub_tools.space.service import Service

_SENTENCES = (
    "Kedi kanepenin üzerinde uyuyor.\nThe cat is sleeping on the sofa.\nMerkez bankası faizi artırdı.\n"
    "Die Zentralbank hat den Zins erhöht.\nBu akşam yemekte ne var?"
)


def tokens_tab(service: Service, label: Label, page: gr.Blocks) -> dict[str, Any]:
    """Two tokenizers side by side, and the chart of all languages."""
    report, examples = service.content.report, _examples(service.content.target)
    default = "teacher" if "teacher" in service.content.models else "student"
    with gr.Row(equal_height=True):
        text = gr.Textbox(
            value=next(iter(examples.values())),
            label=label("text"),
            info=label("text_info"),
            lines=3,
            max_lines=12,
            max_length=limits.TEXT,
            scale=4,
            min_width=280,
            elem_id="ht-text",
        )
        choices = [(AUTONYMS.get(code, code), code) for code in examples]
        example = gr.Dropdown(choices, value=None, label=label("example"), scale=1, min_width=160, elem_id="ht-example")
    with gr.Accordion(label("other_tokenizers"), open=False), gr.Row():
        first = gr.Textbox(default, label=label("first"), max_length=100, max_lines=1, elem_id="ht-first")
        second = gr.Textbox("student", label=label("second"), max_length=100, max_lines=1, elem_id="ht-second")
    with gr.Row():
        ids = gr.Checkbox(label=label("show_ids"), container=False, elem_id="ht-ids")
        go = gr.Button(label("compare"), variant="primary", elem_id="ht-compare")
    out = gr.HTML(elem_id="ht-tokens-out")
    chart = gr.HTML(elem_id="ht-languages")

    @html_errors
    def compare(text: str, first: str, second: str, ids: bool, request: gr.Request) -> str:
        lang, names = lang_of(request), [name.strip() or "student" for name in (first, second)]
        comparison = service.compare(text, *names)
        titles = [titles_of(service, lang).get(name, name) for name in names]
        window = report.student.max_seq_length or 512
        return html.tokens(comparison, titles, ids=ids, window=window, lang=lang)

    @html_errors
    def compare_live(text: str, first: str, second: str, ids: bool, request: gr.Request) -> str:
        if not text.strip():
            return ""
        if not {first, second} <= set(service.content.models):  # a process for each letter typed would be too much
            return html.problem(translate(lang_of(request), "press_compare"))
        return compare(text, first, second, ids, request)

    def pick(code: str | None) -> str:
        return examples.get(code or "", next(iter(examples.values())))

    def draw(request: gr.Request) -> str:
        return html.languages(results.language_rows(report), lang_of(request))

    inputs, js = [text, first, second, ids], remember("text", "first", "second", "_ids")
    live: dict[str, Any] = {"trigger_mode": "always_last", "show_progress": "hidden", **PRIVATE}
    gr.on([text.change, ids.change], compare_live, inputs, out, js=js, **live)
    page.load(compare_live, inputs, out, **live)
    gr.on([go.click, first.submit, second.submit], compare, inputs, out, js=js, **SANDBOXED, **PRIVATE)
    example.input(pick, example, text, **PRIVATE)
    page.load(draw, None, chart, **PRIVATE)
    return {"text": text, "first": first, "second": second}


def _examples(target: str) -> dict[str, str]:
    """Return a sentence in each language of the sample, the target first."""
    row = next(iter(read_table(sample_file("languages.tsv"))))
    return dict(sorted(row.items(), key=lambda item: item[0] != target))


def similarity_tab(service: Service, label: Label) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    """Sentences against each other, and the map of a corpus; returns also what compares them after an event."""
    sentences = gr.Textbox(
        _SENTENCES,
        label=label("sentences"),
        info=label("sentences_info"),
        lines=5,
        max_lines=limits.SENTENCES,
        max_length=limits.SENTENCES * limits.SENTENCE,
        elem_id="ht-sentences",
    )
    go = gr.Button(label("measure"), variant="primary", elem_id="ht-measure")
    out = gr.HTML(elem_id="ht-similarity-out")
    gr.Markdown(label("map_title"))
    names = list(service.corpora)
    corpora = [(label(f"corpus_{n}"), n) for n in names]
    corpus = gr.Radio(corpora, value=names[0], label=label("corpus"), elem_id="ht-map-corpus")
    draw = gr.Button(label("draw"), elem_id="ht-draw")
    picture = gr.HTML(elem_id="ht-map-out")

    @html_errors
    def measure(sentences: str, request: gr.Request) -> str:
        lang = lang_of(request)
        table = service.similarity(sentences.splitlines())
        return html.heat_maps(table["sentences"], table["models"], titles_of(service, lang), lang)

    @html_errors
    def draw_map(corpus: str, request: gr.Request) -> str:
        lang = lang_of(request)
        documents = service.corpus(corpus, None)
        if (done := service.prepared(documents)) is not None:
            return search_html.preparing(done, len(documents.texts), lang)
        return map_html.maps(service.map(documents), documents, titles_of(service, lang), lang)

    go.click(measure, sentences, out, js=remember("sentences"), **MODELS, **PRIVATE)

    def draw_named(corpus: str, request: gr.Request) -> str:
        return draw_map(corpus, request) if "map" in request.query_params else ""

    again = "() => window.htAgain('#ht-map-out', '#ht-draw')"
    drawn = draw.click(draw_map, corpus, picture, js=remember("map"), **MODELS, **PRIVATE)
    drawn.then(None, js=again, **PRIVATE)

    def run_after(event: Any) -> None:
        event.then(measure, sentences, out, **MODELS, **PRIVATE)
        event.then(draw_named, corpus, picture, **MODELS, **PRIVATE).then(None, js=again, **PRIVATE)

    return {"sentences": sentences, "map": corpus}, run_after
