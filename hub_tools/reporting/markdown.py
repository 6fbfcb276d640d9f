"""Data put into Markdown, Python and YAML so that it stays data."""

from __future__ import annotations

import json
import re
import string
from importlib import resources
from typing import Any


def render(template: str, **values: str) -> str:
    """Return a template of hub_tools/templates with its values; what a value holds is never read as a template."""
    source = (resources.files("hub_tools") / "templates" / template).read_text(encoding="utf-8")
    filled = string.Template(source).substitute(values)
    return re.sub(r"\n{3,}", "\n\n", filled)


def escape(value: object) -> str:
    """Return a value for Markdown text or a table cell: one line, without markup."""
    line = " ".join(str(value).split())
    return re.sub(r"([\\`*_\[\]<>|#$])", r"\\\1", line)


def inline_code(value: object) -> str:
    """Return a value as code inside a table cell or a line."""
    # A bar ends the cell, even in code, unless it is escaped.
    line = " ".join(str(value).replace("|", "\\|").split())
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if "`" in line else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def block(content: str, language: str) -> str:
    """Return a fenced block that its content cannot leave."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", content)), default=0))
    return f"{fence}{language}\n{content}\n{fence}"


def literal(value: str) -> str:
    """Return a Python string literal (JSON's are)."""
    return json.dumps(value, ensure_ascii=False).replace("```", "`\\u0060`")


def yaml(values: dict[str, Any]) -> str:
    """Return metadata as the Hub reads it; a line break in a text could otherwise end it early."""
    from huggingface_hub import CardData

    return CardData(**_on_one_line(values)).to_yaml()


def _on_one_line(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _on_one_line(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_on_one_line(item) for item in value]
    return " ".join(value.split()) if isinstance(value, str) else value
