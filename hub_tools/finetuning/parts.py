"""A model that reads a batch in parts of similar lengths: little padding, and no more in memory than there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hub_tools.core.errors import UserError
from hub_tools.core.hardware import Hardware, autocast
from hub_tools.core.logging import log
from hub_tools.models.padding import padded_lengths
from hub_tools.training.batching import split_rows

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

# Padded tokens that are computed at once. On a CPU so few that of 32 sentences short ones are not padded to long ones.
_TOKENS = {"cpu": 512, "cuda": 65536, "mps": 16384}


class InParts:
    """The forward pass of a model in training, whatever loss asks for it; `remove` gives the model its own back.

    Vectors are float32. With `tokens`, or once memory did not suffice, what a part computed is computed again in the
    backward pass: then a step needs the memory of a part, and has the same gradients up to rounding.
    """

    def __init__(self, model: SentenceTransformer, hardware: Hardware, tokens: int | None) -> None:
        self.model, self.hardware = model, hardware
        self.tokens, self.recomputes = tokens or _TOKENS[hardware.device], tokens is not None
        self.seen = 0  # tokens, without padding
        self._most_rows = 0
        self._forward = model.forward
        model.forward = self  # type: ignore[method-assign,assignment] # as torch allows

    def remove(self) -> None:
        """Give the model its own forward pass back."""
        del self.model.forward

    def __call__(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the features with `sentence_embedding`, float32, shape (texts, dim)."""
        import torch

        mask = features.get("attention_mask")
        if mask is None or mask.ndim != 2:  # noqa: PLR2004 - static embeddings have one long row of tokens
            self._most_rows = 1
            return {**features, "sentence_embedding": self._vectors(features, kwargs)}
        lengths = mask.sum(dim=1).cpu().numpy().astype(np.int64)
        self.seen += int(lengths.sum())
        order = np.argsort(padded_lengths(lengths), kind="stable")
        groups = [order[group] for group in split_rows(lengths[order], self.tokens)]
        self._most_rows = max(map(len, groups))
        found = [self._part(features, mask, torch.from_numpy(rows), kwargs) for rows in groups]
        back = torch.from_numpy(np.argsort(np.concatenate(groups), kind="stable")).to(mask.device)
        return {**features, "sentence_embedding": torch.cat(found)[back]}

    def _part(self, features: dict[str, Any], mask: Tensor, rows: Tensor, kwargs: dict[str, Any]) -> Tensor:
        import torch
        from torch.utils.checkpoint import checkpoint

        own = mask[rows]
        width = int(own.sum(dim=1).max())
        if own[:, :width].sum() != own.sum():  # padding stands on the left
            width = own.shape[1]
        part = {
            name: value[rows][:, :width] if isinstance(value, torch.Tensor) and value.shape[:2] == mask.shape else value
            for name, value in features.items()
        }
        if self.recomputes and torch.is_grad_enabled():
            found: Tensor = checkpoint(self._vectors, part, kwargs, use_reentrant=False)
            return found
        return self._vectors(part, kwargs)

    def _vectors(self, features: dict[str, Any], kwargs: dict[str, Any]) -> Tensor:
        with autocast(self.hardware):
            vectors: Tensor = self._forward(dict(features), **kwargs)["sentence_embedding"]
        return vectors.float()[:, : self.model.truncate_dim]

    def shrink(self, step: int) -> None:
        """Halve what is computed at once, from now on.

        Raises:
            UserError: it was a single text.
        """
        import torch

        if self._most_rows == 1 and self.recomputes:
            raise UserError(
                f"Out of memory with a single text in step {step + 1} of the training with labels. Free memory, or "
                "take shorter passages, and run the same command again."
            )
        self.tokens, self.recomputes = max(1, self.tokens // 2), True
        if self.hardware.device == "cuda":
            torch.cuda.empty_cache()
        log.warning("  out of memory in step %d: from now on %s tokens at a time", step + 1, f"{self.tokens:,}")
