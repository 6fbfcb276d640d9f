"""Hard negatives: passages that the teacher finds near a query and that do not answer it."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.core.logging import log
from hub_tools.evaluation.subject import Subject
from hub_tools.finetuning.data import Example, Parts
from hub_tools.finetuning.losses import SPREAD_TEXTS, temperature_of

if TYPE_CHECKING:
    from datasets import Dataset

# Queries that keep as many negatives as asked; with fewer such queries they are trained without.
_ENOUGH = 0.5


@dataclass(frozen=True, kw_only=True)
class Mined:
    """Queries with their passages and negatives, and the vectors that found them, by role and text."""

    examples: tuple[Example, ...]  # all with as many texts
    scores: NDArray[np.float32] | None  # the cosines of each to its passages, shape (examples, passages)
    missing: int  # queries for which too few were found
    queries: dict[str, NDArray[np.float32]]
    passages: dict[str, NDArray[np.float32]]


class _Vectors:
    """What `mine_hard_negatives` asks of a model, from vectors that are there."""

    device = "cpu"

    def __init__(self, queries: dict[str, Any], passages: dict[str, Any]) -> None:
        self._queries, self._passages = queries, passages

    def encode_query(self, texts: list[str], **_: Any) -> NDArray[np.float32]:
        return np.stack([self._queries[text] for text in texts])

    def encode_document(self, texts: list[str], **_: Any) -> NDArray[np.float32]:
        return np.stack([self._passages[text] for text in texts])

    def similarity(self, queries: Any, passages: Any) -> Any:
        import torch

        return torch.as_tensor(queries) @ torch.as_tensor(passages).T

    def similarity_pairwise(self, queries: Any, passages: Any) -> Any:
        import torch

        return (torch.as_tensor(queries) * torch.as_tensor(passages)).sum(dim=1)


def mine(parts: Parts, finder: Subject, count: int) -> Mined:
    """Return the examples with so many hard negatives each, those of the data's own where it has some.

    The vectors of `finder`, the teacher if it knows the language, are kept as its cache keeps them.
    """
    name, examples = parts.labelled.name, parts.train
    queries = _encode(finder, [example.texts[0] for example in examples], "query", f"{name}, queries")
    own = [text for example in examples for text in example.texts[1:]]
    passages = _encode(finder, [*parts.passages, *own], "document", f"{name}, passages")
    given = min(len(example.texts) for example in examples) - 2
    found, missing = examples, 0
    if given <= 0 and count:
        found = _found(examples, list(parts.passages), queries, passages, count)
        missing = len(examples) - len(found)
        if len(found) < _ENOUGH * len(examples):
            log.info("  %s: too few passages that are near a query and no answer; trained without", name)
            found = ()
    if given <= 0 and not (count and found):
        pairs = tuple(example._replace(texts=example.texts[:2]) for example in examples)
        return Mined(examples=pairs, scores=None, missing=missing, queries=queries, passages=passages)
    most = 2 + (given if given > 0 else count)
    found = tuple(example._replace(texts=example.texts[:most]) for example in found)
    scores = np.array([[queries[e.texts[0]] @ passages[text] for text in e.texts[1:]] for e in found], np.float32)
    return Mined(examples=found, scores=scores, missing=missing, queries=queries, passages=passages)


def _encode(finder: Subject, texts: list[str], role: Any, what: str) -> dict[str, NDArray[np.float32]]:
    unique = list(dict.fromkeys(texts))
    return dict(zip(unique, finder.encode(unique, role, what), strict=True))


def _found(
    examples: tuple[Example, ...], passages: list[str], queries: dict[str, Any], vectors: dict[str, Any], count: int
) -> tuple[Example, ...]:
    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives

    if len(passages) <= 2 * count:
        return ()
    texts = [example.texts for example in examples]
    pairs = Dataset.from_dict({"query": [text[0] for text in texts], "passage": [text[1] for text in texts]})
    stand_in: Any = _Vectors(queries, vectors)
    with redirect_stderr(io.StringIO()):  # its bars
        mined: Dataset = mine_hard_negatives(
            pairs,
            stand_in,
            corpus=passages,
            num_negatives=count,
            # What is nearer to the query than this below its own passage may well answer it too. A share of the
            # cosine, as NV-Retriever has it, would leave out all that is hard where cosines lie close together: e5's
            # of a query are 0.9 to its passage and 0.8 to any.
            absolute_margin=temperature_of(np.stack(list(islice(vectors.values(), SPREAD_TEXTS)))),
            output_format="n-tuple",
            verbose=False,
        )
    groups = {text[:2]: example.group for text, example in zip(texts, examples, strict=True)}
    rows = [tuple(row.values()) for row in mined]
    return tuple(Example(row, groups[row[0], row[1]]) for row in rows)
