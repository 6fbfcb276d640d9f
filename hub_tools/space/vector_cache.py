"""Vectors and indices on disk, found again by what they were made of; visitors' texts are never written."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hub_tools.core.files import digest
from hub_tools.core.files import read_json as read_json_file
from hub_tools.space import index
from hub_tools.space.index import PARTIAL, own_partial
from hub_tools.space.limits import Deadline
from hub_tools.space.model import Model, Vectors

_OPEN = 16  # indices that are kept open
_DISK = 2 * 2**30  # bytes of the cache


@dataclass(frozen=True)
class Corpus:
    """Documents.

    Attributes:
        texts: the documents, none empty.
    """

    texts: tuple[str, ...]

    @cached_property
    def key(self) -> str:
        """A hash of the texts."""
        return digest(self.texts)


def default_folder() -> Path:
    """Where the cache lies unless it is told otherwise."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hub-tools" / "space"


class Store:
    """Vectors and indices of corpora.

    Args:
        folder: the cache; made when it is first needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: OrderedDict[str, index.Index] = OrderedDict()
        self._lock = threading.Lock()

    def vectors(self, model: Model, corpus: Corpus, deadline: Deadline) -> Vectors:
        """Unit vectors of the documents, shape (documents, dim), with the prompt for documents."""
        file = self._file(model, corpus, "npy")
        if not file.exists():
            start = time.perf_counter()
            vectors = model.encode(list(corpus.texts), "document", deadline)
            self.put(model, corpus, vectors, time.perf_counter() - start)
        loaded: Vectors = np.load(file, mmap_mode="r")
        return loaded

    def put(self, model: Model, corpus: Corpus, vectors: Vectors, seconds: float) -> None:
        """Keep vectors that took so long to compute."""
        file = self._file(model, corpus, "npy")
        file.parent.mkdir(parents=True, exist_ok=True)
        told = own_partial(file.with_suffix(".json"))
        told.write_text(json.dumps({"seconds": seconds}), encoding="utf-8")
        told.replace(file.with_suffix(".json"))
        partial = own_partial(file)
        with partial.open("wb") as out:
            np.save(out, vectors)
        partial.replace(file)
        self._make_room()

    def seconds(self, model: Model, corpus: Corpus) -> float:
        """How long the documents took to encode, when they were."""
        return float(read_json_file(self._file(model, corpus, "json"))["seconds"])

    def index(
        self, model: Model, corpus: Corpus, dimension: int, precision: index.Precision, deadline: Deadline
    ) -> index.Index:
        """The index of the documents; made when it is not there."""
        file = self._file(model, corpus, f"{dimension}-{precision}.faiss")
        with self._lock:
            if file.name in self._open:
                self._open.move_to_end(file.name)
                return self._open[file.name]
        if file.exists():
            found = index.read(file, precision)
        else:
            found = index.build(self.vectors(model, corpus, deadline), dimension, precision, file)
            self._make_room()
        with self._lock:
            self._open[file.name] = found
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)
        return found

    def _file(self, model: Model, corpus: Corpus, ending: str) -> Path:
        return self.folder / f"{digest([model.fingerprint, corpus.key])}.{ending}"

    def _make_room(self) -> None:
        """Delete what was written first, until the cache is small enough."""
        with self._lock:  # another visitor's call would delete what this one looks at
            found = [(f.stat(), f) for f in self.folder.iterdir() if f.suffix != PARTIAL]
            files = sorted(found, key=lambda entry: entry[0].st_mtime)
            size = sum(stat.st_size for stat, _ in files)
            for stat, file in files[:-4]:
                if size <= _DISK:
                    break
                size -= stat.st_size
                file.unlink(missing_ok=True)
