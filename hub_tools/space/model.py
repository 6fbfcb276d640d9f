"""A model that visitors may use: its tokenizer at once, its weights when they are first needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hub_tools.models.encoder import unit
from hub_tools.models.loading import SAFE, LoadPolicy
from hub_tools.models.tokenizer import read_model_tokenizer
from hub_tools.space.limits import Deadline, RefusedError
from hub_tools.space.tokenize import TokenizerView

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Vectors = NDArray[np.float32]
TextRole = Literal["query", "document", "text"]
_TURN = 0.001  # seconds in which another gets its turn: who gives a lock back would at once have it again
_BATCH = 16  # few texts at a time: long documents let the short queries of others in between
# One encoding at a time: torch uses all cores for it, and two at once would only disturb each other.
ENCODING = threading.Lock()
_LOADING = threading.Lock()


class Model:
    """A sentence-transformers model in a folder, which is asked with `prompts` besides its own.

    `name` is teacher or student, `title` what visitors read, without folders of the machine.
    """

    def __init__(
        self,
        name: str,
        title: str,
        folder: Path,
        *,
        tokenizer_folder: Path | None = None,
        policy: LoadPolicy = SAFE,
        prompts: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.name, self.title, self.folder = name, title, folder
        self.tokenizer_folder = tokenizer_folder or folder
        self.policy, self.prompts = policy, prompts

    @cached_property
    def tokenizer(self) -> TokenizerView:
        """Its tokenizer."""
        return TokenizerView(read_model_tokenizer(self.tokenizer_folder))

    @cached_property
    def _weights(self) -> SentenceTransformer:
        from hub_tools.models.loading import load_model

        model = load_model(self.folder, device="cpu", policy=self.policy)
        model.prompts.update(self.prompts)
        return model

    @property
    def dimension(self) -> int:
        """Numbers of a vector."""
        return int(self.load().get_embedding_dimension() or 0)

    def load(self) -> SentenceTransformer:
        """Return the model, on the CPU; loaded once, even if several visitors come first."""
        with _LOADING:
            return self._weights

    def encode(
        self, texts: list[str], role: TextRole, deadline: Deadline, counted: Callable[[int], None] | None = None
    ) -> Vectors:
        """Return unit vectors of texts, shape (texts, dim), with the prompt of a role; `text` takes the default one.

        `counted` is told how many are done.

        Raises:
            RefusedError: the time is over, or others encoded all the time.
        """
        model = self.load()
        methods: dict[str, Any] = {"query": model.encode_query, "document": model.encode_document, "text": model.encode}
        by_length = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(by_length), _BATCH):
            rows = by_length[start : start + _BATCH]
            if not ENCODING.acquire(timeout=deadline.left()):
                raise RefusedError("error_busy")
            try:
                vectors[rows] = methods[role]([texts[row] for row in rows], batch_size=_BATCH, show_progress_bar=False)
            finally:
                ENCODING.release()
            time.sleep(_TURN)
            if counted:
                counted(start + len(rows))
        return unit(vectors)
