"""The tab that asks teacher and student the same query, in bundled documents or in a visitor's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from hub_tools.space import html, limits, search_html
from hub_tools.space.api import MODELS, SANDBOXED, explain
from hub_tools.space.documents import FILE_TYPES, Documents, from_file, from_hub, from_paste
from hub_tools.space.events import PRIVATE, Label, lang_of, remember, titles_of
from hub_tools.space.index import PRECISIONS
from hub_tools.space.limits import RefusedError, check_text
from hub_tools.space.search import pick_examples
from hub_tools.space.service import Service

_OWN = "own"
_SOURCES = ("paste", "file", "dataset")
# On a phone what was found comes into view.
_AFTER = "() => window.htShow('#ht-search-out .ht-answers')"


def search_tab(service: Service, label: Label) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    """The same query answered by teacher and student; returns also what runs it after an event."""
    dimension = max(service.content.report.teacher.dim, service.content.report.student.dim)
    names = [*service.corpora, _OWN]
    corpora = [(label(f"corpus_{n}"), n) for n in names]
    corpus = gr.Radio(corpora, value=names[0], label=label("corpus"), elem_id="ht-corpus")
    own = _own_documents(label, corpus)
    with gr.Row(equal_height=True):
        query = gr.Textbox(
            label=label("query"),
            placeholder=label("query_empty"),
            max_length=limits.QUERY,
            max_lines=4,
            scale=4,
            min_width=280,
            elem_id="ht-query",
        )
        go = gr.Button(label("search"), variant="primary", scale=1, min_width=160, elem_id="ht-search")
    with gr.Accordion(label("advanced"), open=False), gr.Row():
        dim = gr.Slider(
            8, dimension, dimension, step=8, label=label("dimension"), info=label("dimension_info"), elem_id="ht-dim"
        )
        kinds = [(label(f"precision_{p}"), p) for p in PRECISIONS]
        precision = gr.Radio(kinds, value="float32", label=label("precision"), elem_id="ht-precision")
        top = gr.Slider(1, limits.TOP, 5, step=1, label=label("top"), elem_id="ht-top")
    out = gr.HTML(elem_id="ht-search-out")

    def search(
        query: str,
        corpus: str,
        dim: int,
        precision: str,
        top: int,
        source: str,
        paste: str,
        loaded: str,
        request: gr.Request,
    ) -> tuple[str, str]:
        lang, query = lang_of(request), query or ""
        try:
            documents = _own(source, paste or "", loaded or "") if corpus == _OWN else service.corpus(corpus, None)
            if (done := service.prepared(documents)) is not None:
                return query, search_html.preparing(done, len(documents.texts), lang)
            if corpus != "passages":
                answers = service.search(query, documents, dimension=dim or 0, precision=precision, top=top or 1)
                said, right = search_html.searched(len(documents.texts), lang), None
            else:
                questions, ranks = service.sample.questions, service.ranks(dim or 0, precision)
                query = query.strip() or questions[pick_examples(ranks)[0]].text
                answers = service.search(query, documents, dimension=dim or 0, precision=precision, top=top or 1)
                asked = service.sample.find(query)
                said = search_html.proof(questions, ranks, asked, lang)
                right = None if asked is None else (questions[asked].passage, {n: r[asked] for n, r in ranks.items()})
        except Exception as error:
            return query, html.problem(explain(error, lang))
        return query, said + search_html.answers(answers, documents, titles_of(service, lang), right, lang)

    inputs = [query, corpus, dim, precision, top, *own]
    js = remember("q", "corpus", "dim", "precision", "top", "_source", "_paste", "_loaded")
    asked = gr.on([go.click, query.submit], search, inputs, [query, out], js=js, **MODELS, **PRIVATE)
    asked.then(None, js=_AFTER, **PRIVATE)

    def run_after(event: Any) -> None:
        event.then(search, inputs, [query, out], **MODELS, **PRIVATE).then(None, js=_AFTER, **PRIVATE)

    return {"q": query, "corpus": corpus, "dim": dim, "precision": precision, "top": top}, run_after


def _own(source: str, paste: str, loaded: str) -> Documents:
    """Return a visitor's documents: those pasted, or those that were read from a file or a dataset."""
    if source == "paste" and paste.strip():
        return Documents(tuple(from_paste(paste)))
    if source == "paste" or not loaded:
        raise RefusedError("error_no_documents")
    return Documents(tuple(loaded.split("\n")))


def _own_documents(label: Label, corpus: gr.Radio) -> list[Any]:
    """A visitor's own documents: from where, what is pasted, and what was read from a file or a dataset.

    The last, a document a line, stays in the browser and comes with each search: nothing here remembers a visitor.
    """
    loaded = gr.Textbox(visible=False)
    with gr.Group(visible=False) as group:
        gr.Markdown(label("own_info"), elem_classes="ht-note", padding=True)
        kinds = [(label(f"from_{source}"), source) for source in _SOURCES]
        source = gr.Radio(kinds, value=_SOURCES[0], label=label("source"), elem_id="ht-source")
        paste = gr.Textbox(
            label=label("paste"), lines=4, max_lines=10, max_length=2 * limits.CORPUS, elem_id="ht-paste"
        )
        file = gr.File(label=label("file"), file_types=list(FILE_TYPES), height=120, visible=False, elem_id="ht-file")
        with gr.Row(visible=False, equal_height=True) as row:
            dataset = gr.Textbox(label=label("dataset"), max_length=300, max_lines=1, scale=4, elem_id="ht-dataset")
            load = gr.Button(label("load"), scale=1, min_width=160, elem_id="ht-load")
        ready = gr.HTML(elem_id="ht-ready")

    def read(texts: Callable[[], list[str]], request: gr.Request) -> tuple[str, str]:
        lang = lang_of(request)
        try:
            found = texts()
        except Exception as error:
            return "", html.problem(explain(error, lang))
        return "\n".join(found), search_html.ready(found, lang)

    def read_file(file: str | None, request: gr.Request) -> tuple[str, str]:
        return read(lambda: from_file(Path(file)), request) if file else ("", "")

    def read_hub(name: str, request: gr.Request) -> tuple[str, str]:
        repo, config, split, column = (*(name or "").strip().split(":"), "", "", "")[:4]
        return read(lambda: from_hub(check_text(repo, limits.QUERY), config, split, column), request)

    def show_pasted(paste: str, request: gr.Request) -> str:
        return read(lambda: from_paste(paste), request)[1] if paste and paste.strip() else ""

    def choose(chosen: str) -> list[Any]:
        shown = [gr.update(visible=chosen == source) for source in _SOURCES]
        return [shown[0], gr.update(visible=chosen == "file", value=None), shown[2], "", ""]

    def show(corpus: str) -> Any:
        return gr.update(visible=corpus == _OWN)

    quiet: dict[str, Any] = {"show_progress": "hidden", **PRIVATE}
    corpus.change(show, corpus, group, **quiet)
    source.change(choose, source, [paste, file, row, loaded, ready], **quiet)
    paste.blur(show_pasted, paste, ready, **quiet, trigger_mode="always_last")
    # A file that is chosen while the one before is still taken out is read too, not dropped.
    triggers = [file.upload, file.clear]
    gr.on(triggers, read_file, file, [loaded, ready], **SANDBOXED, **PRIVATE, trigger_mode="always_last")
    gr.on([load.click, dataset.submit], read_hub, dataset, [loaded, ready], **SANDBOXED, **PRIVATE)
    return [source, paste, loaded]
