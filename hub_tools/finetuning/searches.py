"""Queries with their passages, in an order in which passages that are near each other stand together.

A batch of neighbours is a search among passages that are hard to tell apart, and a passage is read once for several of
its queries: what hard negatives of each query are for, in fewer tokens (docs/results.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hub_tools.evaluation.metrics import Vectors
from hub_tools.evaluation.subject import Subject
from hub_tools.finetuning.data import Example, Parts

# Queries of a passage in one batch, if it has so many.
_QUERIES = 3
# Passages among which neighbours are looked for at once: the time grows with their square.
_BLOCK = 20_000


class Row(NamedTuple):
    """A passage, perhaps another one that does not answer, and queries of it; all rows have as many texts."""

    queries: tuple[str, ...]
    passages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Searches:
    """The rows of a data set, and what the finder's vectors say of their texts."""

    rows: tuple[Row, ...]
    answers: dict[str, frozenset[str]]  # the passages of each query
    queries: dict[str, NDArray[np.float32]]
    passages: dict[str, NDArray[np.float32]]

    def cosines(self, numbers: Sequence[int]) -> tuple[Vectors, NDArray[np.bool_]]:
        """Return the finder's cosines of the queries of a batch to its passages, and which of these answer too.

        Columns follow each other: the first query of each row, then the second; so do passages. Both arrays have the
        shape (queries, passages); the passage in the same row is not among those that answer too.
        """
        rows = [self.rows[number] for number in numbers]
        queries = [text for column in zip(*(row.queries for row in rows), strict=True) for text in column]
        passages = [text for column in zip(*(row.passages for row in rows), strict=True) for text in column]
        found = np.stack([self.queries[text] for text in queries]) @ np.stack([self.passages[t] for t in passages]).T
        answering = np.array([[text in self.answers[query] for text in passages] for query in queries])
        places = np.arange(len(queries))
        answering[places, places % len(rows)] = False
        return found, answering


def arrange(parts: Parts, finder: Subject, batch_size: int, seed: int) -> Searches:
    """Return the examples as rows; `finder`, the teacher if it knows the language, says which passages are near.

    Its vectors are kept as its cache keeps them.
    """
    name, examples = parts.labelled.name, parts.train
    queries = _encode(finder, [example.texts[0] for example in examples], "query", f"{name}, queries")
    texts = [text for example in examples for text in example.texts[1:]]
    passages = _encode(finder, texts, "document", f"{name}, passages")
    of_passage: dict[str, dict[str, Example]] = {}
    answers: dict[str, set[str]] = {}
    for example in examples:
        of_passage.setdefault(example.texts[1], {}).setdefault(example.texts[0], example)
        answers.setdefault(example.texts[0], set()).add(example.texts[1])
    asked = [list(found.values()) for found in of_passage.values()]
    width = min(_QUERIES, max(1, round(sum(map(len, asked)) / len(asked))))
    size, has_negatives = rows_of_batch(width, batch_size), all(example.texts[2:] for example in examples)
    rows: list[Row] = []
    rest: list[Row] = []  # what is left of each pass over the passages, at the end, so that batches are whole
    # First all passages with their first queries, then those that have more with the next ones.
    for start in range(0, max(map(len, asked)), width):
        own = [found[start : start + width] for found in asked if found[start:]]
        order = _neighbourhoods(np.stack([passages[found[0].texts[1]] for found in own]), size, seed)
        made = [_row(own[number], width, has_negatives=has_negatives) for number in order]
        whole = len(made) // size * size
        rows, rest = rows + made[:whole], rest + made[whole:]
    known = {query: frozenset(found) for query, found in answers.items()}
    return Searches(rows=(*rows, *rest), answers=known, queries=queries, passages=passages)


def rows_of_batch(examples: int, batch_size: int) -> int:
    """Return how many rows with so many examples each make a batch of so many."""
    return max(2, -(-batch_size // examples))


def _row(examples: Sequence[Example], width: int, *, has_negatives: bool) -> Row:
    """Return the row of a passage's examples; where there are fewer than the width, they are repeated."""
    queries = tuple(examples[number % len(examples)].texts[0] for number in range(width))
    return Row(queries, examples[0].texts[1 : 3 if has_negatives else 2])


def _neighbourhoods(vectors: Vectors, size: int, seed: int) -> list[int]:
    """Return the numbers of vectors in an order in which each `size` of them are a random one and those nearest to it.

    What was taken is not taken again, so the last ones lie further apart.
    """
    order: list[int] = []
    mixed = np.random.default_rng(seed).permutation(len(vectors))
    block = max(size, _BLOCK // size * size)
    for start in range(0, len(mixed), block):
        left = mixed[start : start + block]
        while len(left):
            near = np.argsort(-(vectors[left] @ vectors[left[0]]), kind="stable")[:size]
            order += left[near].tolist()
            left = np.delete(left, near)
    return order


def _encode(finder: Subject, texts: list[str], role: Any, what: str) -> dict[str, NDArray[np.float32]]:
    unique = list(dict.fromkeys(texts))
    return dict(zip(unique, finder.encode(unique, role, what), strict=True))
