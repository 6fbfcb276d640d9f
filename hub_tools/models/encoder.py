"""Vectors of texts as `SentenceTransformer.encode` gives them, in batches of even lengths and a number of tokens.

Texts are tokenized once and sorted by their number of tokens, not of characters, which say little where scripts mix.
A batch's shape follows from its length alone, but for the last of a call: shapes are few, and memory stays flat where
each new one is compiled. Padding stands on the right whatever side the tokenizer takes; attention does not see it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hub_tools.core.errors import UserError, is_out_of_memory
from hub_tools.core.hardware import Hardware, autocast
from hub_tools.core.logging import log
from hub_tools.models.loading import is_static, longest_input
from hub_tools.models.padding import pad, padded_lengths

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

# Padded tokens of a batch: on a CPU what stays in its caches, elsewhere enough to keep the device busy.
BATCH_TOKENS = {"cpu": 2048, "cuda": 65536, "mps": 16384}
# Texts of `encode` in one batch.
_PLAIN_BATCH = 128
# Least cosine to what `encode` gives, in fp32.
_SAME = 0.9999
Way = Literal["encode", "encode_query", "encode_document"]
_PROBE = ("A", "Two words, or three.", "Işığı görünce 光 🙂", "word " * 40, "One sentence after the other. " * 400)


class Encoded(NamedTuple):
    """Vectors of texts.

    Attributes:
        vectors: float32, shape (texts, dim).
        tokens: how many tokens the model read of each, prompt and special tokens included, -1 where that is unknown;
            int32, shape (texts,).
    """

    vectors: NDArray[np.float32]
    tokens: NDArray[np.int32]


class Encoder:
    """A model as a function of texts.

    Args:
        model: any that reads text through a fast tokenizer.
        hardware: where it is and in which arithmetic it computes.
    """

    def __init__(self, model: SentenceTransformer, hardware: Hardware) -> None:
        self.model, self.hardware = model, hardware
        self._budget = BATCH_TOKENS[hardware.device]
        self._is_static = is_static(model)
        tokenizer: Any = model.tokenizer
        self._pad_id = 0 if self._is_static else int(tokenizer.pad_token_id or 0)
        self._tokenizer: Any = tokenizer if self._is_static else tokenizer.backend_tokenizer
        self._truncation_side = str(getattr(tokenizer, "truncation_side", "right"))
        self._fits: dict[str, bool] = {}

    def __call__(self, texts: list[str], prompt: str = "") -> Encoded:
        """Encode texts, each behind a prompt.

        Args:
            texts: any number; they are sorted by length among themselves.
            prompt: the text to put before each.
        """
        ids = self._tokenize([prompt + text for text in texts])
        tokens = np.fromiter(map(len, ids), np.int32, len(ids))
        if self.fits(prompt):
            vectors = self._in_batches(ids, self.hardware)
        else:
            vectors = encode(self.model, texts, self.hardware, prompt=prompt)
        return Encoded(vectors, tokens)

    def _tokenize(self, texts: list[str]) -> list[NDArray[np.int32]]:
        self._tokenizer.no_padding()
        limit = longest_input(self.model)
        if limit is not None:  # each call of the model's own tokenizer changes this
            self._tokenizer.enable_truncation(limit, direction=self._truncation_side)
        encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=not self._is_static)
        return [np.array(e.ids, dtype=np.int32) for e in encoded]

    def _in_batches(self, ids: list[NDArray[np.int32]], hardware: Hardware) -> NDArray[np.float32]:
        """Return vectors of texts, in smaller batches from here on where memory does not suffice."""
        while True:
            try:
                return self._in_batches_of(self._budget, ids, hardware)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Out of the handler, which holds what the failed call had in memory.
            self._halve(max(map(len, ids)))

    def _halve(self, longest: int) -> None:
        import torch

        if self._budget <= longest:
            raise UserError(
                f"Out of memory with a single text of {longest:,} tokens. Free memory, or use --device cpu, and run "
                "the same command again: what is embedded is kept."
            )
        self._budget //= 2
        if self.hardware.device == "cuda":
            torch.cuda.empty_cache()
        log.warning("  out of memory: from now on %s tokens at a time", f"{self._budget:,}")

    def _in_batches_of(self, budget: int, ids: list[NDArray[np.int32]], hardware: Hardware) -> NDArray[np.float32]:
        import torch

        order = []
        outputs = []
        with torch.inference_mode(), autocast(hardware):
            for batch in length_batches([len(i) for i in ids], budget):
                order += batch
                features = {name: t.to(hardware.device) for name, t in self._features([ids[i] for i in batch]).items()}
                outputs.append(self.model(features)["sentence_embedding"].float()[:, : self.model.truncate_dim])
            # One transfer for all: the device is not waited for after each batch.
            sorted_vectors = torch.cat(outputs).cpu().numpy()
        vectors = np.empty_like(sorted_vectors)
        vectors[order] = sorted_vectors
        return vectors

    def _features(self, ids: list[NDArray[np.int32]]) -> dict[str, torch.Tensor]:
        import torch

        if self._is_static:
            starts = np.cumsum([0, *map(len, ids[:-1])])
            flat = np.concatenate(ids).astype(np.int64)
            return {"input_ids": torch.from_numpy(flat), "offsets": torch.from_numpy(starts)}
        padded, mask = pad(ids, self._pad_id)
        return {"input_ids": torch.from_numpy(padded), "attention_mask": torch.from_numpy(mask)}

    def fits(self, prompt: str) -> bool:
        """Return whether token ids alone, of the prompt and the text, give what the model's own `encode` gives.

        Chat templates, for example, and pooling that leaves out the prompt do not.
        """
        if prompt not in self._fits:
            self._fits[prompt] = self._compare_with_encode(prompt)
        return self._fits[prompt]

    def _compare_with_encode(self, prompt: str) -> bool:
        texts, fp32 = list(_PROBE), self.hardware.exact
        try:
            vectors = self._in_batches(self._tokenize([prompt + text for text in texts]), fp32)
        except (KeyError, TypeError, ValueError) as error:
            log.info("  the model takes other inputs than token ids (%s): encoding as it does itself", error)
            return False
        expected = encode(self.model, texts, fp32, prompt=prompt)
        if vectors.shape == expected.shape and _least_cosine(vectors, expected) >= _SAME:
            return True
        log.info("  the model prepares its texts in a way of its own: encoding as it does itself")
        return False


def length_batches(lengths: list[int], budget: int) -> Iterator[list[int]]:
    """Yield batches of texts of similar lengths, the longest first.

    Args:
        lengths: tokens of each text.
        budget: rows times padded length of a batch; a longer text is a batch of its own.

    Yields:
        Numbers of texts. How many follows from the padded length of the first, but for the last batch.
    """
    padded = padded_lengths(np.maximum(lengths, 1))
    order = np.argsort(-padded, kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, budget // int(padded[order[start]]))
        yield order[start : start + rows].tolist()
        start += rows


def encode(
    model: SentenceTransformer, texts: list[str], hardware: Hardware, way: Way = "encode", *, prompt: str | None = None
) -> NDArray[np.float32]:
    """Return the vectors of texts as the model itself makes them.

    Args:
        model: the model.
        texts: any number.
        hardware: where it is and in which arithmetic it computes.
        way: which of the model's methods: the one for texts, for queries or for documents.
        prompt: the text to put before each; None leaves the choice to the model.

    Returns:
        float32, shape (texts, dim).
    """
    rows = _PLAIN_BATCH
    while True:
        try:
            with autocast(hardware):
                vectors = getattr(model, way)(
                    texts, prompt=prompt, batch_size=rows, convert_to_tensor=True, show_progress_bar=False
                )
            return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)
        except (RuntimeError, MemoryError) as error:
            if rows == 1 or not is_out_of_memory(error):
                raise
        rows //= 2


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows of length one, float32; null rows, of texts without a token that the model knows, stay null."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled


def _least_cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    # Texts without a token that the model knows have a null vector on both sides.
    return float(np.where(lengths > 0, (a * b).sum(axis=1) / np.maximum(lengths, 1e-30), (a == b).all(axis=1)).min())
