"""The texts that the student learns, as token ids, each with its vector."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.training.batching import TokenizedTexts
from hub_tools.vectors.dataset import EmbeddingDataset


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Texts as token ids, each with the vector it shall get.

    Attributes:
        texts: the student's token ids.
        label: row of `vectors` for each text, int64, shape (texts,).
        vectors: the teacher's, float16 or float32, shape (rows, dim).
        source: number of the parallel file of each text's pair; of a monolingual text -1 - the number of its language;
            int64, shape (texts,).
        is_target: whether each text is in the target language's side of a pair, bool, shape (texts,).
    """

    texts: TokenizedTexts
    label: NDArray[np.int64]
    vectors: NDArray[Any]
    source: NDArray[np.int64]
    is_target: NDArray[np.bool_]

    def repeats(
        self, balance: float, source_fraction: float, language_sampling_alpha: float = 1.0
    ) -> NDArray[np.float64]:
        """How often an epoch holds each text, float64, shape (texts,).

        Args:
            balance: a parallel file of n pairs weighs as n ** balance; the largest is taken once.
            source_fraction: share of the pairs whose source side is taken too.
            language_sampling_alpha: the same for languages of n monolingual texts.
        """
        pairs = self.source >= 0
        times = np.ones(len(self.source))
        for group, numbers, power in (
            (pairs, self.source, balance),
            (~pairs, -1 - self.source, language_sampling_alpha),
        ):
            if group.any():
                sizes = np.bincount(numbers[group])
                times[group] = (sizes.max() / sizes[numbers[group]]) ** (1 - power)
        times[pairs & ~self.is_target] *= source_fraction
        return times


def load_examples(
    embeddings: EmbeddingDataset, split: str, tokenizer_file: Path, max_tokens: int | None, *, every: int = 1
) -> Examples:
    """Tokenize a split with the student's tokenizer.

    A row with a translation gives two texts with the same vector.

    Args:
        embeddings: the teacher's vectors.
        split: train or validation.
        tokenizer_file: the student's tokenizer.json.
        max_tokens: longer texts are cut; None for static embeddings, which read any length and no template.
        every: take one row in so many.
    """
    texts = TokenizedTexts.Builder(tokenizer_file, max_tokens)
    vectors: list[NDArray[Any]] = []
    files: dict[str, int] = {}
    languages: dict[str, int] = {}
    label, source, is_target = [], [], []
    rows = 0
    for batch in embeddings.batches(split):
        chosen = zip(*(column[::every] for column in batch[:4]), strict=True)
        both: list[str] = []
        for row, (text, translation, origin, prompt) in enumerate(chosen, rows):
            own = [text] if translation is None else [text, translation]
            both += [prompt + part for part in own]
            label += [row] * len(own)
            if translation is None:
                source.append(-1 - languages.setdefault(origin, len(languages)))
            else:
                source += [files.setdefault(origin, len(files))] * len(own)
            is_target += [False, True][: len(own)]
        texts.add(both)
        vectors.append(batch.vectors[::every])
        rows += len(vectors[-1])
    return Examples(
        texts=texts.build(),
        label=np.asarray(label, dtype=np.int64),
        vectors=np.concatenate(vectors) if vectors else np.empty((0, 0), np.float16),
        source=np.asarray(source, dtype=np.int64),
        is_target=np.asarray(is_target, dtype=np.bool_),
    )
