"""Vectors of texts as `SentenceTransformer.encode` gives them, in batches of even lengths and a number of tokens.

Texts are tokenized once and sorted by their number of tokens, not of characters, which say little where scripts mix.
A batch's shape follows from its length alone, but for the last of a call: shapes are few, and memory stays flat where
each new one is compiled. Padding stands on the right whatever side the tokenizer takes; attention does not see it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from hub_tools.core.errors import UserError, is_out_of_memory
from hub_tools.core.hardware import Hardware, autocast
from hub_tools.core.logging import log
from hub_tools.models.loading import is_static, library_errors, longest_input
from hub_tools.models.padding import join, pad, padded_lengths
from hub_tools.models.text_pooling import TextPooling

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

# Padded tokens of a batch: on a CPU what stays in its caches, elsewhere enough to keep the device busy.
_BATCH_TOKENS = {"cpu": 1024, "cuda": 65536, "mps": 16384}
# Texts of `encode` in one batch.
_PLAIN_BATCH = 128
# Least cosine to what `encode` gives, in fp32.
_SAME = 0.9999
_PROBE = ("A", "Two words, or three.", "Işığı görünce 光 🙂", "word " * 40, "One sentence after the other. " * 400)

T = TypeVar("T")
# Ids of the tokens of texts, and how much each counts, shapes (tokens,).
_Ids = list[NDArray[np.int32]]
_Weights = list[NDArray[np.float32]]


class Encoded(NamedTuple):
    """Vectors of texts."""

    vectors: NDArray[np.float32]  # shape (texts, dim)
    # How many the model read of each text, prompt and special tokens included, -1 where unknown; shape (texts,).
    tokens: NDArray[np.int32]


class Encoder:
    """A model that reads text through a fast tokenizer, as a function of texts.

    With `pooling`, the tokens of a text count as that says, not as in the model's own pooling.
    """

    def __init__(self, model: SentenceTransformer, hardware: Hardware, pooling: TextPooling | None = None) -> None:
        self.model, self.hardware, self.pooling = model, hardware, pooling
        self._budget = _BATCH_TOKENS[hardware.device]
        self._is_static = is_static(model)
        tokenizer: Any = model.tokenizer
        self._pad_id = 0 if self._is_static else int(tokenizer.pad_token_id or 0)
        self._tokenizer: Any = tokenizer if self._is_static else tokenizer.backend_tokenizer
        self._truncation_side = str(getattr(tokenizer, "truncation_side", "right"))
        self._fits: dict[str, bool] = {}

    def __call__(self, texts: list[str], prompt: str = "") -> Encoded:
        """Encode texts, each behind a prompt; they are sorted by length among themselves."""
        ids = self.tokenize([prompt + text for text in texts])
        tokens = np.fromiter(map(len, ids), np.int32, len(ids))
        if not self.fits(prompt):
            return Encoded(encode(self.model, texts, self.hardware, prompt=prompt), tokens)
        weights = self.pooling.weights(ids, self.tokenize([prompt.rstrip()])[0]) if self.pooling else None
        return Encoded(self._forward(ids, self.hardware, weights), tokens)

    @property
    def whole_tokenizer(self) -> Tokenizer:
        """A copy of the tokenizer that cuts nothing off and pads nothing."""
        copied: Tokenizer = copy.deepcopy(self._tokenizer)
        copied.no_truncation()
        copied.no_padding()
        return copied

    def tokenize(self, texts: list[str]) -> list[NDArray[np.int32]]:
        """Return the ids that the model reads of each text, special tokens included, shapes (tokens,)."""
        self._tokenizer.no_padding()
        limit = longest_input(self.model)
        if limit is not None:  # each call of the model's own tokenizer changes this
            self._tokenizer.enable_truncation(limit, direction=self._truncation_side)
        encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=not self._is_static)
        return [np.array(e.ids, dtype=np.int32) for e in encoded]

    def _forward(self, ids: _Ids, hardware: Hardware, weights: _Weights | None = None) -> NDArray[np.float32]:
        """Return vectors of texts, in smaller batches from here on where memory does not suffice."""
        import torch

        while True:
            try:
                return self._forward_batches(ids, hardware, weights)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Out of the handler, which holds what the failed call had in memory.
            longest = max(map(len, ids))
            if self._budget <= longest:
                raise UserError(
                    f"Out of memory with a single text of {longest:,} tokens. Free memory, or use --device cpu, and "
                    "run the same command again: what is embedded is kept."
                )
            self._budget //= 2
            if self.hardware.device == "cuda":
                torch.cuda.empty_cache()
            log.warning("  out of memory: from now on %s tokens at a time", f"{self._budget:,}")

    def _forward_batches(self, ids: _Ids, hardware: Hardware, weights: _Weights | None) -> NDArray[np.float32]:
        import torch

        order = []
        outputs = []
        # In inference mode autocast would cast all weights again in each batch.
        with torch.no_grad(), autocast(hardware):
            for batch in length_batches([len(i) for i in ids], self._budget):
                order += batch
                features = self._features([ids[i] for i in batch])
                output = self._pooled(features, [weights[i] for i in batch]) if weights else self.model(features)
                outputs.append(output["sentence_embedding"].float()[:, : self.model.truncate_dim])
            # One transfer for all: the device is not waited for after each batch.
            sorted_vectors = torch.cat(outputs).cpu().numpy()
        vectors = np.empty_like(sorted_vectors)
        vectors[order] = sorted_vectors
        return vectors

    def _pooled(self, features: dict[str, torch.Tensor], weights: _Weights) -> dict[str, torch.Tensor]:
        """Return what the model makes of tokens that count for so much; its pooling takes a mask of any numbers."""
        import torch

        first, *others = self.model
        output: dict[str, torch.Tensor] = first(features)
        mask = np.zeros(output["token_embeddings"].shape[:2], np.float32)
        for row, own in zip(mask, weights, strict=True):
            row[: len(own)] = own
        output["attention_mask"] = torch.from_numpy(mask).to(self.hardware.device)
        for module in others:
            output = module(output)
        return output

    def _features(self, ids: _Ids) -> dict[str, torch.Tensor]:
        import torch

        names = ("input_ids", "offsets") if self._is_static else ("input_ids", "attention_mask")
        arrays = join(ids) if self._is_static else pad(ids, self._pad_id)
        return {name: torch.from_numpy(a).to(self.hardware.device) for name, a in zip(names, arrays, strict=True)}

    def fits(self, prompt: str) -> bool:
        """Return whether token ids alone give what `encode` gives; with chat templates, for example, they do not."""
        if prompt in self._fits:
            return self._fits[prompt]
        texts, fp32 = list(_PROBE), self.hardware.exact
        expected = encode(self.model, texts, fp32, prompt=prompt)
        try:
            vectors = self._forward(self.tokenize([prompt + text for text in texts]), fp32)
            fits = vectors.shape == expected.shape and least_cosine(vectors, expected) >= _SAME
        except (KeyError, TypeError, ValueError) as error:
            log.info("  the model takes other inputs than token ids: %s", error)
            fits = False
        if not fits:
            log.info("  the model prepares its texts in its own way: using its own encode")
        self._fits[prompt] = fits
        return fits


def length_batches(lengths: list[int], budget: int) -> Iterator[list[int]]:
    """Yield the places in `lengths`, in tokens, of texts of similar lengths, the longest first.

    Rows times padded length are at most the budget; a longer text is a batch of its own. How many rows a batch has
    follows from the first one's padded length, but for the last batch.
    """
    padded = padded_lengths(np.maximum(lengths, 1))
    order = np.argsort(-padded, kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, budget // int(padded[order[start]]))
        yield order[start : start + rows].tolist()
        start += rows


def encode(
    model: SentenceTransformer, texts: list[str], hardware: Hardware, *, prompt: str | None = None
) -> NDArray[np.float32]:
    """Return the model's own vectors, float32, shape (texts, dim); it chooses the prompt where that is None."""

    def compute(rows: int) -> NDArray[np.float32]:
        with library_errors("sentence-transformers cannot make a vector of a text with this model"), autocast(hardware):
            vectors = model.encode(
                texts, prompt=prompt, batch_size=rows, convert_to_tensor=True, show_progress_bar=False
            )
        return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)

    return in_smaller_batches(_PLAIN_BATCH, compute)


def in_smaller_batches(size: int, compute: Callable[[int], T]) -> T:
    """Return what `compute` returns for a batch of this size, or of half as much while memory does not suffice."""
    while True:
        try:
            return compute(size)
        except (RuntimeError, MemoryError) as error:
            if size == 1 or not is_out_of_memory(error):
                raise
        size //= 2


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows of length one, float32; null rows, of texts without a token that the model knows, stay null."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled


def least_cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return the least cosine between rows of the same number, shape (texts, dim); two null rows are equal."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.where(lengths > 0, (a * b).sum(axis=1) / np.maximum(lengths, 1e-30), (a == b).all(axis=1)).min())
