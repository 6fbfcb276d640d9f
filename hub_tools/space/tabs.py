"""The four tabs: components, and what happens when they are used; each returns what an address restores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

from hub_tools.core.errors import UserError
from hub_tools.core.languages import LANGUAGES, MORE_LANGUAGES, name_of
from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.space import documents as reading
from hub_tools.space import html as views
from hub_tools.space import limits, results
from hub_tools.space.api import log
from hub_tools.space.i18n import AUTONYMS, page_language, say
from hub_tools.space.index import PRECISIONS
from hub_tools.space.limits import RefusedError
from hub_tools.space.service import Service
from hub_tools.space.vector_cache import Corpus

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
    """The language of the page for a browser."""
    return page_language(request.headers.get("accept-language", "")) if request else "en"


def shown(function: Callable[..., str]) -> Callable[..., str]:
    """Say on the page why something was refused; a defect is noted down here and not shown."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> str:
        request = next((a for a in (*args, *kwargs.values()) if isinstance(a, gr.Request)), None)
        try:
            return function(*args, **kwargs)
        except RefusedError as refusal:
            return views.problem(refusal.say(lang_of(request)))
        except UserError as error:
            return views.problem(str(error))
        except Exception:
            log.exception("%s failed.", function.__name__)
            return views.problem(say(lang_of(request), "error_defect"))

    return wrapped


def remember(*names: str) -> str:
    """Script that puts the inputs of an event into the address and hands them on."""
    given = ", ".join(names)
    kept = ", ".join(name for name in names if not name.startswith("_"))
    return f"({given}) => {{ window.htState({{{kept}}}); return [{given}]; }}"


def _titles(service: Service, lang: str) -> dict[str, str]:
    """Model -> its name with its part: teacher or student."""
    return {name: f"{title} · {say(lang, name)}" for name, title in service.shown.titles.items()}


# -- tokenizers


def tokens_tab(service: Service, label: Label, page: gr.Blocks) -> list[Any]:
    """Two tokenizers side by side, and the chart of all languages."""
    examples = _examples(service)
    default = "teacher" if "teacher" in service.shown.models else "student"
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

    @shown
    def cut(text: str, first: str, second: str, ids: bool, request: gr.Request) -> str:
        return _show_tokens(service, text, first, second, ids=ids, lang=lang_of(request))

    @shown
    def cut_live(text: str, first: str, second: str, ids: bool, request: gr.Request) -> str:
        if not text.strip():
            return ""
        if not {first, second} <= set(service.shown.models):  # a process for each letter would be too much
            return views.problem(say(lang_of(request), "press_compare"))
        return _show_tokens(service, text, first, second, ids=ids, lang=lang_of(request))

    def pick(code: str | None) -> str:
        return examples.get(code or "", next(iter(examples.values())))

    def draw(request: gr.Request) -> str:
        return views.languages(results.fertility_rows(service.shown.report), lang_of(request))

    inputs, js = [text, first, second, ids], remember("text", "first", "second", "_ids")
    live: dict[str, Any] = {"trigger_mode": "always_last", "show_progress": "hidden", **_PRIVATE}
    gr.on([text.change, ids.change], cut_live, inputs, out, js=js, **live)
    page.load(cut_live, inputs, out, **live)
    gr.on(
        [go.click, first.submit, second.submit],
        cut,
        inputs,
        out,
        js=js,
        concurrency_id="foreign",
        concurrency_limit=4,
        **_PRIVATE,
    )
    example.input(pick, example, text, **_PRIVATE)
    page.load(draw, None, chart, **_PRIVATE)
    return [text, first, second]


def _examples(service: Service) -> dict[str, str]:
    """One sentence in each language of the sample, the target first."""
    row = next(iter(read_table(sample_file("languages.tsv"))))
    target = service.shown.target
    return dict(sorted(row.items(), key=lambda item: item[0] != target))


def _show_tokens(service: Service, text: str, first: str, second: str, *, ids: bool, lang: str) -> str:
    names = [name.strip() or "student" for name in (first, second)]
    found = service.compare(text, *names)
    titles = [_titles(service, lang).get(name, name) for name in names]
    window = (service.shown.report.get("student") or {}).get("max_seq_length") or 512
    return views.tokens(found, titles, ids=ids, window=window, lang=lang)


# -- search


