"""The texts that the student learns from, as token ids, each with its vector."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.tokenization.language_weights import others_share
from hub_tools.training.on_disk import OnDisk

if TYPE_CHECKING:
    from hub_tools.vectors.dataset import EmbeddingDataset


@dataclass(frozen=True, kw_only=True)
class TokenizedTexts:
    """Many texts as one array, in memory or on disk."""

    ids: NDArray[np.int32] | OnDisk[np.int32]  # token ids of all texts, shape (tokens,)
    ends: NDArray[np.int64]  # where each text ends, shape (texts,)
    pad_id: int  # id of the padding token

    def __getitem__(self, number: int) -> NDArray[np.int32]:
        """Return the token ids of one text."""
        start = self.ends[number - 1] if number else 0
        return self.ids[start : self.ends[number]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, int64, shape (texts,)."""
        return np.diff(self.ends, prepend=0)

    class Builder:
        """Collect texts batch by batch for the student whose tokenizer.json is given.

        Texts longer than `max_tokens` are cut; None is for static embeddings, with any length and no special tokens.
        The token ids are in the file system of a folder, by default that of temporary files.
        """

        def __init__(self, tokenizer_file: Path, max_tokens: int | None, folder: Path | None = None) -> None:
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_file.parent), local_files_only=True)
            self._backend = tokenizer.backend_tokenizer
            self._backend.no_padding()
            self._backend.no_truncation()
            self._add_special_tokens = max_tokens is not None
            if max_tokens is not None:
                self._backend.enable_truncation(max_tokens, direction=tokenizer.truncation_side)
            self._pad_id = int(tokenizer.pad_token_id or 0)
            self.vocab_size = len(tokenizer)
            self._ids, self._lengths = OnDisk[np.int32](folder, np.int32), array("q")

        def add(self, texts: list[str]) -> None:
            """Tokenize texts with the template's special tokens, cut to the longest input."""
            encodings = self._backend.encode_batch_fast(texts, add_special_tokens=self._add_special_tokens)
            self._ids.append(np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int32))
            self._lengths.extend(map(len, encodings))

        def build(self) -> TokenizedTexts:
            """Return all texts added so far."""
            return TokenizedTexts(ids=self._ids, ends=np.cumsum(self._lengths, dtype=np.int64), pad_id=self._pad_id)


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """Texts as token ids, each with the vector that the student learns for it; arrays have the shape (texts,)."""

    texts: TokenizedTexts
    target_index: NDArray[np.int64]  # row of `targets` for each text
    targets: NDArray[Any] | OnDisk[Any]  # the teacher's vectors, float16 or float32, shape (rows, dim)
    # Number of the parallel file of each text's pair; of a monolingual text -1 - the number of its language.
    source: NDArray[np.int64]
    is_translation: NDArray[np.bool_]  # whether each text is the target language's side of a pair
    is_other: NDArray[np.bool_]  # whether each text is in a language that the student is not for
    others_share: float = 1.0  # how much of an epoch the texts in these languages may be

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.target_index)

    def repeats(
        self, parallel_alpha: float, source_fraction: float, language_alpha: float = 1.0
    ) -> NDArray[np.float64]:
        """Return how often an epoch holds each text, float64, shape (texts,).

        Of two parallel files of 400 and 4 pairs under `parallel_alpha` 0.5, the small one is taken (400 / 4) ** 0.5 =
        10 times: the weights of the files are then 400 and 40, as 400 ** 0.5 is to 4 ** 0.5. Texts in languages that
        the student is not for are taken less often where they were more than `others_share` of the epoch.

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
        others, own = times[self.is_other].sum(), times[~self.is_other].sum()
        if others and own:
            times[self.is_other] *= min(1.0, self.others_share / (1 - self.others_share) * own / others)
        return times


def load_training_set(
    embeddings: EmbeddingDataset,
    split: str,
    tokenizer_file: Path,
    max_tokens: int | None,
    *,
    folder: Path | None = None,
    every: int = 1,
    with_others: bool = True,
) -> TrainingSet:
    """Tokenize a split with the student's tokenizer, and read its vectors.

    A row with a translation gives two texts with the same vector. Token ids and vectors, as they are stored, are in
    files of the file system of `folder`, so that memory hardly grows with the text: some 40 bytes a text stay. The
    split is train or validation; one row in `every` of each shard is taken. Texts in languages that the student is not
    for are left out without `with_others`; a student of vectors that do not say which these are is for all.
    """
    named = embeddings.manifest.get("targets") or []
    texts = TokenizedTexts.Builder(tokenizer_file, max_tokens, folder)
    targets: OnDisk[Any] | None = None
    target_index, source, is_translation, is_other = array("q"), array("q"), bytearray(), bytearray()
    languages: dict[str, int] = {}
    files: dict[str, int] = {}
    for batch in embeddings.batches(split):
        if targets is None:
            targets = OnDisk(folder, batch.vectors.dtype, batch.vectors.shape[1:])
        new_texts, taken = list[str](), list[int]()
        for number in range(0, len(batch.texts), every):
            text, translation, origin = batch.texts[number], batch.translations[number], batch.sources[number]
            other = bool(named) and translation is None and batch.langs[number] not in (*named, "en")
            if other and not with_others:
                continue
            if translation is None:
                sides, group = [text], -1 - languages.setdefault(origin, len(languages))
            else:
                sides, group = [text, translation], files.setdefault(origin, len(files))
            new_texts += [batch.prompts[number] + side for side in sides]
            target_index.extend([len(targets) + len(taken)] * len(sides))
            source.extend([group] * len(sides))
            is_translation.extend([False, True][: len(sides)])
            is_other.extend([other] * len(sides))
            taken.append(number)
        texts.add(new_texts)
        targets.append(batch.vectors[taken])
    return TrainingSet(
        texts=texts.build(),
        target_index=np.array(target_index, dtype=np.int64),
        targets=OnDisk(folder, np.float16, (0,)) if targets is None else targets,
        source=np.array(source, dtype=np.int64),
        is_translation=np.frombuffer(is_translation, dtype=np.bool_),
        is_other=np.frombuffer(is_other, dtype=np.bool_),
        others_share=others_share(texts.vocab_size),
    )
