"""Stage `embed`: the teacher's vector of every text, computed once, as a dataset on disk.

    embeddings/train-00000.parquet       columns as in `SCHEMA`; the vectors are fixed-size lists of float16 or float32
    embeddings/validation-00000.parquet  the held-out part
    embeddings/manifest.json             teacher, prompts, arithmetic, rows, versions and a checksum of each shard

`translation` is text in the target language that shall have the same vector; it is null for monolingual rows. `source`
is the parallel file of a pair, and the language of a monolingual text. `prompt_name` names the teacher's prompt that
stood before the text; null is none. `tokens` is how many tokens the teacher read.

A shard appears under its name when it is whole, so its existence is the marker that it is done. Shards hang on nothing
but their rows: any process may compute any of them. `datasets.load_dataset` reads the folder as it lies.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hub_tools.config import EmbedConfig
from hub_tools.core.distributed import ALONE, Processes
from hub_tools.core.errors import UserError
from hub_tools.core.files import fsync_file, hash_file, read_json, write_json
from hub_tools.core.hardware import Hardware
from hub_tools.core.logging import bar, log
from hub_tools.core.versions import versions
from hub_tools.corpus.build import Corpus
from hub_tools.models.encoder import Encoded, Encoder, encode, unit
from hub_tools.models.loading import load_model, longest_input, prepare_for_speed
from hub_tools.models.prompts import Prompts, choose_prompts
from hub_tools.models.teacher import Teacher

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SPLITS = {"heldout": "validation", "train": "train"}
# Rows of a shard; duplicates are found, and texts sorted by length, within one.
SHARD_ROWS = 8192
# A teacher that finds the translation of fewer held-out sentences than this does not know the language, and
# its vectors of that language are no goal. English-only teachers find a tenth, multilingual ones nearly all.
KNOWS_LANGUAGE = 0.5
_BITEXT_PAIRS = 1000
# How far from 1 a unit vector's length may be after rounding to float16.
_UNIT = 0.01
_TEXT_COLUMNS = ("text", "lang", "translation", "source", "prompt_name")
SCHEMA = pa.schema([*((name, pa.string()) for name in _TEXT_COLUMNS), ("split", pa.string()), ("tokens", pa.int32())])


class Row(NamedTuple):
    """A text to embed; the fields are columns of the dataset."""

    text: str
    lang: str
    translation: str | None
    source: str
    prompt_name: str | None


class Shard(NamedTuple):
    """Rows that are embedded and written together, and the file they go to."""

    file: Path
    split: str
    rows: list[Row]


def embed(
    teacher: Teacher,
    corpus: Corpus,
    out: Path,
    *,
    target: str,
    config: EmbedConfig,
    hardware: Hardware,
    processes: Processes = ALONE,
) -> dict[str, Any]:
    """Embed the corpus with the teacher, shard by shard; each process computes the shards that are its own.

    Args:
        teacher: the model.
        corpus: the texts.
        out: folder of the stage; shards already in it are kept.
        target: the target language.
        config: how many texts, behind which prompts, stored how.
        hardware: where the teacher runs.
        processes: who computes; all of them call this.

    Returns:
        The `embeddings` section of the report.

    Raises:
        UserError: a vector is not finite (the message names the text), or there is nothing to embed.
    """
    out.mkdir(parents=True, exist_ok=True)
    log.info("  on %s", hardware)
    model = load_model(teacher.path, device=hardware.device, policy=teacher.policy)
    model.prompts.update(config.prompts)
    prepare_for_speed(model, hardware)
    accuracy = processes.run_on_main(lambda: _knows_target(model, corpus, hardware))
    left_out = []
    if accuracy is not None and accuracy < KNOWS_LANGUAGE:
        left_out = [target]
        log.info("  the teacher finds %.0f %% of the held-out translations: only parallel", 100 * accuracy)
        log.info("  text teaches %s, because the teacher's own vectors of it are no goal", target)
    languages = [lang for lang in corpus.languages if lang not in left_out]
    texts = _Texts(corpus, languages, target, config.distill_limit)
    prompts = choose_prompts(model, config, texts.in_target())
    encoder = Encoder(model, hardware)
    started = time.monotonic()
    computed = 0
    files = []
    with bar("vectors", texts.count(), " texts") as progress:
        for number, shard in enumerate(texts.shards(out, prompts)):
            files.append(shard.file)
            # In turns, so that every process has its part of every stretch of the text.
            if number % processes.world_size == processes.rank and not shard.file.exists():
                embed_shard(shard, encoder, prompts, config.dtype)
                computed += len(shard.rows)
            progress.update(len(shard.rows))
    seconds = time.monotonic() - started
    # The processes take shards in turns, so each computes as many rows as this one.
    done = {"rows_per_second": round(processes.world_size * computed / seconds, 1) if computed else None}
    return processes.run_on_main(
        lambda: {
            **_finish(files, teacher, model, prompts, hardware),
            **done,
            "teacher_bitext_accuracy": accuracy,
            "left_out": left_out,
        }
    )


def embed_shard(shard: Shard, encoder: Encoder, prompts: Prompts, dtype: str) -> None:
    """Compute the vectors of a shard and write it. A text that occurs twice is embedded once.

    Args:
        shard: what to embed.
        encoder: the teacher.
        prompts: what to put before the texts.
        dtype: float16 or float32.

    Raises:
        UserError: a vector is not finite, or not in this dtype; the message names the text.
    """
    asked = [(prompts.text_of(row.prompt_name), row.text) for row in shard.rows]
    place = {key: number for number, key in enumerate(sorted(set(asked)))}
    by_prompt: dict[str, list[str]] = {}
    for prompt, text in place:
        by_prompt.setdefault(prompt, []).append(text)
    found = [encoder(texts, prompt) for prompt, texts in by_prompt.items()]
    vectors, tokens = (np.concatenate(columns) for columns in zip(*found, strict=True))
    chosen = [place[key] for key in asked]
    write_shard(shard, Encoded(vectors[chosen], tokens[chosen]), dtype)


def write_shard(shard: Shard, encoded: Encoded, dtype: str) -> None:
    """Write a shard so that it is there only when it is whole.

    Args:
        shard: the rows and the file.
        encoded: vectors and numbers of tokens of the rows.
        dtype: float16 or float32.

    Raises:
        UserError: a vector is not finite, or not in this dtype; the message names the text.
    """
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
    partial = shard.file.with_name(shard.file.name + ".tmp")
    with partial.open("wb") as file:
        pq.write_table(table.append_column("embedding", vectors), file)
    fsync_file(partial)
    partial.replace(shard.file)


class _Texts:
    """What is embedded: the pairs, then the monolingual texts language by language."""

    def __init__(self, corpus: Corpus, languages: list[str], target: str, limit: int | None) -> None:
        self.corpus, self.languages, self.target, self.limit = corpus, languages, target, limit

    def in_target(self) -> Iterator[str]:
        """The training texts in the target language."""
        yield from (pair.target for pair in self.corpus.pairs())
        if self.target in self.languages:
            yield from self.corpus.texts(self.target, "train", self.limit)

    def count(self) -> int:
        """Rows of all splits."""
        stats = self.corpus.stats
        pairs = sum(int(stats["parallel"].get(split, 0)) for split in SPLITS)
        counts = (int(stats["text"][lang].get(split, 0)) for lang in self.languages for split in SPLITS)
        return pairs + sum(count if self.limit is None else min(count, self.limit) for count in counts)

    def shards(self, out: Path, prompts: Prompts) -> Iterator[Shard]:
        """All shards, in an order that hangs on the corpus alone; one is held at a time."""
        for split, name in SPLITS.items():
            rows, number = self._rows(split, prompts), 0
            while some := list(islice(rows, SHARD_ROWS)):
                yield Shard(out / f"{name}-{number:05d}.parquet", name, some)
                number += 1

    def _rows(self, split: str, prompts: Prompts) -> Iterator[Row]:
        for pair in self.corpus.pairs(split):
            yield Row(pair.source, "en", pair.target, pair.origin, prompts.name_for(pair.target))
        for lang in self.languages:
            for text in self.corpus.texts(lang, split, self.limit):
                name = prompts.name_for(text) if lang == self.target else prompts.default
                yield Row(text, lang, None, lang, name)


def _knows_target(model: SentenceTransformer, corpus: Corpus, hardware: Hardware) -> float | None:
    pairs = heldout_pairs(corpus)
    return bitext_accuracy(model, pairs, hardware) if pairs else None


def heldout_pairs(corpus: Corpus) -> dict[str, str]:
    """Up to a thousand held-out pairs, source -> target."""
    return {pair.source: pair.target for pair in islice(corpus.pairs("heldout"), _BITEXT_PAIRS)}


def bitext_accuracy(model: SentenceTransformer, pairs: dict[str, str], hardware: Hardware) -> float:
    """Share of target sentences whose nearest source sentence is their own."""
    source, target = (unit(encode(model, side, hardware)) for side in (list(pairs), list(pairs.values())))
    return float(np.mean((target @ source.T).argmax(axis=1) == np.arange(len(source))))


def _finish(
    files: list[Path], teacher: Teacher, model: SentenceTransformer, prompts: Prompts, hardware: Hardware
) -> dict[str, Any]:
    """Write the manifest of what the shards hold; returns the part of it that the report has."""
    missing = [file.name for file in files if not file.exists()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(files)} shards were computed elsewhere and are not in {files[0].parent}, "
            f"{missing[0]} among them. Several machines need a run folder that all of them see. Run the same command "
            "again where the shards are: only what is missing is computed."
        )
    tokenizer: Any = model.tokenizer
    return write_manifest(
        files[0].parent,
        {
            # A folder's place on this machine is nobody's business: the manifest is published.
            "teacher": teacher.name if teacher.revision else Path(teacher.name).name,
            "revision": teacher.revision,
            "precision": hardware.precision,
            "max_seq_length": longest_input(model),
            "truncation_side": str(getattr(tokenizer, "truncation_side", "right")),
            "pooling": next((module.pooling_mode for module in model if hasattr(module, "pooling_mode")), None),
            "prompts": prompts.texts,
            "default_prompt_name": prompts.default,
            "prompting": prompts.rule(),
        },
    )


def write_manifest(out: Path, made: dict[str, Any]) -> dict[str, Any]:
    """Sum up the shards in a folder and write manifest.json.

    Args:
        out: the folder.
        made: how the vectors were made.

    Returns:
        `made` with rows, splits, dim, dtype, normalized, bytes, tokens and rows_by_prompt.

    Raises:
        UserError: there is no shard of the train split.
    """
    if not shards(out, "train"):
        raise UserError("There is nothing to train on: give --parallel text or a --distill-limit above 0.")
    by_prompt: Counter[str | None] = Counter()
    tokens = 0
    for file in shards(out):
        table = pq.read_table(file, columns=["prompt_name", "tokens"])
        by_prompt.update(table["prompt_name"].to_pylist())
        tokens += sum(filter(None, table["tokens"].to_pylist()))
    first = vectors_of(pq.read_table(shards(out, "train")[0], columns=["embedding"]), "embedding")
    splits = {
        name: sum(pq.read_metadata(file).num_rows for file in shards(out, name)) for name in reversed(SPLITS.values())
    }
    summary = {
        **made,
        "rows": sum(splits.values()),
        "splits": {name: rows for name, rows in splits.items() if rows},
        "dim": first.shape[1],
        "dtype": str(first.dtype),
        "normalized": are_unit(first),
        "bytes": sum(file.stat().st_size for file in shards(out)),
        "tokens": tokens or None,
        "rows_by_prompt": {name or "none": rows for name, rows in sorted(by_prompt.items(), key=lambda i: i[0] or "")},
    }
    checksums = {file.name: hash_file(file) for file in shards(out)}
    write_json(out / "manifest.json", {**summary, "versions": versions(), "sha256": checksums})
    return summary


def are_unit(vectors: NDArray[Any]) -> bool:
    """Whether vectors have the length one; those of texts without a token that the model knows are null."""
    lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
    return bool(np.all((np.abs(lengths - 1) < _UNIT) | (lengths == 0)) and lengths.any())


def shards(folder: Path, split: str = "*") -> list[Path]:
    """The files of a split, or of all."""
    return sorted(folder.glob(f"{split}-*.parquet"))


def vectors_of(table: pa.Table, column: str) -> NDArray[Any]:
    """A column of fixed-size lists as an array, shape (rows, dim)."""
    flat: NDArray[Any] = table[column].combine_chunks().flatten().to_numpy()
    return flat.reshape(len(table), -1)


class Batch(NamedTuple):
    """Rows of a shard: texts, translations, sources, the prompt text of each row, and vectors of shape (rows, dim)."""

    texts: list[str]
    translations: list[str | None]
    sources: list[str]
    prompts: list[str]
    vectors: NDArray[Any]


class Embeddings:
    """A finished embed stage."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: dict[str, Any] = read_json(path / "manifest.json")

    def rows(self, split: str) -> int:
        """Number of rows of a split: train or validation."""
        return sum(pq.read_metadata(file).num_rows for file in shards(self.path, split))

    def batches(self, split: str) -> Iterator[Batch]:
        """The rows of a split, a shard at a time."""
        prompts = self.manifest["prompts"]
        for file in shards(self.path, split):
            table = pq.read_table(file).combine_chunks()
            text, translation, source, names = (
                table[name].to_pylist() for name in ("text", "translation", "source", "prompt_name")
            )
            put_before = [prompts.get(name) or "" for name in names]
            yield Batch(text, translation, source, put_before, vectors_of(table, "embedding"))