def search_tab(service: Service, label: Label) -> list[Any]:
    """The same query answered by teacher and student."""
    dimension = max(m["dim"] for m in (service.shown.report["teacher"], service.shown.report["student"]) if m)
    questions = [row["text"] for row in read_table(sample_file("retrieval-questions.tsv"))][:_EXAMPLE_QUERIES]
    names = [*service.corpora, _OWN]
    corpus = gr.Radio(
        [(label(f"corpus_{n}"), n) for n in names], value=names[0], label=label("corpus"), elem_id="ht-corpus"
    )
    own = gr.State([])
    with gr.Group(visible=False) as group:
        gr.Markdown(label("own_info"), elem_classes="ht-note", padding=True)
        paste = gr.Textbox(
            label=label("paste"), lines=4, max_lines=10, max_length=2 * limits.CORPUS, elem_id="ht-paste"
        )
        with gr.Row():
            file = gr.File(label=label("file"), file_types=list(reading.FILE_TYPES), height=120, elem_id="ht-file")
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

    @shown
    def ask(query: str, corpus: str, dim: int, precision: str, top: int, own: list[str], request: gr.Request) -> str:
        lang = lang_of(request)
        if corpus == _OWN and not own:
            raise RefusedError("error_no_documents")
        chosen = Corpus(tuple(own)) if corpus == _OWN else service.corpus(corpus, None)
        found = service.search(query, chosen, dimension=dim, precision=precision, top=top)
        quality = service.quality(dim, precision) if corpus == "passages" else {}
        return views.hits(found, _titles(service, lang), quality, lang)

    def take(paste: str, file: str | None, dataset: str, request: gr.Request) -> tuple[list[str], str]:
        texts: list[str] = []

        @shown
        def told(_: gr.Request) -> str:
            texts.extend(_own_documents(paste, file, dataset))
            return views.note(say(lang_of(request), "loaded", number=len(texts)))

        said = told(request)
        return texts, said

    def show_own(corpus: str) -> Any:
        return gr.update(visible=corpus == _OWN)

    def pick(question: str | None) -> str:
        return question or questions[0]

    inputs = [query, corpus, dim, precision, top, own]
    js = remember("q", "corpus", "dim", "precision", "top", "_own")
    gr.on([go.click, query.submit], ask, inputs, out, js=js, concurrency_id="search", concurrency_limit=8, **_PRIVATE)
    load.click(take, [paste, file, dataset], [own, ready], concurrency_id="foreign", **_PRIVATE)
    corpus.change(show_own, corpus, group, **_PRIVATE)
    example.input(pick, example, query, **_PRIVATE)
    return [query, corpus, dim, precision, top]


def _own_documents(paste: str, file: str | None, dataset: str) -> list[str]:
    """The first of these that is given: a file, a dataset, pasted text."""
    if file:
        return reading.uploaded(Path(file))
    if dataset.strip():
        repo, config, split, column = (*dataset.strip().split(":"), "", "", "")[:4]
        return reading.from_hub(repo, config, split, column)
    return reading.pasted(paste)


# -- similarity


def similarity_tab(service: Service, label: Label) -> list[Any]:
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
    corpus = gr.Radio(
        [(label(f"corpus_{n}"), n) for n in names], value=names[0], label=label("corpus"), elem_id="ht-map-corpus"
    )
    draw = gr.Button(label("draw"), elem_id="ht-draw")
    picture = gr.HTML(elem_id="ht-map-out")

    @shown
    def measure(sentences: str, request: gr.Request) -> str:
        lang = lang_of(request)
        found = service.similarity(sentences.splitlines())
        return views.heat_maps(found["sentences"], found["models"], _titles(service, lang), lang)

    @shown
    def draw_map(corpus: str, request: gr.Request) -> str:
        lang = lang_of(request)
        found = service.map(service.corpus(corpus, None))
        groups = service.groups(corpus, found["rows"])
        return views.maps(found["models"], found["texts"], groups, _titles(service, lang), lang)

    go.click(measure, sentences, out, js=remember("sentences"), concurrency_id="search", **_PRIVATE)
    draw.click(draw_map, corpus, picture, concurrency_id="search", **_PRIVATE)
    return [sentences]


# -- results


def results_tab(service: Service, label: Label, page: gr.Blocks) -> None:
    """What the run measured, where everything lies, and the command for a student of one's own."""
    table, pictures = gr.HTML(elem_id="ht-scores"), gr.HTML(elem_id="ht-pictures")
    gr.Markdown(label("links"))
    links = gr.HTML(elem_id="ht-links")
    gr.Markdown(label("make"))
    gr.Markdown(label("make_info"))
    report = service.shown.report
    known = report["teacher"] if report["teacher"] and report["teacher"]["revision"] else None
    with gr.Row():
        teacher = gr.Textbox(
            known["id"] if known else "sentence-transformers/all-MiniLM-L6-v2",
            label=label("make_teacher"),
            max_length=160,
            max_lines=1,
            elem_id="ht-teacher",
        )
        codes = [(AUTONYMS.get(code, name_of(code)), code) for code in (LANGUAGES | MORE_LANGUAGES)]
        language = gr.Dropdown(codes, value=service.shown.target, label=label("make_language"), elem_id="ht-language")
        size = report["student"]["vocab_size"]
        vocabulary = gr.Number(size, label=label("make_vocabulary"), precision=0, elem_id="ht-vocabulary")
    written = gr.Code(language="shell", label=label("make_command"), interactive=False, elem_id="ht-command")

    def show_all(request: gr.Request) -> tuple[str, str, str]:
        lang = lang_of(request)
        rows, facts = results.score_rows(report), _facts(report, lang)
        addresses = {say(lang, key): address for key, address in service.shown.links.items()}
        return (
            views.scores(rows, facts, lang),
            views.pictures(dict(service.shown.figures), lang),
            views.links(addresses),
        )

    def write(teacher: str, language: str, vocabulary: float | None, request: gr.Request) -> str:
        try:
            return results.command(teacher, language, int(vocabulary or 0))
        except RefusedError as refusal:
            return f"# {refusal.say(lang_of(request))}"
        except UserError as error:
            return f"# {error}"

    page.load(show_all, None, [table, pictures, links], **_PRIVATE)
    chosen = [teacher, language, vocabulary]
    triggers = [page.load, teacher.change, language.change, vocabulary.change]
    gr.on(triggers, write, chosen, written, show_progress="hidden", trigger_mode="always_last", **_PRIVATE)


def _facts(report: Mapping[str, Any], lang: str) -> list[tuple[str, str, str]]:
    teacher, student = report["teacher"], report["student"]
    keys = (("params", "parameters"), ("vocab_size", "vocabulary"))
    return [(say(lang, name), f"{teacher[key]:,}", f"{student[key]:,}") for key, name in keys]
