"""Stage `embed` with vectors that others computed: a dataset of the Hub or of a folder, copied into shards.

Of a dataset without a manifest of hub_tools it is assumed that its texts were embedded behind the default prompt of the
student's own model. The vectors have to fit the student: as many numbers, and of length one where its own are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hub_tools.config import EmbedConfig
from hub_tools.core.errors import UserError
from hub_tools.core.files import hash_file, read_json, user_path
from hub_tools.core.hardware import Hardware
from hub_tools.core.hub_errors import hub_errors
from hub_tools.core.logging import bar, log
from hub_tools.corpus.build import HELDOUT_ONE_IN
from hub_tools.corpus.clean import hash_text
from hub_tools.corpus.contamination import EvaluationTexts, Match, by_data
from hub_tools.corpus.sources import dataset_revision, is_dataset_id, open_dataset, own_files_alone
from hub_tools.models.encoder import Encoded
from hub_tools.models.loading import LoadPolicy, load_model
from hub_tools.results import EmbeddingsResult
from hub_tools.vectors.dataset import (
    MANIFEST,
    SHARD_ROWS,
    TRAIN,
    VALIDATION,
    Row,
    Shard,
    are_unit,
    shards,
    vectors_of,
    write_manifest,
    write_shard,
)

_OF_THE_TEACHER = ("teacher", "revision", "precision", "max_seq_length", "truncation_side", "pooling", "prompting")


@dataclass(frozen=True, kw_only=True)
class ImportedEmbeddings:
    """A dataset with texts and vectors."""

    name: str  # what the user asked for
    path: Path | None  # its folder; None for one of the Hub
    revision: str | None  # its commit on the Hub; None for a folder, or where nobody can tell
    text_column: str
    embedding_column: str
    identity: Any  # plain data that changes when the content does

    @property
    def repo(self) -> str:
        """The id on the Hub, without a revision."""
        return self.name.partition("@")[0]


def find_embeddings(config: EmbedConfig) -> ImportedEmbeddings:
    """Find the dataset that --embeddings names; a UserError says that there is none, or no access to it."""
    name = str(config.use)
    path = user_path(name)
    columns = {"text_column": config.text_column, "embedding_column": config.embedding_column}
    if path.is_dir():
        names = sorted(file.relative_to(path) for file in path.rglob("*") if file.is_file())
        visible = [file for file in names if not any(part.startswith(".") for part in file.parts)]
        stats = [[str(file), (path / file).stat().st_size, (path / file).stat().st_mtime_ns] for file in visible]
        identity = [stats, *columns.values()]
        return ImportedEmbeddings(name=name, path=path, revision=None, **columns, identity=identity)
    repo, _, branch = name.partition("@")
    if path.exists() or not is_dataset_id(repo) or Path(repo).exists():
        raise UserError(f"--embeddings {name}: expected the folder of a dataset, or an id of the Hub like org/name.")
    revision = dataset_revision(repo, branch) or branch
    identity = [repo, revision, *columns.values()]
    return ImportedEmbeddings(name=name, path=None, revision=revision or None, **columns, identity=identity)


class _Student(NamedTuple):
    """What vectors have to fit: the student's width, whether its vectors have length one, and its settings."""

    dim: int
    normalized: bool
    settings: dict[str, Any]


def import_embeddings(
    dataset: ImportedEmbeddings,
    out: Path,
    *,
    clone: Path,
    targets: tuple[str, ...],
    dtype: str,
    hardware: Hardware,
    policy: LoadPolicy,
    evaluation: EvaluationTexts | None = None,
) -> EmbeddingsResult:
    """Write the dataset's texts and vectors as shards; the teacher is not loaded.

    Its splits `train` and `validation` are taken; without the latter one text in 50 is held out by its hash. Shards
    already in `out` are kept. Texts of which the dataset says no language are in the first of `targets`, the languages
    of the student. Rows with a text in `evaluation`, exactly or nearly, are left out. The clone embeds one text.

    Raises:
        UserError: the dataset cannot be read, has no such columns, or its vectors do not fit the clone.
    """
    out.mkdir(parents=True, exist_ok=True)
    student = _read_student(clone, hardware, policy)
    matches: Counter[Match] = Counter()
    clean = partial(_without_evaluation, evaluation or EvaluationTexts([]), matches)
    manifest = _read_manifest(dataset)
    if dataset.path is not None:
        _check_sums(dataset.path, manifest or {})
    with bar("vectors", None, " texts") as progress:
        for shard, encoded in _shards(dataset, out, student, targets[0], manifest, clean=clean):
            if not shard.file.exists():
                write_shard(shard, encoded, dtype)
            progress.update(len(shard.rows))
    prompts = manifest or student.settings
    origin = {key: (manifest or {}).get(key) for key in _OF_THE_TEACHER}
    origin |= {key: prompts[key] for key in ("prompts", "default_prompt_name")}
    # Others may write languages in other codes.
    origin["targets"] = list(targets) if manifest else []
    name = dataset.path.name if dataset.path else dataset.repo
    if matches:
        log.info("  dropped from the training text: %d evaluation texts and near copies", matches.total())
        if not shards(out, TRAIN):
            raise UserError(f"--embeddings {dataset.name}: all texts to train on are in the data to measure on.")
    result = write_manifest(out, {**origin, "taken_from": {"name": name, "revision": dataset.revision}})
    return replace(result, contamination=by_data(matches))


