"""Vectors of documents, in memory alone: the Space's own for good, those of the last visitors while there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import lru_cache, partial

from hub_tools.space.documents import Documents
from hub_tools.space.index import build_index
from hub_tools.space.limits import Deadline, RefusedError
from hub_tools.space.model import Model, Vectors

_VISITS = 64  # encoded documents of visitors; 1,000 documents x 384 are 1.5 MB
_SETTINGS = 4  # dimensions and precisions of the same documents whose indices are kept
# Part of a call that it waits for documents that another call is encoding: 10 seconds of a visitor's, hours of the
# warm-up's, which may find a visitor before it.
_PATIENCE = 1 / 6


class EncodedDocuments:
    """Unit vectors of documents by one model, shape (documents, dim), and the indices made of them last."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors
        self.index = lru_cache(_SETTINGS)(partial(build_index, vectors))  # called with a dimension and a precision


class VectorCache:
    """Documents that are encoded; `visits` of visitors are kept, each counted for each model."""

    def __init__(self, *, visits: int = _VISITS) -> None:
        self._bound = visits
        self._kept: dict[tuple[str, str], EncodedDocuments] = {}
        self._visits: OrderedDict[tuple[str, str], EncodedDocuments] = OrderedDict()
        self._progress: dict[tuple[str, str], int] = {}  # documents encoded so far, of those being encoded
        self._lock = threading.Lock()

    def get(self, model: Model, documents: Documents, deadline: Deadline) -> EncodedDocuments:
        """Return documents encoded by a model, with its prompt for documents.

        Raises:
            RefusedError: the time is over, or another call is still encoding the same documents.
        """
        if encoded := self._recall(model, documents):
            return encoded
        if not documents.encoding.acquire(timeout=_PATIENCE * deadline.left()):
            raise RefusedError("error_encoding")
        try:
            if encoded := self._recall(model, documents):
                return encoded
            counted = partial(self._progress.__setitem__, (model.name, documents.key))
            encoded = EncodedDocuments(model.encode(list(documents.texts), "document", deadline, counted))
            self.put(model, documents, encoded)
            return encoded
        finally:
            self._progress.pop((model.name, documents.key), None)
            documents.encoding.release()

    def done(self, model: Model, documents: Documents) -> int:
        """Return how many of the documents a model has encoded so far."""
        if self._recall(model, documents):
            return len(documents.texts)
        return self._progress.get((model.name, documents.key), 0)

    def put(self, model: Model, documents: Documents, encoded: EncodedDocuments) -> None:
        """Keep documents that a model has encoded."""
        key = (model.name, documents.key)
        with self._lock:
            if documents.keep:
                self._kept[key] = encoded
                return
            self._visits[key] = encoded
            if len(self._visits) > self._bound:
                self._visits.popitem(last=False)

    def _recall(self, model: Model, documents: Documents) -> EncodedDocuments | None:
        key = (model.name, documents.key)
        with self._lock:
            if key in self._visits:
                self._visits.move_to_end(key)
            return self._kept.get(key) or self._visits.get(key)
