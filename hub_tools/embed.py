"""Stage `embed`: the teacher's vector of every text, computed once, as a dataset on disk.

    embeddings/train-00000.parquet       columns text, lang, translation, source, embedding (fixed-size float16)
    embeddings/validation-00000.parquet  the held-out part
    embeddings/manifest.json             teacher, arithmetic, rows and checksums

`translation` is text in the target language that shall have the same vector; it is null for monolingual rows. `source`
is the parallel file of a pair, and the language of a monolingual text.
`datasets.load_dataset` reads the folder as it lies.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hub_tools.corpus import Corpus
from hub_tools.errors import UserError
from hub_tools.models import Hardware, autocast, load_model, longest_input, prepare_for_speed
from hub_tools.progress import bar, log
from hub_tools.run_folder import hash_file, read_json, write_json
from hub_tools.teacher import Teacher

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SPLITS = {"heldout": "validation", "train": "train"}
SHARD_ROWS = 8192
ENCODE_BATCH = 128
# A teacher that finds the translation of fewer held-out sentences than this does not know the language, and
# its vectors of that language are no goal. English-only teachers find a tenth, multilingual ones nearly all.
KNOWS_LANGUAGE = 0.5
_BITEXT_PAIRS = 1000


class Row(NamedTuple):
    """A text to embed."""

    text: str
    lang: str
    translation: str | None
    source: str


def embed(
    teacher: Teacher, corpus: Corpus, out: Path, *, target: str, distill_limit: int | None, hardware: Hardware
) -> dict[str, Any]:
    """Embed the corpus with the teacher, shard by shard.

    Args:
        teacher: the model.
        corpus: the texts.
        out: folder of the stage; shards already in it are kept.
        target: the target language.
        distill_limit: monolingual texts per language; None means all.
        hardware: where the teacher runs.

    Returns:
        The `embeddings` section of the report.

    Raises:
        UserError: a vector is not finite; the message names the text.
    """
    out.mkdir(parents=True, exist_ok=True)
    model = load_model(teacher.path, device=hardware.device, trust=teacher.trust)
    prepare_for_speed(model, hardware)
    pairs = heldout_pairs(corpus)
    accuracy = bitext_accuracy(model, pairs, hardware) if pairs else None
    left_out = []
    if accuracy is not None and accuracy < KNOWS_LANGUAGE:
        left_out = [target]
        log.info("  the teacher finds %.0f %% of the held-out translations: only parallel", 100 * accuracy)
        log.info("  text teaches %s, because the teacher's own vectors of it are no goal", target)
    started = time.monotonic()
    computed = 0
    languages = [lang for lang in corpus.languages if lang not in left_out]
    for split, name in SPLITS.items():
        total = _count(corpus, languages, split, distill_limit)
        with bar(f"{name} vectors", total, " texts") as progress:
            for number, rows in enumerate(_shards_of(_rows(corpus, languages, split, distill_limit))):
                file = out / f"{name}-{number:05d}.parquet"
                if not file.exists():
                    _write_shard(file, rows, _vectors(model, [row.text for row in rows], hardware))
                    computed += len(rows)
                progress.update(len(rows))
    if not any(out.glob("train-*.parquet")):
        raise UserError("There is nothing to embed: give --parallel text or a --distill-limit above 0.")
    seconds = time.monotonic() - started
    summary = _summary(out, model, hardware)
    write_json(
        out / "manifest.json",
        {
            "teacher": teacher.name,
            "revision": teacher.revision,
            **summary,
            "sha256": {file.name: hash_file(file) for file in _shards(out)},
        },
    )
    return {
        **summary,
        "rows_per_second": round(computed / seconds, 1) if computed else None,
        "teacher_bitext_accuracy": accuracy,
        "left_out": left_out,
    }


def heldout_pairs(corpus: Corpus) -> dict[str, str]:
    """Up to a thousand held-out pairs, source -> target."""
    return {pair.source: pair.target for pair in islice(corpus.pairs("heldout"), _BITEXT_PAIRS)}


def bitext_accuracy(model: SentenceTransformer, pairs: dict[str, str], hardware: Hardware) -> float:
    """Share of target sentences whose nearest source sentence is their own."""
    sides = [encode(model, side, hardware) for side in (list(pairs), list(pairs.values()))]
    source, target = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
    return float(np.mean((target @ source.T).argmax(axis=1) == np.arange(len(source))))


def encode(model: SentenceTransformer, texts: list[str], hardware: Hardware) -> NDArray[np.float32]:
    """Vectors of texts, float32, shape (texts, dim)."""
    with autocast(hardware):
        tensors = model.encode(texts, batch_size=ENCODE_BATCH, convert_to_tensor=True, show_progress_bar=False)
    return np.asarray(tensors.float().cpu().numpy(), dtype=np.float32)


def _rows(corpus: Corpus, languages: list[str], split: str, limit: int | None) -> Iterator[Row]:
    for pair in corpus.pairs(split):
        yield Row(pair.source, "en", pair.target, pair.origin)
    for lang in languages:
        for text in corpus.texts(lang, split, limit):
            yield Row(text, lang, None, lang)


def _count(corpus: Corpus, languages: list[str], split: str, limit: int | None) -> int:
    pairs = int(corpus.stats["parallel"].get(split, 0))
    counts = (int(corpus.stats["text"][lang].get(split, 0)) for lang in languages)
    return pairs + sum(count if limit is None else min(count, limit) for count in counts)


def _shards_of(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while shard := list(islice(rows, SHARD_ROWS)):
        yield shard


def _vectors(model: SentenceTransformer, texts: list[str], hardware: Hardware) -> NDArray[np.float16]:
    position = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    vectors = encode(model, list(position), hardware)
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        text = list(position)[bad[0]]
        raise UserError(f"The teacher's vector of this text is not finite: {text[:200]!r}. Try --precision fp32.")
    return vectors[[position[text] for text in texts]].astype(np.float16)


def _write_shard(file: Path, rows: list[Row], vectors: NDArray[np.float16]) -> None:
    columns: dict[str, Any] = {field: [getattr(row, field) for row in rows] for field in Row._fields}
    table = pa.table(
        {
            **{field: pa.array(values, pa.string()) for field, values in columns.items()},
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
        }
    )
    partial = file.with_name(file.name + ".tmp")
    pq.write_table(table, partial)
    partial.replace(file)


def _shards(folder: Path, name: str = "*") -> list[Path]:
    return sorted(folder.glob(f"{name}-*.parquet"))


def _summary(out: Path, model: SentenceTransformer, hardware: Hardware) -> dict[str, Any]:
    files = _shards(out)
    splits = {
        name: sum(pq.read_metadata(file).num_rows for file in _shards(out, name)) for name in reversed(SPLITS.values())
    }
    return {
        "rows": sum(splits.values()),
        "splits": {name: rows for name, rows in splits.items() if rows},
        "dim": model.get_embedding_dimension(),
        "dtype": "float16",
        "bytes": sum(file.stat().st_size for file in files),
        "precision": hardware.precision,
        "max_seq_length": longest_input(model),
        "prompts": dict(model.prompts),
        "default_prompt_name": model.default_prompt_name,
    }


class Batch(NamedTuple):
    """Rows of a shard: texts, translations, sources, and vectors as float16 of shape (rows, dim)."""

    texts: list[str]
    translations: list[str | None]
    sources: list[str]
    vectors: NDArray[np.float16]


class Embeddings:
    """A finished embed stage."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: dict[str, Any] = read_json(path / "manifest.json")

    @property
    def prompt(self) -> str:
        """What the teacher puts before each text by default."""
        return str(self.manifest["prompts"].get(self.manifest["default_prompt_name"]) or "")

    def rows(self, split: str) -> int:
        """Number of rows of a split: train or validation."""
        return sum(pq.read_metadata(file).num_rows for file in _shards(self.path, split))

    def batches(self, split: str) -> Iterator[Batch]:
        """The rows of a split, a shard at a time."""
        for file in _shards(self.path, split):
            table = pq.read_table(file).combine_chunks()
            vectors = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
            text, translation, source = (table[name].to_pylist() for name in ("text", "translation", "source"))
            yield Batch(text, translation, source, vectors)
