"""What models cost, and what smaller vectors lose, as tables show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hub_tools.core.languages import WITHOUT_SPACES, name_of
from hub_tools.reporting.scores import score_cell
from hub_tools.results import Costs, SmallerVectors

COSTS_NOTE = (
    "Speeds are medians of encoding the same texts in turns, on the machine that measured them. Memory is that of the "
    "weights and of what is computed from them, at its peak, for 32 paragraphs at once."
)
SMALLER_NOTE = (
    "Vectors cut to their first numbers, or quantised, by each task's main measure; in brackets is the difference to "
    "float32, = where it is within the noise."
)
_SLOW = 10  # below that a rate has a digit more


def costs_table(costs: Mapping[str, Costs], lang: str) -> list[list[str]]:
    """Return the head of a table, and a row for each cost with the cells of the models; nothing where none is known."""
    if not costs:
        return []
    some = next(iter(costs.values()))
    unit = "character" if lang in WITHOUT_SPACES else "word"
    rows = {
        "parameters of the token embeddings": [f"{c.embedding_params:,}" for c in costs.values()],
        "other parameters": [f"{c.other_params:,}" for c in costs.values()],
        "all parameters": [f"{c.params:,}" for c in costs.values()],
        "weights on disk, MB": [f"{c.weight_bytes / 1e6:,.1f}" for c in costs.values()],
        "peak memory, MB": [f"{c.peak_memory / 1e6:,.1f}" for c in costs.values()],
        f"sentences/s (n={some.sentences.texts})": [rate_text(c.sentences.texts_per_second) for c in costs.values()],
        "tokens/s of sentences": [rate_text(c.sentences.tokens_per_second) for c in costs.values()],
        f"paragraphs/s (n={some.paragraphs.texts})": [rate_text(c.paragraphs.texts_per_second) for c in costs.values()],
        "tokens/s of paragraphs": [rate_text(c.paragraphs.tokens_per_second) for c in costs.values()],
        f"tokens per {unit} of both, {name_of(lang)}": [f"{c.tokens_per_word:.2f}" for c in costs.values()],
    }
    return [["what it costs", *costs], *([label, *cells] for label, cells in rows.items())]


def cost_notes(costs: Mapping[str, Costs], smaller: Sequence[SmallerVectors]) -> list[str]:
    """Say how to read the tables that there are."""
    return [*([COSTS_NOTE] if costs else []), *([SMALLER_NOTE] if smaller else [])]


def smaller_table(rows: Sequence[SmallerVectors]) -> list[list[str]]:
    """Return the head of a table, and for each model a row of bytes and one for each task, a column for each form.

    Lengths come in falling order; a form that a model was not measured in stays empty. Without rows there is no table.
    """
    if not rows:
        return []
    named = {form for row in rows for form in row.bytes if form.endswith("numbers")}
    lengths = sorted(named, key=lambda form: -int(form.split()[0]))
    forms = ["float32", *lengths, "int8", "binary"]
    several = len({row.model for row in rows}) > 1
    table, last = [["vectors as", *forms]], None
    for row in rows:
        prefix = f"{row.model}, " if several else ""
        if row.model != last:
            table.append(
                [f"{prefix}bytes of a vector", *(f"{row.bytes[f]:,}" if f in row.bytes else "" for f in forms)]
            )
        label = f"{prefix}{row.task}, {row.metric} ({row.split}, n={row.n:,})"
        table.append([label, *(score_cell(row.metric, row.figures.get(form)) for form in forms)])
        last = row.model
    return table


def rate_text(value: float) -> str:
    """Return a number of texts or tokens a second as tables show it."""
    return f"{value:,.0f}" if value >= _SLOW else f"{value:.1f}"
