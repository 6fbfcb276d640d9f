"""The texts that the student learns from, as token ids, each with its vector."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hub_tools.vectors.dataset import EmbeddingDataset


@dataclass(frozen=True, kw_only=True)
class TokenizedTexts:
    """Many texts as one array.

    Attributes:
        ids: token ids of all texts, int32, shape (tokens,).
        ends: where each text ends, int64, shape (texts,).
        pad_id: id of the padding token.
    """

    ids: NDArray[np.int32]
    ends: NDArray[np.int64]
    pad_id: int

    def __getitem__(self, number: int) -> NDArray[np.int32]:
        """Return the token ids of one text."""
        start = self.ends[number - 1] if number else 0
        return self.ids[start : self.ends[number]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, int64, shape (texts,)."""
        return np.diff(self.ends, prepend=0)

    class Builder:
        """Collect texts batch by batch.

        Args:
            tokenizer_file: the student's tokenizer.json.
            max_tokens: longer texts are cut; None for static embeddings, which read any length and no special tokens.
        """

        def __init__(self, tokenizer_file: Path, max_tokens: int | None) -> None:
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_file.parent), local_files_only=True)
            self._backend = tokenizer.backend_tokenizer
            self._backend.no_padding()
            self._add_special_tokens = max_tokens is not None
            if max_tokens is None:
                self._backend.no_truncation()
            else:
                self._backend.enable_truncation(max_tokens, direction=tokenizer.truncation_side)
            self._pad_id = int(tokenizer.pad_token_id or 0)
            self._parts: list[NDArray[np.int32]] = []
            self._lengths: list[int] = []

        def add(self, texts: list[str]) -> None:
            """Tokenize texts with the template's special tokens, cut to the longest input."""
            encodings = self._backend.encode_batch_fast(texts, add_special_tokens=self._add_special_tokens)
            token_ids = [encoding.ids for encoding in encodings]
            self._lengths += map(len, token_ids)
            self._parts.append(np.fromiter((i for ids in token_ids for i in ids), dtype=np.int32))

        def build(self) -> TokenizedTexts:
            """Return all texts added so far."""
            ids = np.concatenate(self._parts) if self._parts else np.empty(0, np.int32)
            return TokenizedTexts(ids=ids, ends=np.cumsum(self._lengths, dtype=np.int64), pad_id=self._pad_id)


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """Texts as token ids, each with the vector that the student learns for it.

    Attributes:
        texts: the student's token ids.
        target_index: row of `targets` for each text, int64, shape (texts,).
        targets: the teacher's vectors, float16 or float32, shape (rows, dim).
        source: number of the parallel file of each text's pair; of a monolingual text -1 - the number of its language;
            int64, shape (texts,).
        is_translation: whether each text is the target language's side of a pair, bool, shape (texts,).
    """

    texts: TokenizedTexts
    target_index: NDArray[np.int64]
    targets: NDArray[Any]
    source: NDArray[np.int64]
    is_translation: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.target_index)

    def repeats(
        self, parallel_alpha: float, source_fraction: float, language_alpha: float = 1.0
    ) -> NDArray[np.float64]:
        """Return how often an epoch holds each text, float64, shape (texts,).

        Of two parallel files of 400 and 4 pairs under `parallel_alpha` 0.5, the small one is taken (400 / 4) ** 0.5 =
        10 times: the weights of the files are then 400 and 40, as 400 ** 0.5 is to 4 ** 0.5.

        Args:
            parallel_alpha: a parallel file of n pairs weighs as n ** parallel_alpha; the largest is taken once.
            source_fraction: share of the pairs whose source side is taken too.
            language_alpha: the same for languages of n monolingual texts.
        """
        pairs = self.source >= 0
        times = np.ones(len(self))
        for group, numbers, alpha in ((pairs, self.source, parallel_alpha), (~pairs, -1 - self.source, language_alpha)):
            if group.any():
                sizes = np.bincount(numbers[group])
                times[group] = (sizes.max() / sizes[numbers[group]]) ** (1 - alpha)
        times[pairs & ~self.is_translation] *= source_fraction
        return times


def load_training_set(
    embeddings: EmbeddingDataset, split: str, tokenizer_file: Path, max_tokens: int | None, *, every: int = 1
) -> TrainingSet:
    """Tokenize a split with the student's tokenizer, and read its vectors.

    A row with a translation gives two texts with the same vector. The vectors are held once, as they are stored.

    Args:
        embeddings: the teacher's vectors.
        split: train or validation.
        tokenizer_file: the student's tokenizer.json.
        max_tokens: longer texts are cut; None for static embeddings, which read any length and no special tokens.
        every: take one row in so many of each shard.
    """
    texts = TokenizedTexts.Builder(tokenizer_file, max_tokens)
    targets: NDArray[Any] = np.empty((0, 0), np.float16)
    target_index, source, is_translation = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.bool_)]
    languages: dict[str, int] = {}
    files: dict[str, int] = {}
    rows = 0
    for batch in embeddings.batches(split):
        originals, translations = batch.texts[::every], batch.translations[::every]
        origins, prompts, vectors = batch.sources[::every], batch.prompts[::every], batch.vectors[::every]
        if not rows:
            # For all rows at once; what is left of it when some are skipped takes no memory.
            targets = np.empty((embeddings.rows(split), vectors.shape[1]), vectors.dtype)
        targets[rows : rows + len(vectors)] = vectors
        is_pair = np.array([translation is not None for translation in translations], dtype=np.bool_)
        number = [
            -1 - languages.setdefault(origin, len(languages))
            if translation is None
            else files.setdefault(origin, len(files))
            for translation, origin in zip(translations, origins, strict=True)
        ]
        # A pair gives two texts in a row, the translation last.
        copies = 1 + is_pair
        translated = np.zeros(copies.sum(), dtype=np.bool_)
        translated[np.cumsum(copies)[is_pair] - 1] = True
        target_index.append(np.repeat(np.arange(rows, rows + len(vectors)), copies))
        source.append(np.repeat(np.array(number, dtype=np.int64), copies))
        is_translation.append(translated)
        texts.add(
            [
                prompt + text
                for original, translation, prompt in zip(originals, translations, prompts, strict=True)
                for text in (original, translation)
                if text is not None
            ]
        )
        rows += len(vectors)
    return TrainingSet(
        texts=texts.build(),
        target_index=np.concatenate(target_index),
        targets=targets[:rows],
        source=np.concatenate(source),
        is_translation=np.concatenate(is_translation),
    )
