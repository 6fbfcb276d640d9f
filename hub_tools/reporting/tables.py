"""Tables in Markdown and on the terminal, and how measured values are written in them."""

from __future__ import annotations

from hub_tools.core.languages import WITHOUT_SPACES, name_of
from hub_tools.results import MOST_UNKNOWN, Figures, VocabularySize, is_read

# What stands under a table with marked counts.
UNREAD = (
    f"? More than {MOST_UNKNOWN:.0%} of the characters are unknown to this tokenizer: what it cannot read, often a "
    "whole word, counts as one token, so the count says nothing."
)
# Measures that count no tokens of words.
_ALWAYS_MEANT = {"tokens_used", "unknown_tokens", "unknown_text"}


def markdown_table(rows: list[list[str]], *, numbers: bool = True) -> str:
    """Return a Markdown table; the first row is its head, columns of numbers after the first are aligned right."""
    head, *body = map(table_row, rows)
    rule = "|---|" + ("---:|" if numbers else "---|") * (len(rows[0]) - 1)
    return "\n".join([head, rule, *body])


def table_row(cells: list[str]) -> str:
    """Return a row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def terminal_table(rows: list[list[str]]) -> str:
    """Return a table for the terminal; the first row is its head, columns after the first are aligned right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def sizes_rows(sizes: list[VocabularySize], chosen: int) -> list[list[str]]:
    """Return what vocabularies of several sizes cost, as a table with a head; the `chosen` one is marked."""
    units = {lang: "character" if lang in WITHOUT_SPACES else "word" for lang in sizes[0].tokens_per_word}
    counts = (f"tokens per {unit}, {name_of(lang)}" for lang, unit in units.items())
    rows = (
        [
            f"{size.vocab_size:,}" + (" (chosen)" if size.vocab_size == chosen else ""),
            *(f"{count:.3f}" for count in size.tokens_per_word.values()),
            "" if size.params is None else f"{size.params:,}",
            "" if size.weight_bytes is None else f"{size.weight_bytes / 1e6:,.0f}",
        ]
        for size in sizes
    )
    return [["vocabulary", *counts, "parameters", "MB"], *rows]


def measure_text(figures: Figures, measure: str, shape: str) -> str:
    """Return a measure of a tokenizer as tables show it, marked where it means nothing, see `UNREAD`."""
    return format(figures[measure], shape) + ("" if measure in _ALWAYS_MEANT or is_read(figures) else "?")


def score_text(metric: str, value: float | None) -> str:
    """Return a measured value as tables show it.

    Scores are shown x100, cosines as they are, and nothing where nothing was measured:
    `score_text("spearman", 0.7336)` is `73.4`, `score_text("cosine", 0.98061)` is `0.981`.
    """
    if value is None:
        return ""
    return f"{value:.3f}" if metric == "cosine" else f"{100 * value:.1f}"
