"""A model that visitors may use: its tokenizer at once, its weights when they are first needed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hub_tools.core.files import digest, hash_file
from hub_tools.models.encoder import unit
from hub_tools.models.loading import SAFE, LoadPolicy
from hub_tools.models.tokenizer import read_model_tokenizer
from hub_tools.space.limits import Deadline, RefusedError
from hub_tools.space.tokenize import Cutter
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Vectors = NDArray[np.float32]
Kind = Literal["query", "document", "text"]
# Few texts at a time: a long corpus lets the short queries of others in between.
_BATCH = 16
# One encoding at a time: torch uses all cores for it, and two at once would only disturb each other.
_ENCODING = threading.Lock()
_LOADING = threading.Lock()


class Model:
    """A sentence-transformers model in a folder.

    Args:
        name: teacher or student.
        title: what visitors read, without folders of the machine.
        path: the folder.
        tokenizer: the folder with its tokenizer, where that is another.
        policy: what its files may do.
        prompts: those that it is asked with besides its own.
    """

    def __init__(
        self,
        name: str,
        title: str,
        path: Path,
        *,
        tokenizer: Path | None = None,
        policy: LoadPolicy = SAFE,
        prompts: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self.title = title
        self.path = path
        self.tokenizer = tokenizer or path
        self.policy, self.prompts = policy, prompts

    @cached_property
    def files(self) -> TokenizerSpec:
        """The tokenizer as data."""
        return read_model_tokenizer(self.tokenizer)

    @cached_property
    def cutter(self) -> Cutter:
        """The tokenizer, ready to cut texts."""
        return Cutter(self.files)

    @cached_property
    def fingerprint(self) -> str:
        """Changes whenever the files do."""
        files = sorted(f for f in self.path.rglob("*") if f.suffix in (".json", ".safetensors"))
        return digest([[[str(f.relative_to(self.path)), hash_file(f)] for f in files], dict(self.prompts)])

    @cached_property
    def weights(self) -> SentenceTransformer:
        """The model, on the CPU."""
        from hub_tools.models.loading import load_model

        model = load_model(self.path, device="cpu", policy=self.policy)
        model.prompts.update(self.prompts)
        return model

    @property
    def dimension(self) -> int:
        """Numbers of a vector."""
        return int(self.load().get_embedding_dimension() or 0)

    def load(self) -> SentenceTransformer:
        """The model; loaded once, even if several visitors come first."""
        with _LOADING:
            return self.weights

    def encode(self, texts: list[str], kind: Kind, deadline: Deadline) -> Vectors:
        """Unit vectors of texts, shape (texts, dim).

        Args:
            texts: at least one.
            kind: whose prompt is put before them; `text` takes the model's default.
            deadline: when to give up.

        Raises:
            RefusedError: the time is over.
        """
        model = self.load()
        by_kind: dict[str, Any] = {
            "query": model.encode_query,
            "document": model.encode_document,
            "text": model.encode,
        }
        encode = by_kind[kind]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            if not _ENCODING.acquire(timeout=deadline.left()):
                deadline.left()
                raise RefusedError("error_busy")
            try:
                vectors[chosen] = encode([texts[i] for i in chosen], batch_size=_BATCH, show_progress_bar=False)
            finally:
                _ENCODING.release()
        return unit(vectors)
