"""Stage `embed` with vectors that others computed: a dataset of the Hub or of a folder, brought into the form of ours.

Of a dataset without a manifest like ours it is assumed that its texts were embedded behind the default prompt of the
student's own model. The vectors have to fit the student: as many numbers, and of length one where its own are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hub_tools.config import EmbedConfig
from hub_tools.core.errors import UserError
from hub_tools.core.files import hash_file, read_json
from hub_tools.core.hardware import Hardware
from hub_tools.core.hub_errors import explain_hub, without_secrets
from hub_tools.core.logging import bar
from hub_tools.corpus.build import HELDOUT_ONE_IN
from hub_tools.corpus.sources import dataset_revision
from hub_tools.models.encoder import Encoded
from hub_tools.models.loading import LoadPolicy, load_model, longest_input
from hub_tools.vectors.embed import SHARD_ROWS, Row, Shard, are_unit, vectors_of, write_manifest, write_shard

_MANIFEST = "manifest.json"
_TRAIN, _HELDOUT = "train", "validation"


@dataclass(frozen=True, kw_only=True)
class ImportedEmbeddings:
    """A dataset with texts and vectors.

    Attributes:
        name: what the user asked for.
        path: its folder; None for one of the Hub.
        revision: its commit on the Hub; None for a folder, or where nobody can tell.
        text_column: its column with the texts.
        embedding_column: its column with the vectors.
        identity: plain data that changes when the content does.
    """

    name: str
    path: Path | None
    revision: str | None
    text_column: str
    embedding_column: str
    identity: Any

    @property
    def repo(self) -> str:
        """The id on the Hub, without a revision."""
        return self.name.partition("@")[0]


def find_embeddings(config: EmbedConfig) -> ImportedEmbeddings:
    """Find the dataset that --embeddings names.

    Raises:
        UserError: there is none, or no access to it.
    """
    name = str(config.use)
    path = Path(name).expanduser()
    columns = {"text_column": config.text_column, "embedding_column": config.embedding_column}
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if file.is_file() and not _is_hidden(file.relative_to(path))]
        found = [[str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
        identity = [found, *columns.values()]
        return ImportedEmbeddings(name=name, path=path, revision=None, **columns, identity=identity)
    if path.exists() or name.count("/") > 1:
        raise UserError(f"--embeddings {name}: expected the folder of a dataset, or an id of the Hub like org/name.")
    repo, _, asked = name.partition("@")
    revision = dataset_revision(repo, asked)
    identity = [repo, revision or asked, *columns.values()]
    return ImportedEmbeddings(name=name, path=None, revision=revision or asked or None, **columns, identity=identity)


def _is_hidden(file: Path) -> bool:
    return any(part.startswith(".") for part in file.parts)


class _Student(NamedTuple):
    """What vectors have to fit."""

    dim: int
    normalized: bool
    made: dict[str, Any]


def import_embeddings(
    ready: ImportedEmbeddings, out: Path, *, clone: Path, lang: str, dtype: str, hardware: Hardware, policy: LoadPolicy
) -> dict[str, Any]:
    """Write the dataset's texts and vectors as shards of ours; the teacher is not loaded.

    Args:
        ready: the dataset. Of its splits `train` and `validation` are taken; without the latter one text in 50 is
            held out by its hash.
        out: folder of the stage; shards already in it are kept.
        clone: folder of the clone that shall learn the vectors.
        lang: language of texts of which the dataset says none.
        dtype: float16 or float32.
        hardware: where the clone runs; it embeds one text.
        policy: what its files may do.

    Returns:
        The `embeddings` section of the report.

    Raises:
        UserError: the dataset cannot be read, has no such columns, or its vectors do not fit the clone.
    """
    out.mkdir(parents=True, exist_ok=True)
    student = _read_student(clone, hardware, policy)
    theirs = _manifest(ready)
    if ready.path is not None:
        _check_sums(ready.path, theirs)
    with bar("vectors", None, " texts") as progress:
        for shard, encoded in _shards(ready, out, student, lang, theirs):
            if not shard.file.exists():
                write_shard(shard, encoded, dtype)
            progress.update(len(shard.rows))
    of_the_teacher = ("teacher", "revision", "precision", "max_seq_length", "truncation_side", "pooling", "prompting")
    made = {
        **student.made,
        **{key: (theirs or {}).get(key) for key in of_the_teacher},
        **({key: theirs[key] for key in ("prompts", "default_prompt_name")} if theirs else {}),
        "taken_from": {"name": ready.path.name if ready.path else ready.repo, "revision": ready.revision},
    }
    summary = write_manifest(out, made)
    return {**summary, "rows_per_second": None, "teacher_bitext_accuracy": None, "left_out": []}


def _read_student(clone: Path, hardware: Hardware, policy: LoadPolicy) -> _Student:
    model = load_model(clone, device=hardware.device, policy=policy)
    vector = model.encode(["The length of this vector is that of all."], show_progress_bar=False)
    made = {
        "max_seq_length": longest_input(model),
        "prompts": dict(model.prompts),
        "default_prompt_name": model.default_prompt_name,
    }
    return _Student(vector.shape[1], are_unit(vector), made)


def _manifest(ready: ImportedEmbeddings) -> dict[str, Any] | None:
    """What a dataset that this tool made says of itself, or None."""
    if ready.path is not None:
        return _ours(ready.path / _MANIFEST)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return _ours(Path(hf_hub_download(ready.repo, _MANIFEST, repo_type="dataset", revision=ready.revision)))
    except LocalEntryNotFoundError as error:  # nobody could be asked; also a kind of the next
        raise _unreadable(ready, error) from error
    except EntryNotFoundError:
        return None
    except Exception as error:
        raise _unreadable(ready, error) from error


def _ours(file: Path) -> dict[str, Any] | None:
    """A manifest that this tool wrote; others may call a file so too."""
    try:
        manifest = read_json(file) if file.exists() else None
    except ValueError:
        return None
    known = {"prompts", "default_prompt_name", "sha256"}
    return manifest if isinstance(manifest, dict) and known <= manifest.keys() else None


def _check_sums(folder: Path, manifest: dict[str, Any] | None) -> None:
    for name, wanted in (manifest or {}).get("sha256", {}).items():
        if not (folder / name).exists() or hash_file(folder / name) != wanted:
            raise UserError(
                f"--embeddings {folder}: {name} is not the file that {_MANIFEST} was written for. Fetch it again."
            )


def _shards(
    ready: ImportedEmbeddings, out: Path, student: _Student, lang: str, theirs: dict[str, Any] | None
) -> Iterator[tuple[Shard, Encoded]]:
    """Pieces of the dataset of one split each, not larger than a shard of ours; `theirs` is its manifest, if ours."""
    splits = _open(ready)
    if _TRAIN not in splits:
        raise UserError(f"--embeddings {ready.name} has no split {_TRAIN}; it has: {', '.join(splits)}.")
    numbers = {_TRAIN: 0, _HELDOUT: 0}
    for split in (s for s in (_HELDOUT, _TRAIN) if s in splits):
        for table in splits[split]():
            rows, encoded = _read(ready, table, student, lang, theirs)
            parts = _parts(rows, split) if _HELDOUT not in splits else {split: np.arange(len(rows))}
            for name, chosen in parts.items():
                if len(chosen):
                    file = out / f"{name}-{numbers[name]:05d}.parquet"
                    numbers[name] += 1
                    own = [rows[i] for i in chosen]
                    yield Shard(file, name, own), Encoded(encoded.vectors[chosen], encoded.tokens[chosen])


def _parts(rows: list[Row], split: str) -> dict[str, NDArray[np.int64]]:
    """Which rows are held out; equal texts go together."""
    digests = (hashlib.blake2b(row.text.encode(), digest_size=8).digest() for row in rows)
    held = np.array([int.from_bytes(digest) % HELDOUT_ONE_IN == 0 for digest in digests], dtype=bool)
    return {_HELDOUT: np.flatnonzero(held), split: np.flatnonzero(~held)}


def _open(ready: ImportedEmbeddings) -> dict[str, Callable[[], Iterator[pa.Table]]]:
    """Split -> a function that reads it as a stream of tables."""
    from datasets import load_dataset, load_from_disk

    try:
        if ready.path is not None and any((ready.path / n).exists() for n in ("dataset_dict.json", "state.json")):
            saved: Any = load_from_disk(str(ready.path))
            found = saved if isinstance(saved, dict) else {_TRAIN: saved}
        elif ready.path is not None:
            found = load_dataset(str(ready.path), streaming=True)
        else:
            found = load_dataset(ready.repo, streaming=True, revision=ready.revision)
    except Exception as error:
        raise _unreadable(ready, error) from error

    def reader(dataset: Any) -> Callable[[], Iterator[pa.Table]]:
        def read() -> Iterator[pa.Table]:
            try:
                yield from dataset.with_format("arrow").iter(batch_size=SHARD_ROWS)
            except (OSError, ValueError, pa.ArrowInvalid) as error:
                raise _unreadable(ready, error) from error

        return read

    return {str(split): reader(dataset) for split, dataset in found.items()}


def _unreadable(ready: ImportedEmbeddings, error: Exception) -> UserError:
    message = explain_hub(error, f"dataset {ready.name!r}")
    return UserError(message or f"--embeddings {ready.name} is no dataset to read: {without_secrets(str(error))}")


def _read(
    ready: ImportedEmbeddings, table: pa.Table, student: _Student, lang: str, theirs: dict[str, Any] | None
) -> tuple[list[Row], Encoded]:
    """Rows and vectors of a piece of the dataset; rows without a text are left out.

    Other columns count where they hold what ours of that name do. The prompts that a name means are known of our
    own datasets alone.
    """
    for option, column in (("--text-column", ready.text_column), ("--embedding-column", ready.embedding_column)):
        if column not in table.column_names:
            there = ", ".join(table.column_names)
            raise UserError(f"--embeddings {ready.name} has no column {column!r}; give {option}. It has: {there}.")
    if not _is_text(table[ready.text_column].type):
        raise UserError(
            f"--embeddings {ready.name}: {ready.text_column!r} holds {table[ready.text_column].type}; expected texts."
        )
    table = table.filter(pc.greater(pc.utf8_length(table[ready.text_column].cast(pa.string())), 0))
    texts = table[ready.text_column].cast(pa.string()).to_pylist()
    vectors = _fitting(ready, table, texts, student)

    def own(column: str, otherwise: Any, is_ours: Callable[[pa.DataType], bool] = _is_text) -> list[Any]:
        there = column in table.column_names and is_ours(table[column].type)
        values = table[column].to_pylist() if there else [None] * len(table)
        return [otherwise if value is None else value for value in values]

    default = (theirs or student.made)["default_prompt_name"]
    prompts = own("prompt_name", default) if theirs else [default] * len(table)
    columns = (own("lang", lang), own("translation", None), own("source", lang), prompts)
    rows = [Row(*row) for row in zip(texts, *columns, strict=True)]
    return rows, Encoded(vectors, np.array(own("tokens", -1, pa.types.is_integer), dtype=np.int32))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _fitting(ready: ImportedEmbeddings, table: pa.Table, texts: list[str], student: _Student) -> NDArray[np.float32]:
    """The vectors as float32, if they are such as the student's.

    Raises:
        UserError: they have another dimension or length, or are not finite.
    """
    column = table[ready.embedding_column]
    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise UserError(
            f"--embeddings {ready.name}: {ready.embedding_column!r} holds {kind}; expected lists of numbers."
        )
    sizes = set(pc.unique(pc.list_value_length(column)).to_pylist())
    if sizes - {student.dim}:
        found = ", ".join("nothing" if size is None else str(size) for size in sorted(sizes, key=str))
        raise UserError(
            f"--embeddings {ready.name}: its vectors have {found} dimensions, the student's have {student.dim}. "
            "Expected vectors of a teacher with as many as --teacher."
        )
    if not len(table):
        return np.empty((0, student.dim), np.float32)
    if pc.list_flatten(column).null_count:
        raise UserError(f"--embeddings {ready.name}: {ready.embedding_column!r} has vectors with numbers missing.")
    vectors = vectors_of(table, ready.embedding_column).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise UserError(f"--embeddings {ready.name}: the vector of this text is not finite: {texts[bad[0]][:200]!r}.")
    if are_unit(vectors) != student.normalized:
        lengths = np.linalg.norm(vectors, axis=1)
        shown = f"from {lengths.min():.3g} to {lengths.max():.3g} long"
        wanted = "of length 1" if student.normalized else "not normalised"
        raise UserError(
            f"--embeddings {ready.name}: its vectors are {shown}, but those of the student are {wanted}. Expected "
            "vectors made as --teacher makes its own."
        )
    return vectors
