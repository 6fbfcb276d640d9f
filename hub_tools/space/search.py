"""The same query answered by teacher and student, with what it costs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.space.documents import Documents
from hub_tools.space.index import Precision
from hub_tools.space.limits import Deadline
from hub_tools.space.model import Model, Vectors
from hub_tools.space.vector_cache import VectorCache

_ANSWERED = 5  # results among which the passage of an answered question is


def sample_documents() -> dict[str, Documents]:
    """Return the bundled documents: Turkish passages, Turkish and English sentences, sentences in 40 languages."""
    passages = [row["text"] for row in read_table(sample_file("retrieval-passages.tsv"))]
    pairs = [row[lang] for row in read_table(sample_file("tr-en.tsv")) for lang in ("tr", "en")]
    many = [text for row in read_table(sample_file("languages.tsv")) for text in row.values()]
    corpora = {"passages": passages, "sentences": pairs, "languages": many}
    return {name: Documents(tuple(dict.fromkeys(texts)), keep=True) for name, texts in corpora.items()}


def sample_languages() -> tuple[str, ...]:
    """Return the codes of the columns of the sample's sentences in 40 languages."""
    return tuple(next(iter(read_table(sample_file("languages.tsv")))))


def search(
    models: Mapping[str, Model],
    cache: VectorCache,
    documents: Documents,
    query: str,
    *,
    dimension: int,
    precision: Precision,
    top: int,
    deadline: Deadline,
) -> dict[str, Any]:
    """Ask every model a checked query; a dimension of 0 or too many means all numbers of a vector.

    Returns:
        `documents` (how many) and `models`: name -> `hits` (each `document`, `score`, `text`), `dimension`,
        `encode_ms` and `search_ms` of this query, `ms_per_1000_documents`, `index_bytes`, `full_bytes` and `agreement`
        (share of the results that all numbers in float32 give too).

    Raises:
        RefusedError: the time is over.
    """
    answers = {}
    for name, model in models.items():
        encoded = cache.get(model, documents, deadline)
        full = encoded.index(model.dimension, "float32")
        index = encoded.index(usable_dimension(dimension, model.dimension), precision)
        start = time.perf_counter()
        vector = model.encode([query], "query", deadline)[0]
        after_encoding = time.perf_counter()
        hits = index.search(vector, top)
        after_search = time.perf_counter()
        full_rows = {row for row, _ in (hits if index is full else full.search(vector, top))}
        answers[name] = {
            "hits": [{"document": row, "score": round(score, 4), "text": documents.texts[row]} for row, score in hits],
            "dimension": index.dimension,
            "encode_ms": round(1000 * (after_encoding - start), 2),
            "search_ms": round(1000 * (after_search - after_encoding), 2),
            "ms_per_1000_documents": round(1e6 * encoded.seconds / len(documents.texts), 1),
            "index_bytes": index.stored.nbytes,
            "full_bytes": full.stored.nbytes,
            "agreement": round(sum(row in full_rows for row, _ in hits) / len(full_rows), 4),
        }
    return {"documents": len(documents.texts), "models": answers}


def usable_dimension(asked: int, full: int) -> int:
    """Return a dimension that an index can have: a multiple of 8, from 8 to all."""
    return max(8, asked // 8 * 8) if 0 < asked < full else full


class SampleQuestions:
    """What a dimension and a precision cost on the sample's questions, each of which one passage answers."""

    def __init__(self, cache: VectorCache, passages: Documents) -> None:
        questions = list(read_table(sample_file("retrieval-questions.tsv")))
        ids = [row["id"] for row in read_table(sample_file("retrieval-passages.tsv"))]
        self._cache, self._passages = cache, passages
        self._questions = [row["text"] for row in questions]
        self._answers = [ids.index(row["passage_id"]) for row in questions]
        self._vectors: dict[str, Vectors] = {}

    def recall(self, model: Model, dimension: int, precision: Precision, deadline: Deadline) -> float:
        """Return the share of the questions whose passage is among the first five."""
        if model.name not in self._vectors:
            self._vectors[model.name] = model.encode(self._questions, "query", deadline)
        encoded = self._cache.get(model, self._passages, deadline)
        index = encoded.index(usable_dimension(dimension, model.dimension), precision)
        results = [index.search(vector, _ANSWERED) for vector in self._vectors[model.name]]
        return float(np.mean([answer in dict(hits) for hits, answer in zip(results, self._answers, strict=True)]))
