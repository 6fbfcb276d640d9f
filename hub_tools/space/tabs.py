"""The tab of similarity: sentences against each other, and the map of a corpus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from hub_tools.space import html, limits, map_html, search_html
from hub_tools.space.api import MODELS
from hub_tools.space.events import PRIVATE, Label, html_errors, lang_of, remember, titles_of
from hub_tools.space.service import Service

_SENTENCES = (
    "Kedi kanepenin üzerinde uyuyor.\nThe cat is sleeping on the sofa.\nMerkez bankası faizi artırdı.\n"
    "Die Zentralbank hat den Zins erhöht.\nBu akşam yemekte ne var?"
)


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

    draw.click(draw_map, corpus, picture, js=remember("map"), **MODELS, **PRIVATE)

    def run_after(event: Any) -> None:
        event.then(measure, sentences, out, **MODELS, **PRIVATE)
        event.then(draw_named, corpus, picture, **MODELS, **PRIVATE)

    return {"sentences": sentences, "map": corpus}, run_after
