"""What the page and its API can do, without a page: checked input, plain data out. Nothing here remembers a visitor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hub_tools.space import search, similarity, tokenize
from hub_tools.space.content import SpaceContent
from hub_tools.space.documents import Documents
from hub_tools.space.index import PRECISIONS, Precision
from hub_tools.space.limits import QUERY, TEXT, TOP, Deadline, RefusedError, check_text, limit_texts
from hub_tools.space.sandbox import check_id, run_sandboxed
from hub_tools.space.vector_cache import VectorCache

_MAPPED = 600  # texts
_DAY = 86_400.0  # seconds; 200,000 documents need an hour or two


class Service:
    """The functions of a Space; `documents` are texts of the owner, one more corpus to search."""

    def __init__(self, content: SpaceContent, documents: Sequence[str] = ()) -> None:
        self.content = content
        self.cache = VectorCache()
        self.corpora = search.sample_documents()
        if documents:
            self.corpora["documents"] = Documents(tuple(documents), keep=True)
        self._questions = search.SampleQuestions(self.cache, self.corpora["passages"])

    def warm_up(self) -> None:
        """Load the models, and encode the passages and the owner's documents, so that no visitor has to wait."""
        for name in ("passages", "documents"):
            if name in self.corpora:
                for model in self.content.models.values():
                    self.cache.get(model, self.corpora[name], Deadline(_DAY))

    def compare(self, text: str, first: str, second: str) -> dict[str, Any]:
        """Tokenize a text by two tokenizers; each is teacher, student or an id of the Hub.

        Raises:
            RefusedError: the text or an id cannot be used.
        """
        text, models = check_text(text, TEXT), self.content.models
        first, second = (self.content.ids.get(name, name) for name in (first, second))
        if first in models and second in models:
            return tokenize.compare(text, models[first].tokenizer, models[second].tokenizer)
        folders = {name: str(model.tokenizer_folder.absolute()) for name, model in models.items()}
        sides = [folders.get(name) or f"hub:{check_id(name)}" for name in (first, second)]
        comparison: dict[str, Any] = run_sandboxed("compare", text=text, first=sides[0], second=sides[1])
        return comparison

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

    def quality(self, dimension: int, precision: str) -> dict[str, tuple[float, float]]:
        """Return by model the share of the sample's questions answered in the first five: here, and in full float32."""
        deadline, checked, recall = Deadline(), _check_precision(precision), self._questions.recall
        return {
            name: (recall(model, int(dimension), checked, deadline), recall(model, 0, "float32", deadline))
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
            `rows` and `texts` of the documents, and `models`: name -> array of shape (texts, 2).
        """
        deadline = Deadline()
        rows = range(0, len(documents.texts), -(-len(documents.texts) // _MAPPED))
        maps: dict[str, Any] = {}
        for name, model in self.content.models.items():
            points = similarity.project(self.cache.get(model, documents, deadline).vectors[:: rows.step])
            maps[name] = similarity.turn_towards(points, next(iter(maps.values()))) if maps else points
        return {"rows": list(rows), "texts": [documents.texts[row] for row in rows], "models": maps}

    def groups(self, name: str, rows: Sequence[int]) -> list[str]:
        """Return what the texts of a bundled corpus belong to: topic or language."""
        if name == "passages":
            return [f"{row // 5 + 1}" for row in rows]
        labels = {"sentences": ("tr", "en"), "languages": search.sample_languages()}.get(name, ("",))
        return [labels[row % len(labels)] for row in rows]


def _check_precision(name: str) -> Precision:
    if name not in PRECISIONS:
        raise RefusedError("error_choice", value=str(name)[:50], choices=", ".join(PRECISIONS))
    return name
