"""Vectors of documents in memory; those of the owner's documents on disk too, because encoding them takes long."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np

from hub_tools.core.files import digest, fsync_file
from hub_tools.space.documents import Documents
from hub_tools.space.index import Index, Precision, build_index
from hub_tools.space.limits import Deadline, RefusedError
from hub_tools.space.model import Model, Vectors

# Encoded documents of visitors; 1,000 documents x 384 are 1.5 MB.
_VISITS = 64
# Dimensions and precisions of the same documents that are kept.
_SETTINGS = 4
# Files of the owner's vectors: two models times two sets of documents; 100,000 documents x 384 are 154 MB.
_FILES = 4
# Seconds that a visitor waits for documents that another call is encoding.
_PATIENCE = 10.0


def default_folder() -> Path:
    """Return the folder of the owner's vectors."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hub-tools" / "space"


class EncodedDocuments:
    """Vectors of documents by one model, and the indices made of them last.

    Args:
        vectors: unit vectors, shape (documents, dim).
        seconds: how long the documents took to encode.
    """

    def __init__(self, vectors: Vectors, seconds: float) -> None:
        self.vectors = vectors
        self.seconds = seconds
        self._indices: OrderedDict[tuple[int, Precision], Index] = OrderedDict()
        self._lock = threading.Lock()

    def index(self, dimension: int, precision: Precision) -> Index:
        """Return the index for a setting; built when it is first asked for."""
        setting = (dimension, precision)
        with self._lock:
            if setting not in self._indices:
                self._indices[setting] = build_index(self.vectors, dimension, precision)
            self._indices.move_to_end(setting)
            if len(self._indices) > _SETTINGS:
                self._indices.popitem(last=False)
            return self._indices[setting]


class VectorCache:
    """Encoded documents: the Space's own for good, those of the last visitors while there is room.

    Args:
        folder: holds the vectors of the owner's documents; made when it is first needed.
        visits: documents of visitors that are kept, each counted for each model.
    """

    def __init__(self, folder: Path, *, visits: int = _VISITS) -> None:
        self.folder = folder
        self._bound = visits
        self._own: dict[tuple[str, str], EncodedDocuments] = {}
        self._visits: OrderedDict[tuple[str, str], EncodedDocuments] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, model: Model, documents: Documents, deadline: Deadline) -> EncodedDocuments:
        """Return documents encoded by a model, with its prompt for documents.

        Raises:
            RefusedError: the time is over, or another call is still encoding the same documents.
        """
        if encoded := self._remembered(model, documents):
            return encoded
        if not documents.encoding.acquire(timeout=min(_PATIENCE, deadline.left())):
            raise RefusedError("error_encoding")
        try:
            if encoded := self._remembered(model, documents):
                return encoded
            encoded = self._load(model, documents) if documents.keep == "disk" else None
            if encoded is None:
                start = time.perf_counter()
                vectors = model.encode(list(documents.texts), "document", deadline)
                encoded = EncodedDocuments(vectors, time.perf_counter() - start)
                if documents.keep == "disk":
                    self._save(model, documents, encoded)
            self._remember(model, documents, encoded)
            return encoded
        finally:
            documents.encoding.release()

    def _remembered(self, model: Model, documents: Documents) -> EncodedDocuments | None:
        key = (model.name, documents.key)
        with self._lock:
            if key in self._visits:
                self._visits.move_to_end(key)
            return self._own.get(key) or self._visits.get(key)

    def _remember(self, model: Model, documents: Documents, encoded: EncodedDocuments) -> None:
        key = (model.name, documents.key)
        with self._lock:
            if documents.keep != "visit":
                self._own[key] = encoded
                return
            self._visits[key] = encoded
            if len(self._visits) > self._bound:
                self._visits.popitem(last=False)

    def _file(self, model: Model, documents: Documents) -> Path:
        return self.folder / f"{digest([model.fingerprint, documents.key])}.npz"

    def _load(self, model: Model, documents: Documents) -> EncodedDocuments | None:
        file = self._file(model, documents)
        if not file.exists():
            return None
        with np.load(file) as arrays:
            return EncodedDocuments(arrays["vectors"], float(arrays["seconds"]))

    def _save(self, model: Model, documents: Documents, encoded: EncodedDocuments) -> None:
        """Write the vectors whole or not at all, and delete the oldest files beyond the bound."""
        file = self._file(model, documents)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}.tmp")  # another page may be writing the same
        try:
            with partial.open("wb") as out:
                np.savez(out, vectors=encoded.vectors, seconds=np.float64(encoded.seconds))
            fsync_file(partial)
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
        files = sorted(self.folder.glob("*.npz"), key=lambda path: path.stat().st_mtime)
        for old in files[:-_FILES]:
            old.unlink(missing_ok=True)
