"""A model that is measured: its vectors, behind the prompt that it has for what a text is, kept for later."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hub_tools.core.files import digest, replacing
from hub_tools.core.hardware import Hardware
from hub_tools.core.logging import Progress, bar
from hub_tools.evaluation.metrics import Vectors
from hub_tools.models.encoder import Encoder, unit

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

Role = Literal["query", "document"]
# Names of prompts that encode_query and encode_document of sentence-transformers look for, in this order.
_PROMPTS: dict[str, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}
# Texts that are encoded between two looks at the disk.
_PART = 4096


class Subject:
    """A model among those that are measured; it is loaded when something is asked of it.

    Args:
        load: returns the model, on the device of the hardware.
        hardware: where it runs, and in which arithmetic.
        longest: tokens that it reads of a text, the same for all models of a table; None for its own limit.
        cache: folder in which vectors are kept by model, prompt and text; None to keep none.
        identity: stands for the model in the cache.
    """

    def __init__(
        self,
        load: Callable[[], SentenceTransformer],
        hardware: Hardware,
        *,
        longest: int | None = None,
        cache: Path | None = None,
        identity: str = "",
    ) -> None:
        self.hardware = hardware
        # Where many tasks are measured, all their texts count in one bar.
        self.progress: Progress | None = None
        self._load, self._longest, self._cache, self._identity = load, longest, cache, identity

    @cached_property
    def model(self) -> SentenceTransformer:
        """The model."""
        model = self._load()
        if self._longest is not None:
            model.max_seq_length = self._longest
        return model

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.model, self.hardware)

    def prompt(self, role: Role) -> str:
        """Return what stands before a text in a role, as `encode_query` and `encode_document` choose it."""
        prompts: dict[str, Any] = self.model.prompts
        name = next((name for name in _PROMPTS[role] if name in prompts), self.model.default_prompt_name)
        return (prompts.get(name) if name else "") or ""

    def tokens(self, texts: list[str], role: Role) -> list[int]:
        """Return how many tokens the model reads of each text, prompt and special tokens included."""
        prompt = self.prompt(role)
        return [len(ids) for ids in self._encoder.tokenize([prompt + text for text in texts])]

    @property
    def whole_tokenizer(self) -> Tokenizer:
        """A copy of the model's tokenizer that cuts nothing off and pads nothing."""
        return self._encoder.whole_tokenizer

    def kept(self, what: Any, ending: str) -> Path | None:
        """Return the file in which something that was found out with the model is kept; None where nothing is."""
        if self._cache is None:
            return None
        return self._cache / f"{digest([self._identity, self._longest, str(self.hardware), what])}.{ending}"

    def encode(self, texts: list[str], role: Role, what: str) -> Vectors:
        """Return the vectors of texts, rows of length one, shape (texts, dim); `what` names the progress bar."""
        prompt, parts = self.prompt(role), []
        with nullcontext(self.progress) if self.progress else bar(what, len(texts), " texts", delay=1) as progress:
            for start in range(0, len(texts), _PART):
                parts.append(self._encode(texts[start : start + _PART], prompt))
                progress.update(len(parts[-1]))
        return np.concatenate(parts)

    def _encode(self, texts: list[str], prompt: str) -> Vectors:
        file = self.kept([prompt, texts], "npy")
        if file is None:
            return unit(self._encoder(texts, prompt).vectors)
        if not file.exists():
            with replacing(file) as partial, partial.open("wb") as opened:
                np.save(opened, unit(self._encoder(texts, prompt).vectors))
        vectors: Vectors = np.load(file)
        return vectors
