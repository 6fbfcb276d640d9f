"""The dataset of the teacher's vectors: its schema, its shards, its manifest, and how it is read.

    embeddings/train-00000.parquet       columns as in `SCHEMA`; the vectors are fixed-size lists of float16 or float32
    embeddings/validation-00000.parquet  the held-out part
    embeddings/manifest.json             teacher, prompts, arithmetic, rows, versions and the SHA-256 of each shard

`lang` is the language of `text`, `und` where nobody says it. `translation` is text in the target language that must get
the same vector; it is null for monolingual rows. `source` is the parallel file of a pair, and the language of a
monolingual text. `prompt_name` names the teacher's prompt that stood before the text; null is none. `tokens` is how
many tokens the teacher read.

A shard appears under its name when it is whole, so its existence is the marker that it is done.
`datasets.load_dataset` reads the folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hub_tools.core.errors import UserError
from hub_tools.core.files import hash_file, read_json, replacing, write_json
from hub_tools.core.plain import to_plain
from hub_tools.core.versions import versions
from hub_tools.models.encoder import Encoded
from hub_tools.results import EmbeddingsResult

MANIFEST = "manifest.json"
TRAIN, VALIDATION = "train", "validation"
# Rows of a shard; duplicates are found, and texts sorted by length, within one.
SHARD_ROWS = 8192
# How far from 1 a unit vector's length may be after rounding to float16.
_UNIT = 0.01
# Fields of the result that say nothing of the vectors; they are not in the manifest.
_OF_THE_RUN = ("rows_per_second", "teacher_bitext_accuracy", "left_out", "contamination")
_TEXT_COLUMNS = ("text", "lang", "translation", "source", "prompt_name")
SCHEMA = pa.schema([*((name, pa.string()) for name in _TEXT_COLUMNS), ("split", pa.string()), ("tokens", pa.int32())])


class Row(NamedTuple):
    """A text with a vector; the fields are columns of the dataset."""

    text: str
    lang: str
    translation: str | None
    source: str
    prompt_name: str | None


class Shard(NamedTuple):
    """Rows that are written together, and the file they go to."""

    file: Path
    split: str
    rows: list[Row]


class Batch(NamedTuple):
    """Rows of a shard: columns of the dataset, the prompt text of each row, and vectors of shape (rows, dim)."""

    texts: list[str]
    langs: list[str]
    translations: list[str | None]
    sources: list[str]
    prompts: list[str]
    vectors: NDArray[Any]


class EmbeddingDataset:
    """The vectors in the folder of a finished embed stage; `manifest` is what manifest.json holds.

    Raises:
        UserError: the manifest is damaged, or does not name the shards that are there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: dict[str, Any] = _read_manifest(path)

    def rows(self, split: str) -> int:
        """Return the number of rows of a split: train or validation."""
        return sum(rows_in(file) for file in shards(self.path, split))

    def batches(self, split: str) -> Iterator[Batch]:
        """Yield the rows of a split, a shard at a time."""
        prompts = self.manifest["prompts"]
        for file in shards(self.path, split):
            with _reading(file):
                table = pq.read_table(file).combine_chunks()
                texts, langs, translations, sources, names = (table[name].to_pylist() for name in _TEXT_COLUMNS)
                vectors = vectors_of(table, "embedding")
            yield Batch(texts, langs, translations, sources, [prompts.get(name) or "" for name in names], vectors)


