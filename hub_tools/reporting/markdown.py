"""Data put into Markdown, Python and YAML so that it stays data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from string import Template
from typing import Any


def render(template: str, **values: str | float | None) -> str:
    """Return a template of hub_tools/templates with its values; what a value holds is never read as a template.

    A line of the template with a value that is None is left out. Whole numbers are written with commas, other
    numbers short: 4,096 and 0.5.
    """
    source = (resources.files("hub_tools") / "templates" / template).read_text(encoding="utf-8")
    lines = [
        line
        for line in source.splitlines(keepends=True)
        if all(values[name] is not None for name in Template(line).get_identifiers())
    ]
    texts = {
        name: value if isinstance(value, str) else _number(value) for name, value in values.items() if value is not None
    }
    filled = Template("".join(lines)).substitute(texts)
    return re.sub(r"\n{3,}", "\n\n", filled).rstrip("\n") + "\n"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def escape(value: object) -> str:
    """Return a value for Markdown text or a table cell: one line, without markup."""
    line = " ".join(str(value).split())
    return re.sub(r"([\\`*_\[\]<>|#$])", r"\\\1", line)


def inline_code(value: object) -> str:
    """Return a value as code inside a table cell or a line."""
    # A bar ends the cell, even in code, unless it is escaped.
    line = " ".join(str(value).replace("|", "\\|").split())
    space = " " if "`" in line else ""
    ticks = "`" * (1 + _longest_run_of_ticks(line))
    return f"{ticks}{space}{line}{space}{ticks}"


def alerts(messages: Iterable[str]) -> str | None:
    """Return warnings that stand out from the text; None where there are none."""
    return "\n\n".join(f"> [!WARNING]\n> {escape(message)}" for message in messages) or None


def block(content: str, language: str) -> str:
    """Return a fenced block that its content cannot leave."""
    fence = "`" * max(3, 1 + _longest_run_of_ticks(content))
    return f"{fence}{language}\n{content}\n{fence}"


def _longest_run_of_ticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def literal(value: str) -> str:
    """Return a Python string literal (JSON's are)."""
    return json.dumps(value, ensure_ascii=False).replace("```", "`\\u0060`")


def yaml(values: Mapping[str, Any]) -> str:
    """Return metadata as the Hub reads it, without values that are None."""
    from huggingface_hub import CardData

    # A line break in a text could end the metadata early.
    return CardData(**map_texts(values, lambda text: " ".join(text.split()))).to_yaml()


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return plain data with all its texts changed; keys stay."""
    if isinstance(value, dict):
        return {key: map_texts(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [map_texts(item, change) for item in value]
    return change(value) if isinstance(value, str) else value
