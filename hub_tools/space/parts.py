"""Pieces of the page's HTML: numbers as a language writes them, panels and tables. All data is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from hub_tools.reporting.sentences import local


def number(value: float, lang: str, shape: str = ",") -> str:
    """Write a number: 1,234.5 or 1.234,5."""
    return local(format(value, shape), lang)


def percent(share: float, lang: str, shape: str = ".1f") -> str:
    """Write a share: 40% or %40."""
    digits = local(format(100 * share, shape).removesuffix(".0"), lang)
    return f"%{digits}" if lang == "tr" else f"{digits}%"


def change(ratio: float, lang: str) -> str:
    """Write how much more or less: −40% or −%40."""
    share = percent(abs(ratio - 1), lang, ".0f")
    sign = "±" if share.strip("%") == "0" else "−" if ratio < 1 else "+"
    return sign + share


def section(title: str, content: str) -> str:
    """Show a part of a result under its title."""
    return f'<section class="ht-panel"><h2>{escape(title)}</h2>{content}</section>'


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Show names and values."""
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="ht-facts">{rows}</dl>'


def table(kind: str, label: str, caption: str, head: str, body: str) -> str:
    """Write a table that scrolls in its own frame where it is wide, also with the keyboard."""
    return (
        f'<div class="ht-scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
        f'<table class="{kind}"><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
