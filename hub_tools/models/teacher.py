"""The teacher's files: fetched from the Hub or found in a folder, and what they say of the model."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from yaml import YAMLError

from hub_tools.core.errors import UserError
from hub_tools.core.files import digest, hash_file
from hub_tools.core.hub_errors import explain_hub
from hub_tools.core.logging import log
from hub_tools.models.loading import SAFE, LoadPolicy
from hub_tools.tokenization.tokenizer_json import TOKENIZER_FILES

# Only what sentence-transformers and the cards need: no copies of the weights in other formats.
LEGAL_FILES = ["LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*"]
_SETTINGS = ["*.json", "*.txt", "*.model", "*.jinja", "README.md", *LEGAL_FILES]
_TOKENIZER = ["*.json", "*.jinja", "README.md", *LEGAL_FILES]
_WEIGHTS, _PICKLE, _CODE = ["*.safetensors"], ["*pytorch_model*.bin"], ["*.py"]
# Consolidated files are the same weights once more, checkpoints are older ones.
_NOT_WANTED = ["onnx/*", "openvino/*", "consolidated*.safetensors", "checkpoint-*/*"]
# What sentence-transformers makes of a model of transformers alone, which has no modules.json.
POOLING = "1_Pooling"
_PLAIN_MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": POOLING, "type": "sentence_transformers.models.Pooling"},
]
# Modules of sentence-transformers that have weights of their own.
_WITH_WEIGHTS = ("Transformer", "Dense", "StaticEmbedding", "LayerNorm", "WeightedLayerPooling", "CNN", "LSTM")
STATIC = "StaticEmbedding"
# Architectures that count positions from the id after the padding token's.
_POSITIONS_AFTER_PADDING = ("roberta", "camembert", "mpnet")
# Names of the width of a model in its configuration.
_WIDTHS = ("hidden_size", "dim", "d_model", "n_embd")
_WITH_VOCABULARY = ("Transformer", STATIC, "WordEmbeddings", "BoW", "WordWeights", "CLIPModel")
# Overflows in fp16 by construction: its activations exceed 65,504.
_NO_FP16 = "gemma3"

_Json = TypeVar("_Json", dict[str, Any], list[Any])


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A sentence-transformers model on disk.

    Attributes:
        name: what the user asked for, without the revision.
        path: the folder with its files.
        revision: the commit on the Hub; None for a local folder.
        fingerprint: changes whenever the files do.
        policy: what its files may do.
    """

    name: str
    path: Path
    revision: str | None
    fingerprint: str
    policy: LoadPolicy = SAFE

    @property
    def module_list(self) -> list[dict[str, Any]]:
        """What modules.json holds, or would hold if sentence-transformers had saved the model."""
        return [dict(module) for module in _modules(self.path)]

    @property
    def modules(self) -> list[tuple[str, str]]:
        """Class name and folder of each module, in their order; none where only a tokenizer was asked for."""
        return [(m["type"].rpartition(".")[2], m["path"]) for m in _modules(self.path)]

    @property
    def default_pooling(self) -> dict[str, Any] | None:
        """The pooling of a model that brings none, as sentence-transformers chooses it; None for one that does."""
        if not _is_plain(self.path):
            return None
        config = self.settings
        is_causal = str(next(iter(config.get("architectures") or []), "")).endswith("ForCausalLM")
        mode = "lasttoken" if is_causal and config.get("is_causal", True) else "mean"
        return {"embedding_dimension": self.hidden_size, "pooling_mode": mode, "include_prompt": True}

    @property
    def input_type(self) -> str:
        """Class name of the first module, which reads the text."""
        return self.modules[0][0] if self.modules else "Transformer"

    @property
    def input_folder(self) -> Path:
        """Folder of the first module, with its tokenizer."""
        return self.path / self.modules[0][1] if self.modules else self.path

    @property
    def settings(self) -> dict[str, Any]:
        """The config.json of the first module."""
        return self.read("config.json")

    @property
    def max_seq_length(self) -> int:
        """Longest input in tokens, as sentence-transformers will use it; 512 where nothing says it."""
        names = [f.name for f in sorted(self.input_folder.glob("sentence_*_config.json"))]
        limits = [
            *(self.read(name).get("max_seq_length") for name in names),
            self.read("tokenizer_config.json").get("model_max_length"),
            self._positions,
        ]
        return min([int(limit) for limit in limits if limit and limit < 10**9], default=512)

    @property
    def _positions(self) -> int | None:
        config = self.settings
        config = config.get("text_config") or config
        positions = config.get("max_position_embeddings") or config.get("n_positions")
        if positions and any(kind in str(config.get("model_type")) for kind in _POSITIONS_AFTER_PADDING):
            return int(positions) - int(config.get("pad_token_id") or 1) - 1
        return positions

    @property
    def hidden_size(self) -> int:
        """Width of the embedding rows."""
        config = self.settings
        config = config.get("text_config") or config
        return int(next((config[name] for name in _WIDTHS if config.get(name)), 768))

    @property
    def license(self) -> dict[str, str] | None:
        """The license that the teacher's card names: license and, where given, license_name and license_link."""
        from huggingface_hub import metadata_load

        card = self.path / "README.md"
        try:
            metadata = (metadata_load(card) if card.exists() else None) or {}
        except (ValueError, UnicodeDecodeError, YAMLError):
            log.warning("The card of %s has no readable metadata: its license is not known.", self.name)
            return None
        found = {key: metadata.get(key) for key in ("license", "license_name", "license_link")}
        return {key: value for key, value in found.items() if isinstance(value, str)} or None

    @property
    def legal_files(self) -> list[Path]:
        """License and notice files that lie beside the model."""
        return sorted(file for pattern in LEGAL_FILES for file in self.path.glob(pattern) if file.is_file())

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the first module; empty if it is not there."""
        return _read_json(self.input_folder / name, dict)


def find_teacher(name: str, *, policy: LoadPolicy = SAFE, tokenizer_only: bool = False) -> Teacher:
    """Find a teacher in a local folder, or download it from the Hub (or take it from the Hub's cache).

    Args:
        name: a folder, a Hub id, or `id@revision`.
        policy: what its files may do.
        tokenizer_only: any model with a fast tokenizer will do, and its weights are not fetched.

    Raises:
        UserError: there is no such model, no access, no network, it is no sentence-transformers model
            with a fast tokenizer, or it needs more trust than it was given.
    """
    path = Path(name).expanduser()
    is_local = path.is_dir()
    # The weights come last: what is refused for its settings or its code costs nobody gigabytes.
    settings = _TOKENIZER if tokenizer_only else [*_SETTINGS, *(_CODE if policy.code else [])]
    teacher = _local(name, path, policy) if is_local else _from_hub(name, policy, settings)
    if tokenizer_only:
        _check_files(teacher, teacher.input_folder / "tokenizer.json")
        return teacher
    pooling = teacher.default_pooling
    if pooling is None:
        _check_files(teacher, teacher.path / "modules.json")
    else:
        log.warning(
            "%s was not saved by sentence-transformers: its vectors are made by %s pooling, as SentenceTransformer "
            "does then. A model that was never trained for sentences makes a poor teacher.",
            teacher.name,
            pooling["pooling_mode"],
        )
    _check_clonable(teacher)
    _check_files(teacher, teacher.input_folder / "tokenizer.json")
    _check_code(teacher)
    if not is_local:
        _fetch_weights(teacher, settings)
    _check_pickle(teacher)
    return teacher


def _check_clonable(teacher: Teacher) -> None:
    """Refuse what cannot be cloned, with the reason.

    Raises:
        UserError: more than one module has a vocabulary, the first has none that a tokenizer gives, or the weights are
            in an arithmetic in which the model overflows.
    """
    for kind, path in teacher.modules[1:]:
        if kind in _WITH_VOCABULARY:
            raise UserError(
                f"{teacher.name} has a second vocabulary ({kind} in {path or 'its folder'}); one tokenizer cannot "
                "stand for both. Expected one Transformer or StaticEmbedding, then modules without a vocabulary."
            )
    if teacher.input_type in ("Router", "Asym"):
        routes = ", ".join(teacher.read("router_config.json").get("structure", {}))
        raise UserError(
            f"{teacher.name} is asymmetric: each of its routes ({routes}) has a model and a vocabulary of its own. "
            "Save the module of one route as a SentenceTransformer and take that as --teacher."
        )
    if teacher.input_type not in ("Transformer", STATIC):
        raise UserError(
            f"{teacher.name} begins with a {teacher.input_type}. Expected a Transformer or a StaticEmbedding, which "
            "read text through a fast tokenizer."
        )
    config = teacher.settings
    if str(config.get("model_type", "")).startswith(_NO_FP16) and "float16" in (
        config.get("dtype"),
        config.get("torch_dtype"),
    ):
        raise UserError(
            f"{teacher.name} is a Gemma3 stored in fp16: its activations exceed what fp16 can hold, so its vectors "
            "become infinite. Take a revision in bf16 or fp32."
        )


def _local(name: str, path: Path, policy: LoadPolicy) -> Teacher:
    suffixes = {".json", ".safetensors", *([".bin"] if policy.pickle else []), *([".py"] if policy.code else [])}
    files = sorted(f for f in path.rglob("*") if f.suffix in suffixes)
    fingerprint = digest([[str(f.relative_to(path)), hash_file(f)] for f in files])
    return Teacher(name=name, path=path, revision=None, fingerprint=fingerprint, policy=policy)


def _from_hub(name: str, policy: LoadPolicy, wanted: list[str]) -> Teacher:
    repo, path = name.partition("@")[0], fetch(name, "teacher", wanted)
    # The cache lays a snapshot in a folder named by its commit.
    return Teacher(name=repo, path=path, revision=path.name, fingerprint=f"{repo}@{path.name}", policy=policy)


def _fetch_weights(teacher: Teacher, settings: list[str]) -> None:
    commit = f"{teacher.name}@{teacher.revision}"
    fetch(commit, "teacher", [*settings, *_WEIGHTS])
    if teacher.policy.pickle and _without_safetensors(teacher.path):
        fetch(commit, "teacher", [*settings, *_WEIGHTS, *_PICKLE])


def fetch(name: str, what: str, wanted: list[str]) -> Path:
    """Files of a model on the Hub, or of the Hub's cache.

    Args:
        name: a Hub id, or `id@revision`.
        what: what the user calls it.
        wanted: patterns of the files.

    Returns:
        The folder of the snapshot, named by its commit.

    Raises:
        UserError: the Hub refused, or cannot be reached.
    """
    from huggingface_hub import snapshot_download

    repo, _, revision = name.partition("@")
    try:
        return Path(
            snapshot_download(repo, revision=revision or None, allow_patterns=wanted, ignore_patterns=_NOT_WANTED)
        )
    except Exception as error:
        message = explain_hub(error, f"{what} {name!r}")
        if message is None:
            raise
        raise UserError(message) from error


def _check_files(teacher: Teacher, *expected: Path) -> None:
    for file in expected:
        if not file.exists():
            raise UserError(
                f"{teacher.name} is no sentence-transformers model with a fast tokenizer: it has no "
                f"{file.relative_to(teacher.path)}. Expected a folder or Hub id that SentenceTransformer(...) loads, "
                "saved with its tokenizer.json."
            )


def _without_safetensors(path: Path) -> list[str]:
    """Folders of the modules that need weights and have none as safetensors."""
    folders = [m["path"] for m in _modules(path) if m["type"].rpartition(".")[2] in _WITH_WEIGHTS]
    return [folder or "." for folder in folders if not any((path / folder).glob("*.safetensors"))]


def _is_plain(path: Path) -> bool:
    """Whether a folder holds a model of transformers that sentence-transformers did not save."""
    return not (path / "modules.json").exists() and bool(_read_json(path / "config.json", dict).get("model_type"))


def _modules(path: Path) -> list[dict[str, Any]]:
    """What modules.json lists, each with its path and type."""
    if _is_plain(path):
        return _PLAIN_MODULES
    modules = _read_json(path / "modules.json", list)
    if not all(
        isinstance(m, dict) and isinstance(m.get("path"), str) and isinstance(m.get("type"), str) for m in modules
    ):
        raise UserError(f"{path / 'modules.json'} is damaged: expected a path and a type for each module.")
    # Files are copied to where these paths say.
    outside = next((m["path"] for m in modules if _leads_outside(m["path"])), None)
    if outside is not None:
        raise UserError(
            f"{path / 'modules.json'} names a folder outside the model, {outside!r}. Expected folders inside it, such "
            "as 1_Pooling: do not use this model."
        )
    return modules


def _leads_outside(path: str) -> bool:
    return path.startswith("/") or ".." in path.split("/") or "\\" in path or ":" in path


def _read_json(file: Path, kind: type[_Json]) -> _Json:
    """A JSON file of the model, or nothing where there is no such file.

    Raises:
        UserError: it holds something else.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else kind()
    except ValueError as error:
        raise UserError(f"{file} is no readable JSON ({error}). Fetch the model again.") from error
    if not isinstance(content, kind):
        raise UserError(f"{file} is damaged: expected a JSON {kind.__name__}. Fetch the model again.")
    return content


def _check_pickle(teacher: Teacher) -> None:
    """Refuse weights that could run code when they are loaded."""
    bare = _without_safetensors(teacher.path)
    if bare and not teacher.policy.pickle:
        raise UserError(
            f"{teacher.name} has no safetensors weights in {', '.join(bare)}. Pickled weights (pytorch_model.bin) can "
            "run code when they are loaded: choose a revision with safetensors, or give --allow-pickle if you trust it."
        )


def _check_code(teacher: Teacher) -> None:
    """Refuse Python code that is not trusted, or not there, before any work."""
    foreign, elsewhere = _foreign_code(teacher.path), _code_elsewhere(teacher)
    if elsewhere and (foreign or teacher.policy.code):
        mend = (
            f"Save a copy of the model with the *.py files of {elsewhere} in it and without that name before the '--'"
            if foreign
            else "Leave out --trust-remote-code: transformers knows this model itself"
        )
        raise UserError(f"{teacher.name} takes its Python code from another repo, {elsewhere}. {mend}.")
    if foreign and not teacher.policy.code:
        raise UserError(
            f"{teacher.name} comes with Python code of its own ({foreign}). Read it, then give --trust-remote-code "
            "to run it, or choose another teacher."
        )


def _code_elsewhere(teacher: Teacher) -> str | None:
    """Another repo that code would come from: `org/repo--file.Class` where a class is named."""
    named = [teacher.read(name).get("auto_map") for name in ("config.json", "tokenizer_config.json")]
    match = re.search(r"([\w.-]+/[\w.-]+?)--", json.dumps([named, [m["type"] for m in _modules(teacher.path)]]))
    return match[1] if match else None


def _foreign_code(path: Path) -> str | None:
    """What asks for code that is not in the installed libraries, or None."""
    modules = _modules(path)
    foreign = [m["type"] for m in modules if not m["type"].startswith("sentence_transformers.")]
    if foreign:
        return f"modules.json: {foreign[0]}"
    configs = [_read_json(path / m["path"] / "config.json", dict) for m in modules]
    config = next((config for config in configs if config.get("auto_map")), None)
    if config is None:
        return None
    from transformers import CONFIG_MAPPING

    # A config may name code that newer versions of transformers no longer need: those load without it.
    known = config.get("model_type") in CONFIG_MAPPING
    return None if known else f"config.json: auto_map of {config.get('model_type')!r}"


def find_tokenizer(name: str) -> tuple[Path, str | None]:
    """Folder of a ready tokenizer, a local one or fetched from the Hub (`id` or `id@revision`), and its commit there.

    Raises:
        UserError: there is none, or the Hub refused.
    """
    path, commit = Path(name).expanduser(), None
    if not path.is_dir():
        path = fetch(name, "tokenizer", list(TOKENIZER_FILES))
        commit = path.name
    if not (path / "tokenizer.json").exists():
        raise UserError(f"--tokenizer {name} has no tokenizer.json. Expected a folder or Hub id with a fast tokenizer.")
    return path, commit
