"""What the events of all tabs share: the language of a visitor, errors that can be read, and the address."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr

from hub_tools.space import html
from hub_tools.space.api import explain
from hub_tools.space.i18n import page_language, translate
from hub_tools.space.service import Service

Label = Callable[[str], Any]
# What a visitor does not see in the API: its functions take plain data, see api.py.
PRIVATE: dict[str, Any] = {"api_visibility": "private"}


def lang_of(request: gr.Request | None) -> str:
    """Return the language of the page: what its address says, or else the browser."""
    if not request:
        return "en"
    return page_language(request.headers.get("accept-language", ""), request.query_params.get("lang", ""))


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


def titles_of(service: Service, lang: str) -> dict[str, str]:
    """Return model -> its name with its role: teacher or student."""
    return {name: f"{title} · {translate(lang, name)}" for name, title in service.content.titles.items()}
