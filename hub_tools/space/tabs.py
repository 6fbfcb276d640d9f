"""The four tabs: components and their events; each function returns what an address restores: key -> component."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

from hub_tools.core.languages import LANGUAGES, MORE_LANGUAGES, name_of
from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.reporting.figures import figure_alts
from hub_tools.reporting.report import FullReport
from hub_tools.reporting.scores import prompts_note
from hub_tools.reporting.text import models_of, report_warnings, score_rows, size_rows, verdict_of
from hub_tools.space import html, limits, results
from hub_tools.space.api import MODELS, SANDBOXED, explain
from hub_tools.space.documents import FILE_TYPES, from_file, from_hub, from_paste
from hub_tools.space.i18n import AUTONYMS, page_language, translate
from hub_tools.space.index import PRECISIONS
from hub_tools.space.limits import RefusedError
from hub_tools.space.service import Service

Label = Callable[[str], Any]
_EXAMPLE_QUERIES = 8
_SENTENCES = (
    "Kedi kanepenin üzerinde uyuyor.\nThe cat is sleeping on the sofa.\nMerkez bankası faizi artırdı.\n"
    "Die Zentralbank hat den Zins erhöht.\nBu akşam yemekte ne var?"
)
_OWN = "own"
# What a visitor does not see in the API: its functions take plain data, see api.py.
_PRIVATE: dict[str, Any] = {"api_visibility": "private"}


def lang_of(request: gr.Request | None) -> str:
    """Return the language of the page for a browser."""
    return page_language(request.headers.get("accept-language", "")) if request else "en"


def html_errors(function: Callable[..., str]) -> Callable[..., str]:
    """Show on the page why something was refused; the function's last argument is the request."""

    @wraps(function)
    def wrapped(*args: Any) -> str:
        try:
            return function(*("" if value is None else value for value in args))
        except Exception as error:
            return html.problem(explain(error, lang_of(args[-1])))

    return wrapped


def remember(*names: str) -> str:
    """Return a script that puts the inputs of an event into the address (but for `_names`) and hands them on."""
    inputs = ", ".join(names)
    kept = ", ".join(name for name in names if not name.startswith("_"))
    return f"({inputs}) => {{ window.htState({{{kept}}}); return [{inputs}]; }}"


def _titles(service: Service, lang: str) -> dict[str, str]:
    """Return model -> its name with its role: teacher or student."""
    return {name: f"{title} · {translate(lang, name)}" for name, title in service.content.titles.items()}


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
        titles = [_titles(service, lang).get(name, name) for name in names]
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
    live: dict[str, Any] = {"trigger_mode": "always_last", "show_progress": "hidden", **_PRIVATE}
    gr.on([text.change, ids.change], compare_live, inputs, out, js=js, **live)
    page.load(compare_live, inputs, out, **live)
    gr.on([go.click, first.submit, second.submit], compare, inputs, out, js=js, **SANDBOXED, **_PRIVATE)
    example.input(pick, example, text, **_PRIVATE)
    page.load(draw, None, chart, **_PRIVATE)
    return {"text": text, "first": first, "second": second}


def _examples(target: str) -> dict[str, str]:
    """Return a sentence in each language of the sample, the target first."""
    row = next(iter(read_table(sample_file("languages.tsv"))))
    return dict(sorted(row.items(), key=lambda item: item[0] != target))


def search_tab(service: Service, label: Label) -> dict[str, Any]:
    """The same query answered by teacher and student."""
    dimension = max(service.content.report.teacher.dim, service.content.report.student.dim)
    questions = [row["text"] for row in read_table(sample_file("retrieval-questions.tsv"))][:_EXAMPLE_QUERIES]
    names = [*service.corpora, _OWN]
    corpora = [(label(f"corpus_{n}"), n) for n in names]
    corpus = gr.Radio(corpora, value=names[0], label=label("corpus"), elem_id="ht-corpus")
    # Own documents, a line each, stay in the browser and come with each search: nothing here remembers a visitor.
    loaded_texts = gr.Textbox(visible=False)
    with gr.Group(visible=False) as group:
        gr.Markdown(label("own_info"), elem_classes="ht-note", padding=True)
        paste = gr.Textbox(
            label=label("paste"), lines=4, max_lines=10, max_length=2 * limits.CORPUS, elem_id="ht-paste"
        )
        with gr.Row():
            file = gr.File(label=label("file"), file_types=list(FILE_TYPES), height=120, elem_id="ht-file")
            dataset = gr.Textbox(label=label("dataset"), max_length=300, max_lines=1, elem_id="ht-dataset")
        load = gr.Button(label("load"), elem_id="ht-load")
        ready = gr.HTML(elem_id="ht-ready")
    with gr.Row(equal_height=True):
        query = gr.Textbox(
            questions[0],
            label=label("query"),
            max_length=limits.QUERY,
            max_lines=4,
            scale=4,
            min_width=280,
            elem_id="ht-query",
        )
        example = gr.Dropdown(
            questions, value=None, label=label("query_examples"), scale=2, min_width=240, elem_id="ht-queries"
        )
    with gr.Accordion(label("advanced"), open=False), gr.Row():
        dim = gr.Slider(
            8, dimension, dimension, step=8, label=label("dimension"), info=label("dimension_info"), elem_id="ht-dim"
        )
        kinds = [(label(f"precision_{p}"), p) for p in PRECISIONS]
        precision = gr.Radio(kinds, value="float32", label=label("precision"), elem_id="ht-precision")
        top = gr.Slider(1, limits.TOP, 5, step=1, label=label("top"), elem_id="ht-top")
    go = gr.Button(label("search"), variant="primary", elem_id="ht-search")
    out = gr.HTML(elem_id="ht-search-out")

    @html_errors
    def search(query: str, corpus: str, dim: int, precision: str, top: int, loaded: str, request: gr.Request) -> str:
        lang = lang_of(request)
        if corpus == _OWN and not loaded:
            raise RefusedError("error_no_documents")
        documents = service.corpus(corpus, loaded.split("\n") if corpus == _OWN else None)
        answers = service.search(query, documents, dimension=dim or 0, precision=precision, top=top or 1)
        quality = service.quality(dim or 0, precision) if corpus == "passages" else {}
        return html.hits(answers, _titles(service, lang), quality, lang)

    def load_own(paste: str, file: str | None, dataset: str, request: gr.Request) -> tuple[str, str]:
        lang = lang_of(request)
        try:
            texts = _own_documents(paste or "", file, dataset or "")
        except Exception as error:
            return "", html.problem(explain(error, lang))
        return "\n".join(texts), html.note(translate(lang, "loaded", number=len(texts)))

    def show_own(corpus: str) -> Any:
        return gr.update(visible=corpus == _OWN)

    def pick(question: str | None) -> str:
        return question or questions[0]

    inputs = [query, corpus, dim, precision, top, loaded_texts]
    js = remember("q", "corpus", "dim", "precision", "top", "_loaded")
    gr.on([go.click, query.submit], search, inputs, out, js=js, **MODELS, **_PRIVATE)
    load.click(load_own, [paste, file, dataset], [loaded_texts, ready], **SANDBOXED, **_PRIVATE)
    corpus.change(show_own, corpus, group, **_PRIVATE)
    example.input(pick, example, query, **_PRIVATE)
    return {"q": query, "corpus": corpus, "dim": dim, "precision": precision, "top": top}


