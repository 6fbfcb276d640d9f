"""The page. Its functions are in service.py, its tabs in tabs.py and tokens_tab.py, its texts in texts/."""

from __future__ import annotations

import inspect
import json
import os
import signal
import tempfile
import threading
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.api_component import Api
from starlette.middleware import Middleware

from hub_tools.space import limits
from hub_tools.space.api import add_api
from hub_tools.space.gate import Gate
from hub_tools.space.hero import hero
from hub_tools.space.i18n import LANGUAGES, TEXTS, translate
from hub_tools.space.index import PRECISIONS
from hub_tools.space.parts import number
from hub_tools.space.preview import PICTURE, Preview, title_of
from hub_tools.space.results_tab import results_tab
from hub_tools.space.search_tab import search_tab
from hub_tools.space.service import Service
from hub_tools.space.tabs import similarity_tab
from hub_tools.space.tokens_tab import languages_tab, tokens_tab
from hub_tools.space.upkeep import upkeep

TABS = ("tokens", "search", "similarity", "languages", "results")
_QUEUE = 200  # calls that wait before a visitor is asked to come back
_CALLS_AT_ONCE = 8  # of each function that needs neither the models nor a process of its own
_SESSIONS = 16  # that gradio remembers, 265 kB each and more; nothing of the page depends on it
_LONGEST_VECTOR = 10_000  # numbers that no vector has; anything above is no dimension


def build(service: Service) -> tuple[gr.Blocks, gr.I18n]:
    """Build the page with its tabs and its API, and its texts."""
    texts = gr.I18n(**{lang: _labels(lang, service) for lang in LANGUAGES})

    def label(key: str) -> Any:
        return texts(f"ht_{key}")

    with gr.Blocks(title=f"{title_of(service.content)} · hub_tools", analytics_enabled=False) as page:
        gr.HTML(label("hero"), elem_id="ht-hero")
        with gr.Tabs(overflow_behavior="wrap", elem_id="ht-tabs") as tabs:
            with _tab("tokens", label):
                restored = tokens_tab(service, label, page)
            with _tab("search", label):
                searched, run_search = search_tab(service, label)
            with _tab("similarity", label):
                measured, run_similarity = similarity_tab(service, label)
            with _tab("languages", label):
                restored |= languages_tab(service, label, page)
            with _tab("results", label):
                results_tab(service, label, page)
        restored |= searched | measured
        _copy_button(label)
        add_api(service)

        def restore(request: gr.Request) -> list[Any]:
            state = dict(request.query_params)
            updates = [gr.update(selected=state["tab"]) if state.get("tab") in TABS else gr.update()]
            for key in restored:
                value = _checked(key, state.get(key, ""), service)
                updates.append(gr.update() if value is None else gr.update(value=value))
            return updates

        opened = page.load(restore, None, [tabs, *restored.values()], api_visibility="private")
        # A link shows what it names, and the page what it can do.
        for run in (run_search, run_similarity):
            run(opened)
    return page, texts


def _tab(name: str, label: Callable[[str], Any]) -> gr.Tab:
    tab = gr.Tab(label(f"tab_{name}"), id=name, elem_id=f"ht-tab-{name}")
    tab.select(None, js=f"() => window.htState({{tab: '{name}'}})", api_visibility="private")
    return tab


def _copy_button(label: Callable[[str], Any]) -> None:
    """Put buttons for a link to what is shown and for a picture; a link that was copied stands below them."""
    with gr.Row(elem_id="ht-share"):
        copy = gr.Button(label("copy_link"), size="sm", scale=0, min_width=160, elem_id="ht-copy")
        gr.Button(label("save_image"), link=PICTURE.lstrip("/"), size="sm", scale=0, min_width=160)
        gr.Markdown(label("share"), elem_classes="ht-note")
    with gr.Column(elem_id="ht-link"):
        for when in ("copied", "not_copied", "too_long"):
            gr.Markdown(label(when), elem_classes=f"ht-note ht-{when}")
        gr.HTML('<code class="ht-address" role="status"></code>')
    copy.click(None, js="() => window.htCopy()", api_visibility="private")


def _head() -> str:
    """Return the page's script, which learns what Space it is in, if it is in one."""
    script = (resources.files("hub_tools") / "space" / "links.js").read_text(encoding="utf-8")
    space = os.environ.get("SPACE_ID")
    address = json.dumps(f"https://huggingface.co/spaces/{space}" if space else None)
    return f"<script>window.htSpace = {address};\n{script}</script>"


def _labels(lang: str, service: Service) -> dict[str, str]:
    """Return the texts of the page before anything is done; page.js chooses the language."""
    values = {
        "longest": number(limits.TEXT, lang),
        "documents": number(limits.DOCUMENTS, lang),
        "characters": number(limits.DOCUMENT, lang),
        "megabytes": limits.UPLOAD // 2**20,
        "most": limits.SENTENCES,
    }
    labels = {"ht_hero": hero(service.content, lang)}
    for key in TEXTS[lang]:
        try:
            labels[f"ht_{key}"] = translate(lang, key, **values)
        except KeyError:  # names what is only known when something was done
            continue
    return labels


