"""The same query answered by teacher and student, with what it costs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.space.index import Index, Precision
from hub_tools.space.limits import Deadline
from hub_tools.space.model import Model, Vectors
from hub_tools.space.vector_cache import Corpus, Store


def sample_corpora() -> dict[str, Corpus]:
    """The bundled documents: Turkish passages, sentences in Turkish and English, and sentences in 40 languages."""
    passages = [row["text"] for row in read_table(sample_file("retrieval-passages.tsv"))]
    pairs = [row[lang] for row in read_table(sample_file("tr-en.tsv")) for lang in ("tr", "en")]
    many = [text for row in read_table(sample_file("languages.tsv")) for text in row.values()]
    named = {"passages": passages, "sentences": pairs, "languages": many}
    return {name: Corpus(tuple(dict.fromkeys(texts))) for name, texts in named.items()}


def sample_languages() -> tuple[str, ...]:
    """Codes of the columns of the sample's sentences in 40 languages."""
    return tuple(next(iter(read_table(sample_file("languages.tsv")))))


def search(
    models: Mapping[str, Model],
    store: Store,
    corpus: Corpus,
    query: str,
    *,
    dimension: int,
    precision: Precision,
    top: int,
    deadline: Deadline,
) -> dict[str, Any]:
    """Ask every model.

    Args:
        models: name -> model.
        store: where vectors and indices lie.
        corpus: the documents.
        query: what is looked for.
        dimension: numbers of a vector that are used; 0 or too many means all.
        precision: how the documents' vectors are stored.
        top: results wanted.
        deadline: when to give up.

    Returns:
        `documents` (how many) and `models`: name -> `hits` (each `document`, `score`, `text`), `dimension`, `exact`,
        `encode_ms` and `search_ms` of this query, `ms_per_1000_documents`, `index_bytes`, `full_bytes` and `agreement`
        (share of the results that all numbers in float32 give too).

    Raises:
        RefusedError: the time is over.
    """
    return {
        "documents": len(corpus.texts),
        "models": {
            name: _ask(
                model, store, corpus, query, dimension=dimension, precision=precision, top=top, deadline=deadline
            )
            for name, model in models.items()
        },
    }


def _ask(
    model: Model,
    store: Store,
    corpus: Corpus,
    query: str,
    *,
    dimension: int,
    precision: Precision,
    top: int,
    deadline: Deadline,
) -> dict[str, Any]:
    full_dimension = model.dimension
    used = cut_dimension(dimension, full_dimension)
    full = store.index(model, corpus, full_dimension, "float32", deadline)
    small = store.index(model, corpus, used, precision, deadline)
    start = time.perf_counter()
    vector = model.encode([query], "query", deadline)[0]
    encoded = time.perf_counter()
    found = small.search(vector, top)
    searched = time.perf_counter()
    best = found if small is full else full.search(vector, top)
    return {
        "hits": [{"document": row, "score": round(score, 4), "text": corpus.texts[row]} for row, score in found],
        "dimension": used,
        "exact": small.exact,
        "encode_ms": round(1000 * (encoded - start), 2),
        "search_ms": round(1000 * (searched - encoded), 2),
        "ms_per_1000_documents": round(1e6 * store.seconds(model, corpus) / len(corpus.texts), 1),
        "index_bytes": small.bytes,
        "full_bytes": full.bytes,
        "agreement": _agreement(found, best),
    }


def cut_dimension(wanted: int, full: int) -> int:
    """A dimension that an index can have: a multiple of 8, from 8 to all."""
    if wanted <= 0 or wanted >= full:
        return full
    return max(8, wanted // 8 * 8)


def _agreement(found: list[tuple[int, float]], best: list[tuple[int, float]]) -> float:
    return round(len({row for row, _ in found} & {row for row, _ in best}) / max(len(best), 1), 4)


class Quality:
    """What a dimension and a precision cost on the sample's questions, each of which one passage answers.

    Args:
        store: where vectors and indices lie.
        passages: the corpus of passages.
    """

    def __init__(self, store: Store, passages: Corpus) -> None:
        questions = list(read_table(sample_file("retrieval-questions.tsv")))
        ids = [row["id"] for row in read_table(sample_file("retrieval-passages.tsv"))]
        self._store = store
        self._passages = passages
        self._questions = [row["text"] for row in questions]
        self._vectors: dict[str, Vectors] = {}
        self._answers = [ids.index(row["passage_id"]) for row in questions]

    def recall(self, model: Model, dimension: int, precision: Precision, deadline: Deadline) -> float:
        """Share of the questions whose passage is among the first five."""
        queries = self._queries(model, deadline)
        used = cut_dimension(dimension, model.dimension)
        index = self._store.index(model, self._passages, used, precision, deadline)
        return float(np.mean([_has(index, q, a) for q, a in zip(queries, self._answers, strict=True)]))

    def _queries(self, model: Model, deadline: Deadline) -> Vectors:
        if model.name not in self._vectors:
            self._vectors[model.name] = model.encode(self._questions, "query", deadline)
        return self._vectors[model.name]


def _has(index: Index, query: Vectors, answer: int) -> bool:
    return answer in [row for row, _ in index.search(query, 5)]
