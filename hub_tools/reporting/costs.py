"""What models cost, and what smaller vectors lose, as tables show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hub_tools.core.languages import WITHOUT_SPACES, name_of
from hub_tools.reporting.scores import score_cell
from hub_tools.reporting.tables import UNREAD
from hub_tools.results import Costs, SmallerVectors

_COSTS_NOTE = (
    "Speeds are medians of encoding the same texts in turns, on the machine that measured them. Memory is that of the "
    "weights and of what is computed from them, at its peak, for 32 paragraphs at once."
)
SMALLER_NOTE = (
    "Vectors cut to their first numbers, or quantised, by each task's main measure; in brackets is the difference to "
    "float32, = where it is within the noise."
)
_RATE = ""  # the shape of a rate, which has a digit more below `_SLOW`
_SLOW = 10


@dataclass(frozen=True)
class _Cost:
    """A row of a table of costs: its name, which may say on how many texts it was measured, and how it is written."""

    label: str
    value: Callable[[Costs], float | None]
    shape: str = ",.0f"


COSTS: dict[str, _Cost] = {
    "embedding_params": _Cost("parameters of the token embeddings", lambda c: c.embedding_params),
    "other_params": _Cost("other parameters", lambda c: c.other_params),
    "params": _Cost("all parameters", lambda c: c.params),
    "megabytes": _Cost("weights on disk, MB", lambda c: c.weight_bytes / 1e6, ",.1f"),
    "memory": _Cost("peak memory, MB", lambda c: c.peak_memory / 1e6, ",.1f"),
    "sentences": _Cost("sentences/s (n={sentences})", lambda c: c.sentences.texts_per_second, _RATE),
    "sentence_tokens": _Cost("tokens/s of sentences", lambda c: c.sentences.tokens_per_second, _RATE),
    "paragraphs": _Cost("paragraphs/s (n={paragraphs})", lambda c: c.paragraphs.texts_per_second, _RATE),
    "paragraph_tokens": _Cost("tokens/s of paragraphs", lambda c: c.paragraphs.tokens_per_second, _RATE),
    "tokens_per_word": _Cost("tokens per {unit} of both, {language}", lambda c: c.tokens_per_word, ".2f"),
}


def costs_table(costs: Mapping[str, Costs], lang: str) -> list[list[str]]:
    """Return the head of a table, and a row for each cost with the cells of the models; nothing where none is known."""
    if not costs:
        return []
    some = next(iter(costs.values()))
    said = {
        "sentences": some.sentences.texts,
        "paragraphs": some.paragraphs.texts,
        "unit": "character" if lang in WITHOUT_SPACES else "word",
        "language": name_of(lang),
    }
    rows = ([cost.label.format(**said), *cost_cells(name, costs)] for name, cost in COSTS.items())
    return [["what it costs", *costs], *rows]


def cost_cells(name: str, costs: Mapping[str, Costs]) -> list[str]:
    """Return one of `COSTS` of each model as tables show it, `?` where it says nothing, see `UNREAD`."""
    cost = COSTS[name]
    values = [cost.value(of_model) for of_model in costs.values()]
    return ["?" if value is None else format(value, cost.shape) if cost.shape else rate_text(value) for value in values]


def rate_text(value: float) -> str:
    """Return a number of texts or tokens a second as tables show it."""
    return format(value, ",.0f" if value >= _SLOW else ".1f")


def costs_note(costs: Mapping[str, Costs]) -> str | None:
    """Say how to read the table of costs; None where there is none."""
    if not costs:
        return None
    unread = any(cost.tokens_per_word is None for cost in costs.values())
    return f"{_COSTS_NOTE} {UNREAD}" if unread else _COSTS_NOTE


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
