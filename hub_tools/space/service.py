"""What the page and its API can do, without a page: checked input, plain data out. Nothing here remembers a visitor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeGuard

from hub_tools.space import search as searching
from hub_tools.space import similarity
from hub_tools.space import tokenize as tokens
from hub_tools.space.content import Shown
from hub_tools.space.documents import bounded
from hub_tools.space.index import PRECISIONS, Precision
from hub_tools.space.limits import QUERY, TEXT, TOP, Deadline, RefusedError, check_text
from hub_tools.space.sandbox import ask, check_id
from hub_tools.space.vector_cache import Corpus, Store

_MAPPED = 600  # texts


class Service:
    """The functions of a Space.

    Args:
        shown: the models.
        cache: folder for vectors and indices.
        documents: texts of the owner, one more corpus to search.
    """

    def __init__(self, shown: Shown, cache: Path, documents: Sequence[str] = ()) -> None:
        self.shown = shown
        self.store = Store(cache)
        self.corpora = searching.sample_corpora()
        if documents:
            self.corpora["documents"] = Corpus(tuple(documents))
        self._quality = searching.Quality(self.store, self.corpora["passages"])

    def warm_up(self) -> None:
        """Load the models and encode the passages, so that the first visitor does not wait."""
        for model in self.shown.models.values():
            self.store.index(model, self.corpora["passages"], model.dimension, "float32", Deadline(600))

    def compare(self, text: str, first: str, second: str) -> dict[str, Any]:
        """Cut a text by two tokenizers; each is teacher, student or an id of the Hub.

        Raises:
            RefusedError: the text or an id cannot be used.
        """
        text = check_text(text, TEXT)
        models = self.shown.models
        if first in models and second in models:
            return tokens.compare(text, models[first].cutter, models[second].cutter)
        folders = [str(models[n].path) if n in models else f"hub:{check_id(n)}" for n in (first, second)]
        found: dict[str, Any] = ask("compare", text=text, first=folders[0], second=folders[1])
        return found

    def corpus(self, name: str, own: Sequence[str] | None) -> Corpus:
        """Documents by name, or a visitor's own.

        Raises:
            RefusedError: there is no such corpus, or no text in it.
        """
        if own:
            return Corpus(tuple(bounded(list(own))))
        if name not in self.corpora:
            raise RefusedError("error_choice", value=name[:50], choices=", ".join(self.corpora))
        return self.corpora[name]

    def search(self, query: str, corpus: Corpus, *, dimension: int, precision: str, top: int) -> dict[str, Any]:
        """Ask teacher and student the same query; see `search.search`.

        Raises:
            RefusedError: the query is empty or too long, there is no such precision, or the time is over.
        """
        query = check_text(query, QUERY)
        return searching.search(
            self.shown.models,
            self.store,
            corpus,
            query,
            dimension=int(dimension),
            precision=_precision(precision),
            top=max(1, min(int(top), TOP)),
            deadline=Deadline(),
        )

    def quality(self, dimension: int, precision: str) -> dict[str, tuple[float, float]]:
        """Share of the sample's questions answered in the first five: at this setting, and with full vectors."""
        deadline, chosen = Deadline(), _precision(precision)
        return {
            name: (
                self._quality.recall(model, int(dimension), chosen, deadline),
                self._quality.recall(model, 0, "float32", deadline),
            )
            for name, model in self.shown.models.items()
        }

    def similarity(self, sentences: list[str]) -> dict[str, Any]:
        """Cosines of all pairs of sentences, by every model.

        Raises:
            RefusedError: too few or too many sentences, or the time is over.
        """
        kept, deadline = similarity.check_sentences(sentences), Deadline()
        models = self.shown.models
        return {
            "sentences": kept,
            "models": {name: similarity.cosines(m, kept, deadline) for name, m in models.items()},
        }

    def map(self, corpus: Corpus) -> dict[str, Any]:
        """Up to 600 texts of a corpus in two dimensions, by every model, turned so that the maps are alike.

        Returns:
            `texts` and `models`: name -> array of shape (texts, 2).
        """
        deadline = Deadline()
        step = -(-len(corpus.texts) // _MAPPED)
        rows = range(0, len(corpus.texts), step)
        flat: dict[str, Any] = {}
        for name, model in self.shown.models.items():
            found = similarity.project(self.store.vectors(model, corpus, deadline)[::step])
            flat[name] = similarity.turn_towards(found, next(iter(flat.values()))) if flat else found
        return {"rows": list(rows), "texts": [corpus.texts[i] for i in rows], "models": flat}

    def groups(self, name: str, rows: Sequence[int]) -> list[str]:
        """What the texts of a bundled corpus belong to: topic or language."""
        if name == "passages":
            return [f"{row // 5 + 1}" for row in rows]
        labels = {"sentences": ("tr", "en"), "languages": searching.sample_languages()}.get(name, ("",))
        return [labels[row % len(labels)] for row in rows]


def _precision(name: str) -> Precision:
    if not _is_precision(name):
        raise RefusedError("error_choice", value=str(name)[:50], choices=", ".join(PRECISIONS))
    return name


def _is_precision(name: str) -> TypeGuard[Precision]:
    return name in PRECISIONS