def _own_documents(paste: str, file: str | None, dataset: str) -> list[str]:
    """Return the documents of the first of these that is given: a file, a dataset, pasted text."""
    if file:
        return from_file(Path(file))
    if dataset.strip():
        repo, config, split, column = (*dataset.strip().split(":"), "", "", "")[:4]
        return from_hub(repo, config, split, column)
    return from_paste(paste)


def similarity_tab(service: Service, label: Label) -> dict[str, Any]:
    """Sentences against each other, and the map of a corpus."""
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
        return html.heat_maps(table["sentences"], table["models"], _titles(service, lang), lang)

    @html_errors
    def draw_map(corpus: str, request: gr.Request) -> str:
        lang = lang_of(request)
        maps = service.map(service.corpus(corpus, None))
        groups = service.groups(corpus, maps["rows"])
        return html.maps(maps["models"], maps["texts"], groups, _titles(service, lang), lang)

    go.click(measure, sentences, out, js=remember("sentences"), **MODELS, **_PRIVATE)
    draw.click(draw_map, corpus, picture, **MODELS, **_PRIVATE)
    return {"sentences": sentences}


def results_tab(service: Service, label: Label, page: gr.Blocks) -> None:
    """What the run measured, links, and the command that makes a student of another teacher."""
    table, pictures = gr.HTML(elem_id="ht-scores"), gr.HTML(elem_id="ht-pictures")
    gr.Markdown(label("links"))
    links = gr.HTML(elem_id="ht-links")
    gr.Markdown(label("make"))
    gr.Markdown(label("make_info"))
    report = service.content.report
    with gr.Row():
        teacher = gr.Textbox(
            report.teacher.id if report.teacher.revision else "sentence-transformers/all-MiniLM-L6-v2",
            label=label("make_teacher"),
            max_length=160,
            max_lines=1,
            elem_id="ht-teacher",
        )
        codes = [(AUTONYMS.get(code, name_of(code)), code) for code in (LANGUAGES | MORE_LANGUAGES)]
        language = gr.Dropdown(codes, value=service.content.target, label=label("make_language"), elem_id="ht-language")
        size = report.student.vocab_size
        vocabulary = gr.Number(size, label=label("make_vocabulary"), precision=0, elem_id="ht-vocabulary")
    written = gr.Code(language="shell", label=label("make_command"), interactive=False, elem_id="ht-command")

    def show_all(request: gr.Request) -> tuple[str, str, str]:
        lang = lang_of(request)
        addresses = {translate(lang, key): address for key, address in service.content.links.items()}
        figures = html.pictures(service.content.figures, figure_alts(report), lang)
        rows, prompts = [*_sizes(report, lang), *score_rows(report)], prompts_note(report.evaluation)
        judged = html.judgement(verdict_of(report), report_warnings(report), lang)
        return judged + html.scores(rows, models_of(report), prompts, lang), figures, html.links(addresses)

    def write(teacher: str, language: str, vocabulary: float | None, request: gr.Request) -> str:
        try:
            return results.command(teacher or "", language or "", int(vocabulary or 0))
        except Exception as error:
            return f"# {explain(error, lang_of(request))}"

    page.load(show_all, None, [table, pictures, links], **_PRIVATE)
    chosen = [teacher, language, vocabulary]
    triggers = [page.load, teacher.change, language.change, vocabulary.change]
    gr.on(triggers, write, chosen, written, show_progress="hidden", trigger_mode="always_last", **_PRIVATE)


def _sizes(report: FullReport, lang: str) -> list[list[str]]:
    """Return parameters and vocabulary of the models of a run."""
    _, parameters, vocabulary = size_rows(report)
    return [[translate(lang, "parameters"), *parameters[1:]], [translate(lang, "vocabulary"), *vocabulary[1:]]]