def _checked(key: str, value: str, service: Service) -> Any:
    """Return a value of the address, or None if it makes no sense."""
    longest = {"text": limits.TEXT, "q": limits.QUERY, "sentences": limits.SENTENCES * limits.SENTENCE}
    if not value or len(value) > longest.get(key, 100):
        return None
    if key == "more":
        return value.split(",")
    if key in ("dim", "top"):
        return int(value) if value.isdecimal() and 0 < int(value) < _LONGEST_VECTOR else None
    corpora = tuple(service.corpora)
    allowed = {"corpus": corpora, "map": corpora, "precision": PRECISIONS}.get(key)
    return value if allowed is None or value in allowed else None


def _theme() -> gr.themes.Base:
    """Return a theme with fonts of the system, and colours that can be read by everyone."""
    fonts = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
    theme = gr.themes.Default(
        primary_hue="sky", neutral_hue="slate", font=fonts, font_mono=("ui-monospace", "Menlo", "Consolas", "monospace")
    )
    return theme.set(
        button_primary_background_fill="#0b6e99",
        button_primary_background_fill_hover="#095a7d",
        button_primary_background_fill_dark="#0b6e99",
        button_primary_background_fill_hover_dark="#095a7d",
        button_primary_text_color="#ffffff",
        block_info_text_color="#52606d",
        block_info_text_color_dark="#a9b6c3",
        block_title_text_color="#1b2733",
        block_title_text_color_dark="#e8eef4",
        input_border_color="#7d8b99",
        input_border_color_dark="#75879a",
        input_placeholder_color="#52606d",
        input_placeholder_color_dark="#a9b6c3",
    )


def launch(service: Service, *, host: str | None = None, port: int | None = None, wait: bool = True) -> tuple[Any, str]:
    """Open the page, stay until it is stopped if `wait`, and return the page, for tests, and its address.

    `host` is by default only this machine (or what GRADIO_SERVER_NAME says), `port` the first free one from 7860.
    """
    uploads = Path(tempfile.mkdtemp(prefix="hub-tools-page-"))
    os.environ |= {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_ANALYTICS_MAX_EVENTS": "50",  # of which gradio makes statistics after each call
        "GRADIO_TEMP_DIR": str(uploads),
    }
    page, texts = build(service)
    # Not open: a plain HTTP call would pass the queue, and with it all limits.
    page.queue(max_size=_QUEUE, default_concurrency_limit=_CALLS_AT_ONCE, api_open=False)
    style, script = (
        (resources.files("hub_tools") / "space" / name).read_text(encoding="utf-8") for name in ("style.css", "page.js")
    )
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        share=False,
        show_error=False,
        max_file_size=limits.UPLOAD,
        mcp_server=True,
        ssr_mode=False,
        i18n=texts,
        theme=_theme(),
        css=style,
        head=_head(),
        footer_links=["api"],
        run_history=False,
        enable_monitoring=False,
        state_session_capacity=_SESSIONS,
        app_kwargs={
            "middleware": [
                Middleware(Gate, uploads=uploads, check=lambda *call: problem_of_call(page, *call)),
                Middleware(Preview, content=service.content, script=script),
            ],
            "lifespan": upkeep(page, uploads),
        },
        quiet=not wait,
    )
    # Only now: the page opens seconds earlier when torch is not loaded at the same time.
    threading.Thread(target=service.warm_up, daemon=True).start()
    if wait:
        # Ends like Ctrl+C, so that nothing of a visitor is left behind.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        page.block_thread()
    return page, str(address)


def problem_of_call(page: gr.Blocks, name: str, said: dict[str, Any]) -> str | None:
    """Return what is wrong with a call of a function, by its name or else by its `fn_index`: a sentence, or None."""
    number = said.get("fn_index")
    by_number = page.fns.get(number) if type(number) is int else None
    public = (f for f in page.fns.values() if f.api_name == name and f.api_visibility == "public")
    function = next(public, None) if name else by_number
    if function is None or function.fn is None or (name and number is not None):
        return "There is no such function here."
    data, inputs = said.get("data"), function.inputs
    parameters = dict(list(inspect.signature(function.fn).parameters.items())[: len(inputs)])
    names = ", ".join(parameters)
    if isinstance(data, dict):
        if unknown := [key for key in data if key not in parameters]:
            return f"{name} takes {names}; it has no {unknown[0][:50]}."
        if missing := [
            k for k, parameter in parameters.items() if parameter.default is parameter.empty and k not in data
        ]:
            return f"{name} takes {names}; {missing[0]} is missing."
    elif isinstance(data, list) and len(data) != len(inputs):
        return f"Expected {len(inputs)} values ({names}), got {len(data)}."
    elif isinstance(data, list):
        for key, block, value in zip(parameters, inputs, data, strict=False):
            if isinstance(block, gr.components.Component) and not isinstance(block, Api) and not _fits(block, value):
                return f"{key}: the value has another type than the page's."
    return None


def _fits(block: gr.components.Component, value: Any) -> bool:
    if value is None:
        return not isinstance(block, gr.Slider)
    if isinstance(block, gr.File):
        return isinstance(value, dict) and "path" in value
    number = (int, float)
    types: dict[str, type | tuple[type, ...]] = {"string": str, "number": number, "integer": number, "boolean": bool}
    return isinstance(value, {**types, "object": dict}.get(block.api_info().get("type", ""), object))