def _read_manifest(folder: Path) -> dict[str, Any]:
    manifest, cure = read_json(folder / MANIFEST), "Restore the folder, or compute the vectors again."
    sections = ("prompts", "rows_by_prompt", "sha256")
    if not isinstance(manifest, dict) or not all(isinstance(manifest.get(name), dict) for name in sections):
        raise UserError(f"{folder / MANIFEST} is damaged: expected an object with {', '.join(sections)}. {cure}")
    found = {file.name for file in shards(folder)}
    for name in sorted(found ^ manifest["sha256"].keys()):
        what = f"holds {name}, which {MANIFEST} does not name" if name in found else f"lacks {name}"
        raise UserError(f"{folder} {what}. {cure}")
    return manifest


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Raise a UserError that names a shard which cannot be read."""
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(
            f"{file} is damaged ({reason}). Delete it and run the same command again: the other shards are kept."
        ) from error


def rows_in(file: Path) -> int:
    """Return the number of rows of a shard; a UserError says that it is damaged."""
    with _reading(file):
        return int(pq.read_metadata(file).num_rows)


def shards(folder: Path, split: str = "*") -> list[Path]:
    """Return the files of a split, or of all."""
    return sorted(folder.glob(f"{split}-*.parquet"))


def vectors_of(table: pa.Table, column: str) -> NDArray[Any]:
    """Return a column of fixed-size lists as an array, shape (rows, dim)."""
    flat: NDArray[Any] = table[column].combine_chunks().flatten().to_numpy()
    return flat.reshape(len(table), -1)


def are_unit(vectors: NDArray[Any]) -> bool:
    """Return whether vectors have the length one; those of texts without a token that the model knows are null."""
    lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
    return bool(np.all((np.abs(lengths - 1) < _UNIT) | (lengths == 0)) and lengths.any())


def write_shard(shard: Shard, encoded: Encoded, dtype: str) -> None:
    """Write a shard's file, only ever whole; a UserError names a text whose vector is not finite in `dtype`."""
    with np.errstate(over="ignore"):
        stored = encoded.vectors.astype(dtype)
    bad = np.flatnonzero(~np.isfinite(stored).all(axis=1))
    if len(bad):
        text = shard.rows[bad[0]].text[:200]
        raise UserError(
            f"The teacher's vector of this text is not finite in {dtype}: {text!r}. "
            "Try --precision fp32 and --embedding-dtype float32."
        )
    columns = map(list, zip(*shard.rows, strict=True))
    split, tokens = [shard.split] * len(shard.rows), pa.array(encoded.tokens, pa.int32(), mask=encoded.tokens < 0)
    table = pa.table([*columns, split, tokens], schema=SCHEMA)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(stored.ravel()), stored.shape[1])
    with replacing(shard.file) as partial, partial.open("wb") as file:
        pq.write_table(table.append_column("embedding", vectors), file)


def write_manifest(out: Path, origin: dict[str, Any]) -> EmbeddingsResult:
    """Write manifest.json: `origin` and the sum of a folder's shards; a UserError says that none is of train."""
    if not shards(out, TRAIN):
        raise UserError("There is nothing to train on: give --parallel text or a --distill-limit above 0.")
    by_prompt: Counter[str | None] = Counter()
    tokens = 0
    for file in shards(out):
        with _reading(file):
            table = pq.read_table(file, columns=["prompt_name", "tokens"])
            by_prompt.update(table["prompt_name"].to_pylist())
            tokens += sum(filter(None, table["tokens"].to_pylist()))
    with _reading(shards(out, TRAIN)[0]):
        first = vectors_of(pq.read_table(shards(out, TRAIN)[0], columns=["embedding"]), "embedding")
    splits = {name: sum(map(rows_in, shards(out, name))) for name in (TRAIN, VALIDATION)}
    result = EmbeddingsResult(
        **origin,
        rows=sum(splits.values()),
        splits={name: rows for name, rows in splits.items() if rows},
        dim=first.shape[1],
        dtype=str(first.dtype),
        normalized=are_unit(first),
        bytes=sum(file.stat().st_size for file in shards(out)),
        tokens=tokens or None,
        rows_by_prompt={name or "none": rows for name, rows in sorted(by_prompt.items(), key=lambda i: i[0] or "")},
    )
    checksums = {file.name: hash_file(file) for file in shards(out)}
    described = {key: value for key, value in to_plain(result).items() if key not in _OF_THE_RUN}
    write_json(out / MANIFEST, {**described, "versions": versions(), "sha256": checksums})
    return result
