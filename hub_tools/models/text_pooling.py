"""Pooling that counts the tokens of a text alone, and rare ones more.

A model that pools the mean of all tokens counts those of its prompt and template too. They say nothing of the text and
weigh the more, the shorter it is; and every "the" counts as much as a name. Without the former, and with the others
weighed by their inverse document frequency (Sparck Jones 1972; for sentence vectors as in Arora et al. 2017), the same
outputs of the same model tell texts apart better (docs/results.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from hub_tools.core.files import replacing

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Texts whose tokens are counted at once.
_BATCH = 1000


class TextPooling:
    """How much each token counts in the mean, by its id; shape (V,)."""

    def __init__(self, rarity: NDArray[np.float32], template: frozenset[int]) -> None:
        self._rarity, self._template = rarity, template

    @property
    def rarity(self) -> NDArray[np.float32]:
        """How much each token counts, special ones too; shape (V,)."""
        return self._rarity

    @staticmethod
    def fits(model: SentenceTransformer) -> bool:
        """Return whether a model pools the mean of all its tokens: others say themselves what counts."""
        modes: list[Any] = [
            (module.pooling_mode, module.include_prompt) for module in model if hasattr(module, "pooling_mode")
        ]
        return modes == [("mean", True)] and hasattr(model[1], "pooling_mode")

    @classmethod
    def of(cls, model: SentenceTransformer, texts: Iterable[str]) -> Self:
        """Count in how many of the texts each token of the model occurs; without texts all tokens count alike."""
        tokenizer = model.tokenizer.backend_tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()
        found, count, left = Counter[int](), 0, iter(texts)
        while batch := list(islice(left, _BATCH)):
            for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
                found.update(set(encoding.ids))
            count += len(batch)
        rarity = np.full(len(model.tokenizer), np.log(1 + max(1, count)), np.float32)
        for token, texts_with in found.items():
            rarity[token] = np.log((1 + count) / texts_with)
        return cls(rarity, frozenset(tokenizer.encode("").ids))

    def save(self, file: Path) -> None:
        """Write it to an .npz file."""
        with replacing(file) as partial, partial.open("wb") as opened:
            np.savez(opened, rarity=self._rarity, template=np.array(sorted(self._template), np.int64))

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(file) as arrays:
            return cls(arrays["rarity"], frozenset(arrays["template"].tolist()))

    def weights(self, ids: list[NDArray[np.int32]], prompt: NDArray[np.int32]) -> list[NDArray[np.float32]]:
        """Return how much each token of the texts counts, shapes (tokens,); `prompt` are the ids of the prompt alone.

        A text with no token of its own counts as it is.
        """
        own = [token for token in prompt.tolist() if token not in self._template]
        return [self._weights(text, own) for text in ids]

    def _weights(self, ids: NDArray[np.int32], prompt: list[int]) -> NDArray[np.float32]:
        counts = ~np.isin(ids, list(self._template))
        places = np.flatnonzero(counts)[: len(prompt)]
        if ids[places].tolist() == prompt:
            counts[places] = False
        weights: NDArray[np.float32] = self._rarity[ids] * counts
        return weights if weights.any() else np.ones_like(weights)
