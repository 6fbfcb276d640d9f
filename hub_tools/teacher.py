"""The teacher's files: fetched from the Hub or found in a folder, and what they say of the model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_tools.errors import UserError, explain_hub
from hub_tools.run_folder import digest, hash_file

# Only what sentence-transformers needs: no copies of the weights in other formats.
_WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_TOKENIZER = ["*.json", "*.jinja"]
_NOT_WANTED = ["onnx/*", "openvino/*"]


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A sentence-transformers model on disk.

    Attributes:
        name: what the user asked for, without the revision.
        path: the folder with its files.
        revision: the commit on the Hub; None for a local folder.
        fingerprint: changes whenever the files do.
    """

    name: str
    path: Path
    revision: str | None
    fingerprint: str

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer.json."""
        return self.path / "tokenizer.json"

    @property
    def max_seq_length(self) -> int:
        """Longest input in tokens, as sentence-transformers will use it."""
        limits = [
            self._read("sentence_bert_config.json").get("max_seq_length"),
            self._read("tokenizer_config.json").get("model_max_length"),
            self._read("config.json").get("max_position_embeddings"),
        ]
        return min([int(limit) for limit in limits if limit and limit < 10**9], default=512)

    @property
    def hidden_size(self) -> int:
        """Width of the embedding rows."""
        return int(self._read("config.json").get("hidden_size", 768))

    def _read(self, name: str) -> dict[str, Any]:
        file = self.path / name
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def find_teacher(name: str, *, tokenizer_only: bool = False) -> Teacher:
    """Find a teacher in a local folder, or download it from the Hub (or take it from the Hub's cache).

    Args:
        name: a folder, a Hub id, or `id@revision`.
        tokenizer_only: any model with a fast tokenizer will do, and its weights are not fetched.

    Raises:
        UserError: there is no such model, no access, no network, or it is no sentence-transformers model
            with a fast tokenizer.
    """
    path = Path(name).expanduser()
    teacher = _local(name, path) if path.is_dir() else _from_hub(name, _TOKENIZER if tokenizer_only else _WANTED)
    _check_files(teacher, ("tokenizer.json",) if tokenizer_only else ("modules.json", "tokenizer.json"))
    return teacher


def _local(name: str, path: Path) -> Teacher:
    files = sorted(f for f in path.rglob("*") if f.suffix in {".json", ".safetensors"})
    fingerprint = digest([[str(f.relative_to(path)), hash_file(f)] for f in files])
    return Teacher(name=name, path=path, revision=None, fingerprint=fingerprint)


def _from_hub(name: str, wanted: list[str]) -> Teacher:
    from huggingface_hub import snapshot_download

    repo, _, revision = name.partition("@")
    try:
        path = snapshot_download(repo, revision=revision or None, allow_patterns=wanted, ignore_patterns=_NOT_WANTED)
    except Exception as error:
        message = explain_hub(error, f"teacher {name!r}")
        if message is None:
            raise
        raise UserError(message) from error
    # The cache lays a snapshot in a folder named by its commit.
    commit = Path(path).name
    return Teacher(name=repo, path=Path(path), revision=commit, fingerprint=f"{repo}@{commit}")


def _check_files(teacher: Teacher, expected: tuple[str, ...]) -> None:
    for file in expected:
        if not (teacher.path / file).exists():
            raise UserError(
                f"{teacher.name} is no sentence-transformers model with a fast tokenizer: it has no {file}. Expected a "
                "folder or Hub id that SentenceTransformer(...) loads, saved with its tokenizer.json."
            )
