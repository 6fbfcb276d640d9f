"""The same query answered by teacher and student, with what it costs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.space.documents import Documents
from hub_tools.space.index import Precision
from hub_tools.space.limits import Deadline
from hub_tools.space.model import Model, Vectors
from hub_tools.space.vector_cache import VectorCache

# Questions to show as examples: how many that the student alone answers first, both, neither, the teacher alone.
_EXAMPLES = {(False, True): 4, (True, True): 1, (False, False): 2, (True, False): 1}
FIRST = 20  # results; a passage behind them counts as not found


def sample_documents() -> dict[str, Documents]:
    """Return the bundled documents: Turkish passages, Turkish and English sentences, sentences in 40 languages."""
    passages = list(read_table(sample_file("retrieval-passages.tsv")))
    pairs = [
        (row[lang], lang, row["en"] if lang == "tr" else "")
        for row in read_table(sample_file("tr-en.tsv"))
        for lang in ("tr", "en")
    ]
    many = [
        (text, lang, row["en"] if lang != "en" else "")
        for row in read_table(sample_file("languages.tsv"))
        for lang, text in row.items()
    ]
    topics = {lang: tuple(row[column] for row in passages) for lang, column in (("tr", "topic"), ("en", "topic_en"))}
    return {
        "passages": _bundled([(row["text"], "tr", row["en"]) for row in passages], topics),
        "sentences": _bundled(pairs),
        "languages": _bundled(many),
    }


def _bundled(rows: list[tuple[str, str, str]], topics: Mapping[str, tuple[str, ...]] | None = None) -> Documents:
    """Return documents of (text, language, English); the first of equal texts counts."""
    first: dict[str, tuple[str, str, str]] = {}
    for row in rows:
        first.setdefault(row[0], row)
    texts, languages, english = (tuple(column) for column in zip(*first.values(), strict=True))
    return Documents(texts, keep=True, languages=languages, english=english, topics=topics or {})


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
        `encode_ms` and `search_ms` of this query, `index_bytes`, `full_bytes` and `agreement` (share of the results
        that all numbers in float32 give too).

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
            "index_bytes": index.stored.nbytes,
            "full_bytes": full.stored.nbytes,
            "agreement": round(sum(row in full_rows for row, _ in hits) / len(full_rows), 4),
        }
    return {"documents": len(documents.texts), "models": answers}


def usable_dimension(asked: int, full: int) -> int:
    """Return a dimension that an index can have: a multiple of 8, from 8 to all."""
    return max(8, asked // 8 * 8) if 0 < asked < full else full


@dataclass(frozen=True)
class Question:
    """A question of the sample, in English too, and the row of the passage that answers it."""

    text: str
    english: str
    passage: int


class SampleQuestions:
    """Where teacher and student find the passage that answers a question of the sample."""

    def __init__(self, cache: VectorCache, passages: Documents) -> None:
        ids = [row["id"] for row in read_table(sample_file("retrieval-passages.tsv"))]
        self.questions = [
            Question(row["text"], row["en"], ids.index(row["passage_id"]))
            for row in read_table(sample_file("retrieval-questions.tsv"))
        ]
        self._cache, self._passages = cache, passages
        self._vectors: dict[str, Vectors] = {}

    def find(self, text: str) -> int | None:
        """Return the place of a question, or None."""
        wanted = " ".join(text.split())
        return next((place for place, question in enumerate(self.questions) if question.text == wanted), None)

    def ranks(self, model: Model, dimension: int, precision: Precision, deadline: Deadline) -> list[int]:
        """Return for each question the place of its passage among all results of a model; 1 is the first."""
        if model.name not in self._vectors:
            texts = [question.text for question in self.questions]
            self._vectors[model.name] = model.encode(texts, "query", deadline)
        encoded = self._cache.get(model, self._passages, deadline)
        index = encoded.index(usable_dimension(dimension, model.dimension), precision)
        ranks = []
        for question, vector in zip(self.questions, self._vectors[model.name], strict=True):
            rows = [row for row, _ in index.search(vector, len(self._passages.texts))]
            ranks.append(rows.index(question.passage) + 1)
        return ranks


def pick_examples(ranks: Mapping[str, list[int]]) -> list[int]:
    """Return questions to show, hits and misses of both models; the first is one that the student answers best.

    Those come before others of their kind whose passage the teacher does not find at all.
    """
    student = ranks["student"]
    teacher = ranks.get("teacher", student)
    kinds: dict[tuple[bool, bool], list[int]] = {kind: [] for kind in _EXAMPLES}
    for place in sorted(range(len(student)), key=lambda place: teacher[place] <= FIRST):
        kinds[teacher[place] == 1, student[place] == 1].append(place)
    if not any(found for kind, found in kinds.items() if kind[1]):
        kinds[False, True].append(min(range(len(student)), key=student.__getitem__))
    chosen = [place for kind, number in _EXAMPLES.items() for place in kinds[kind][:number]]
    return list(dict.fromkeys(chosen))
