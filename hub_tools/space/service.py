"""What the page and its API can do, without a page: checked input, plain data out. Nothing here remembers a visitor."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from hub_tools.results import Figures
from hub_tools.space import search, similarity, tokenize
from hub_tools.space.content import SpaceContent
from hub_tools.space.documents import Documents
from hub_tools.space.index import PRECISIONS, Precision
from hub_tools.space.limits import QUERY, TEXT, TOP, Deadline, RefusedError, check_text, limit_texts
from hub_tools.space.sandbox import check_id, run_sandboxed
from hub_tools.space.vector_cache import VectorCache

_MAPPED = 600  # texts
_NEIGHBOURS = 5
_DAY = 86_400.0  # seconds; 200,000 documents need an hour or two


class Service:
    """The functions of a Space; `documents` are texts of the owner, one more corpus to search."""

    def __init__(self, content: SpaceContent, documents: Sequence[str] = ()) -> None:
        self.content = content
        self.cache = VectorCache()
        self.corpora = search.sample_documents()
        if documents:
            self.corpora["documents"] = Documents(tuple(documents), keep=True)
        self.sample = search.SampleQuestions(self.cache, self.corpora["passages"])
        self._is_warm = threading.Event()

    def warm_up(self) -> None:
        """Load the models and encode all corpora, the owner's last, so that no visitor has to wait."""
        try:
            for name, documents in self.corpora.items():
                for model in self.content.models.values():
                    self.cache.get(model, documents, Deadline(_DAY))
                if name == "passages":
                    self.ranks(0, "float32")
        finally:  # whatever went wrong, visitors are told what when they ask
            self._is_warm.set()

    def prepared(self, documents: Documents) -> int | None:
        """Return how many documents of the page both models know; None where no visitor needs to wait for them."""
        if self._is_warm.is_set() or not documents.keep:
            return None
        done = min(self.cache.done(model, documents) for model in self.content.models.values())
        return done if done < len(documents.texts) else None

    def compare(self, text: str, first: str, second: str) -> dict[str, Any]:
        """Tokenize a text by two tokenizers; each is teacher, student or an id of the Hub.

        Raises:
            RefusedError: the text or an id cannot be used.
        """
        text, models = check_text(text, TEXT), self.content.models
        first, second = map(self._tokenizer_of, (first, second))
        if first in models and second in models:
            return tokenize.compare(text, models[first].tokenizer, models[second].tokenizer)
        first, second = map(self._source_of, (first, second))
        comparison: dict[str, Any] = run_sandboxed("compare", text=text, first=first, second=second)
        return comparison

    def count_languages(self, name: str) -> dict[str, Figures]:
        """Count the tokens of the same sentences in 40 languages: language -> `tokens` and `unknown_text`.

        `name` is teacher, student or an id of the Hub.

        Raises:
            RefusedError: the id cannot be used.
        """
        name = self._tokenizer_of(name)
        if name in self.content.models:
            return tokenize.count_languages(self.content.models[name].tokenizer)
        if found := tokenize.known_counts().get(name):
            return found
        counts: dict[str, Figures] = run_sandboxed("count", tokenizer=self._source_of(name))
        return counts

    def _tokenizer_of(self, name: str) -> str:
        """Return teacher or student where a name stands for it, or the name of another tokenizer."""
        if not name.strip():
            raise RefusedError("error_no_tokenizer")
        name = self.content.ids.get(name.strip(), name.strip())
        return name.lower() if name.lower() in self.content.models else name

    def _source_of(self, name: str) -> str:
        """Return where another process finds a tokenizer: in a folder, or on the Hub."""
        model = self.content.models.get(name)
        return str(model.tokenizer_folder.absolute()) if model else f"hub:{check_id(name)}"

    def corpus(self, name: str, texts: Sequence[str] | None) -> Documents:
        """Return a visitor's texts as documents, or without any the documents of a name.

        Raises:
            RefusedError: there is no such corpus, or no text in it.
        """
        if texts:
            return Documents(tuple(limit_texts(texts)))
        if name not in self.corpora:
            raise RefusedError("error_choice", value=name[:50], choices=", ".join(self.corpora))
        return self.corpora[name]

    def search(self, query: str, documents: Documents, *, dimension: int, precision: str, top: int) -> dict[str, Any]:
        """Ask teacher and student the same query; see `search.search`.

        Raises:
            RefusedError: the query is empty or too long, there is no such precision, or the time is over.
        """
        return search.search(
            self.content.models,
            self.cache,
            documents,
            check_text(query, QUERY),
            dimension=int(dimension),
            precision=_check_precision(precision),
            top=max(1, min(int(top), TOP)),
            deadline=Deadline(),
        )

    def ranks(self, dimension: int, precision: str) -> dict[str, list[int]]:
        """Return by model at which place it finds the passage of each question of the sample."""
        deadline, checked = Deadline(), _check_precision(precision)
        return {
            name: self.sample.ranks(model, int(dimension), checked, deadline)
            for name, model in self.content.models.items()
        }

    def similarity(self, sentences: list[str]) -> dict[str, Any]:
        """Return the cosines of all pairs of sentences, by every model.

        Raises:
            RefusedError: too few or too many sentences, or the time is over.
        """
        kept, deadline = similarity.check_sentences(sentences), Deadline()
        cosines = {name: similarity.cosines(model, kept, deadline) for name, model in self.content.models.items()}
        return {"sentences": kept, "models": cosines}

    def map(self, documents: Documents) -> dict[str, Any]:
        """Put up to 600 documents on a map with two dimensions, by every model, turned so that the maps are alike.

        Returns:
            `rows` and `texts` of the documents, `models`: name -> array of shape (texts, 2), and `nearest`: name -> for
            each text the places of the five nearest ones among these, by all numbers of their vectors.
        """
        deadline = Deadline()
        rows = range(0, len(documents.texts), -(-len(documents.texts) // _MAPPED))
        maps: dict[str, Any] = {}
        nearest = {}
        for name, model in self.content.models.items():
            vectors = self.cache.get(model, documents, deadline).vectors[:: rows.step]
            points = similarity.project(vectors)
            maps[name] = similarity.turn_towards(points, next(iter(maps.values()))) if maps else points
            nearest[name] = similarity.nearest(vectors, _NEIGHBOURS)
        texts = [documents.texts[row] for row in rows]
        return {"rows": list(rows), "texts": texts, "models": maps, "nearest": nearest}


def _check_precision(name: str) -> Precision:
    if name not in PRECISIONS:
        raise RefusedError("error_choice", value=str(name)[:50], choices=", ".join(PRECISIONS))
    return name