def _without_evaluation(
    evaluation: EvaluationTexts, matches: Counter[Match], rows: list[Row], encoded: Encoded
) -> tuple[list[Row], Encoded]:
    """Return rows and vectors without those that models are measured on, which are counted."""
    kept = []
    for (number, _), match in evaluation.screen(
        enumerate(rows), lambda item: (item[1].text, item[1].translation or "")
    ):
        if match:
            matches[match] += 1
        else:
            kept.append(number)
    return [rows[number] for number in kept], Encoded(encoded.vectors[kept], encoded.tokens[kept])


def _read_student(clone: Path, hardware: Hardware, policy: LoadPolicy) -> _Student:
    model = load_model(clone, device=hardware.device, policy=policy)
    vector = model.encode(["The length of this vector is that of all."], show_progress_bar=False)
    settings = {"prompts": dict(model.prompts), "default_prompt_name": model.default_prompt_name}
    return _Student(vector.shape[1], are_unit(vector), settings)


def _read_manifest(dataset: ImportedEmbeddings) -> dict[str, Any] | None:
    """Return the manifest of a dataset of hub_tools; None for others, which may call a file so too."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    with _reading(dataset):
        try:
            if dataset.path is not None:
                file = dataset.path / MANIFEST
            else:
                file = Path(hf_hub_download(dataset.repo, MANIFEST, repo_type="dataset", revision=dataset.revision))
            manifest = read_json(file)
        except LocalEntryNotFoundError:  # nobody could be asked; also a kind of the next
            raise
        except (EntryNotFoundError, UserError):
            return None
    keys = {"prompts", "default_prompt_name", "sha256"}
    return manifest if isinstance(manifest, dict) and keys <= manifest.keys() else None


def _check_sums(folder: Path, manifest: dict[str, Any]) -> None:
    for name, checksum in manifest.get("sha256", {}).items():
        if not (folder / name).exists() or hash_file(folder / name) != checksum:
            raise UserError(
                f"--embeddings {folder}: {name} is not the file that {MANIFEST} was written for. Fetch it again."
            )


def _shards(
    dataset: ImportedEmbeddings,
    out: Path,
    student: _Student,
    lang: str,
    manifest: dict[str, Any] | None,
    *,
    clean: Callable[[list[Row], Encoded], tuple[list[Row], Encoded]],
) -> Iterator[tuple[Shard, Encoded]]:
    """Yield pieces of the dataset of one split each, of at most `SHARD_ROWS` rows, with what `clean` leaves of them."""
    splits = _open(dataset)
    if TRAIN not in splits:
        raise UserError(f"--embeddings {dataset.name} has no split {TRAIN}; it has: {', '.join(splits)}.")
    numbers = {TRAIN: 0, VALIDATION: 0}
    for split in (s for s in (VALIDATION, TRAIN) if s in splits):
        for table in _tables(dataset, splits[split]):
            rows, encoded = clean(*_read(dataset, table, student, lang, manifest))
            parts = {split: np.arange(len(rows))}
            if VALIDATION not in splits:  # equal texts go together
                is_heldout = np.array([hash_text(row.text) % HELDOUT_ONE_IN == 0 for row in rows], dtype=bool)
                parts = {VALIDATION: np.flatnonzero(is_heldout), TRAIN: np.flatnonzero(~is_heldout)}
            for name, chosen in parts.items():
                if len(chosen):
                    shard = Shard(out / f"{name}-{numbers[name]:05d}.parquet", name, [rows[i] for i in chosen])
                    numbers[name] += 1
                    yield shard, Encoded(encoded.vectors[chosen], encoded.tokens[chosen])


def _open(dataset: ImportedEmbeddings) -> dict[str, Any]:
    """Return the splits by name, as `datasets` opens them; none is read yet."""
    from datasets import load_dataset, load_from_disk

    with _reading(dataset):
        splits: Any
        if dataset.path is None:
            splits = open_dataset(dataset.repo, revision=dataset.revision).as_streaming_dataset()
        elif any((dataset.path / name).exists() for name in ("dataset_dict.json", "state.json")):
            _check_saved(dataset.path)
            saved: Any = load_from_disk(str(dataset.path))
            splits = saved if isinstance(saved, dict) else {TRAIN: saved}
        else:
            folder = dataset.path.resolve()
            with own_files_alone(dataset.name, f"{folder.as_posix()}/"):
                # As a path of several parts, never as the name of one of the readers of `datasets`.
                splits = load_dataset(str(folder), streaming=True)
        return {str(name): split for name, split in splits.items()}


def _check_saved(folder: Path) -> None:
    """Refuse a folder of `save_to_disk` whose lists name files elsewhere."""
    parts = folder / "dataset_dict.json"
    splits = read_json(parts)["splits"] if parts.exists() else [""]
    names = [file["filename"] for split in splits for file in read_json(folder / split / "state.json")["_data_files"]]
    if outside := [name for name in (*splits, *names) if Path(name).name != name]:
        raise UserError(f"Dataset {folder} names files outside of itself: {outside[0]}. Not read.")


def _tables(dataset: ImportedEmbeddings, split: Any) -> Iterator[pa.Table]:
    with _reading(dataset):
        yield from split.with_format("arrow").iter(batch_size=SHARD_ROWS)


def _reading(dataset: ImportedEmbeddings) -> AbstractContextManager[None]:
    return hub_errors(f"dataset {dataset.name!r}", f"--embeddings {dataset.name} is no dataset to read")


def _read(
    dataset: ImportedEmbeddings, table: pa.Table, student: _Student, lang: str, manifest: dict[str, Any] | None
) -> tuple[list[Row], Encoded]:
    """Return rows and vectors of a piece of the dataset; rows without a text are left out.

    Other columns count where they have the type of the column of that name in `SCHEMA`. What the name of a prompt means
    is known only where there is a manifest.
    """
    text_column = dataset.text_column
    for option, name in (("--text-column", text_column), ("--embedding-column", dataset.embedding_column)):
        if name not in table.column_names:
            names = ", ".join(table.column_names)
            raise UserError(f"--embeddings {dataset.name} has no column {name!r}; give {option}. It has: {names}.")
    if not _is_text(table[text_column].type):
        raise UserError(
            f"--embeddings {dataset.name}: {text_column!r} holds {table[text_column].type}; expected texts."
        )
    table = table.filter(pc.greater(pc.utf8_length(table[text_column].cast(pa.string())), 0))
    texts = table[text_column].cast(pa.string()).to_pylist()
    vectors = _read_vectors(dataset, table, texts, student)

    def values(column: str, default: Any, is_right: Callable[[pa.DataType], bool] = _is_text) -> list[Any]:
        is_usable = column in table.column_names and is_right(table[column].type)
        cells = table[column].to_pylist() if is_usable else [None] * len(table)
        return [default if cell is None else cell for cell in cells]

    prompt = (manifest or student.settings)["default_prompt_name"]
    prompts = values("prompt_name", prompt) if manifest else [prompt] * len(table)
    columns = (values("lang", lang), values("translation", None), values("source", lang), prompts)
    rows = [Row(*row) for row in zip(texts, *columns, strict=True)]
    return rows, Encoded(vectors, np.array(values("tokens", -1, pa.types.is_integer), dtype=np.int32))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _read_vectors(
    dataset: ImportedEmbeddings, table: pa.Table, texts: list[str], student: _Student
) -> NDArray[np.float32]:
    """Return the vectors as float32; a UserError says that they do not fit the student, or are not finite."""
    column = table[dataset.embedding_column]
    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise UserError(
            f"--embeddings {dataset.name}: {dataset.embedding_column!r} holds {kind}; expected lists of numbers."
        )
    sizes = set(pc.unique(pc.list_value_length(column)).to_pylist())
    if sizes - {student.dim}:
        widths = ", ".join("nothing" if size is None else str(size) for size in sorted(sizes, key=str))
        raise UserError(
            f"--embeddings {dataset.name}: its vectors have {widths} dimensions, the student's have {student.dim}. "
            "Expected vectors of a teacher with as many as --teacher."
        )
    if not len(table):
        return np.empty((0, student.dim), np.float32)
    if pc.list_flatten(column).null_count:
        raise UserError(f"--embeddings {dataset.name}: {dataset.embedding_column!r} has vectors with numbers missing.")
    vectors = vectors_of(table, dataset.embedding_column).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise UserError(f"--embeddings {dataset.name}: the vector of this text is not finite: {texts[bad[0]][:200]!r}.")
    if are_unit(vectors) != student.normalized:
        lengths = np.linalg.norm(vectors, axis=1)
        shown = f"from {lengths.min():.3g} to {lengths.max():.3g} long"
        expected = "of length 1" if student.normalized else "not normalised"
        raise UserError(
            f"--embeddings {dataset.name}: its vectors are {shown}, but those of the student are {expected}. Expected "
            "vectors made as --teacher makes its own."
        )
    return vectors
