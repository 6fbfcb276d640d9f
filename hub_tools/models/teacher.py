"""What the small files of a sentence-transformers model say of it, read once."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from yaml import YAMLError

from hub_tools.core.errors import UsageError, UserError
from hub_tools.core.logging import log
from hub_tools.models.compat import SETTINGS_FILES
from hub_tools.models.loading import NO_LIMIT, SAFE, LoadPolicy

LICENSE = "license"  # folder of a clone with the teacher's license and notice files
LEGAL_FILES = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")
STATIC = "StaticEmbedding"
MODEL_SETTINGS = "config_sentence_transformers.json"  # those of the whole model
# What sentence-transformers makes of a model of transformers alone, which has no modules.json.
POOLING = "1_Pooling"
_PLAIN_MODULES: tuple[dict[str, Any], ...] = (
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": POOLING, "type": "sentence_transformers.models.Pooling"},
)
# Architectures that count positions from the id after the padding token's.
_POSITIONS_AFTER_PADDING = ("roberta", "camembert", "mpnet")
# Names of the width of a model in its configuration.
_WIDTHS = ("hidden_size", "dim", "d_model", "n_embd")

# What the values of settings that are read here have to be, float for numbers from 0 on; null is as good as none.
_KINDS: dict[str, type] = {
    **dict.fromkeys(("vocab_size", *_WIDTHS, "max_position_embeddings", "n_positions"), float),
    **dict.fromkeys(("max_seq_length", "model_max_length"), float),
    **dict.fromkeys(("out_features", "embedding_dimension", "word_embedding_dimension"), float),
    **dict.fromkeys(("text_config", "prompts", "structure", "types"), dict),
    **dict.fromkeys(("model_type", "tokenizer_class", "module_input_name", "module_output_name"), str),
    "architectures": list,
    "pad_token_id": int,
}

_Json = TypeVar("_Json", dict[str, Any], list[Any])


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A sentence-transformers model on disk; the settings are those of its first module."""

    name: str  # what the user asked for, without the revision
    path: Path
    revision: str | None  # the commit on the Hub; None for a local folder
    identity: str  # changes whenever a file of the model does
    policy: LoadPolicy = SAFE
    # The entries of modules.json, or those that sentence-transformers would write for a model that it did not save;
    # empty where only a tokenizer was asked for.
    modules_json: tuple[dict[str, Any], ...]
    settings: dict[str, Any]  # config.json
    tokenizer_settings: dict[str, Any]  # tokenizer_config.json
    sentence_settings: dict[str, Any]  # sentence_bert_config.json, under whatever name
    prompts: dict[str, str]  # what the model puts before texts, by name
    dim: int | None  # numbers in a vector, as the modules' configurations say; None where none of them does
    license: dict[str, str] | None  # and, where given, license_name and license_link, as the model's card names them

    @property
    def modules(self) -> list[tuple[str, str]]:
        """Class name and folder of each module, in their order."""
        return [(module["type"].rpartition(".")[2], module["path"]) for module in self.modules_json]

    @property
    def input_type(self) -> str:
        """Class name of the first module, which reads the text."""
        return self.modules[0][0] if self.modules_json else "Transformer"

    @property
    def input_folder(self) -> Path:
        """Folder of the first module, with its tokenizer."""
        return _input_folder(self.path, self.modules_json)

    @property
    def text_settings(self) -> dict[str, Any]:
        """The settings of the part of the model that reads text."""
        return self.settings.get("text_config") or self.settings

    @property
    def max_seq_length(self) -> int:
        """Longest input in tokens, as sentence-transformers uses it; 512 where nothing says it.

        Its own setting has precedence over the tokenizer's. Neither helps beyond the positions that the model has.
        """
        length = self.sentence_settings.get("max_seq_length") or self.tokenizer_settings.get("model_max_length")
        return min((int(limit) for limit in (length, self.positions) if limit and limit < NO_LIMIT), default=512)

    @property
    def positions(self) -> int | None:
        """Positions that the model has for tokens, beyond which nothing helps; None where nothing says it."""
        config = self.text_settings
        positions = config.get("max_position_embeddings") or config.get("n_positions")
        if positions and any(kind in str(config.get("model_type")) for kind in _POSITIONS_AFTER_PADDING):
            return int(positions) - int(config.get("pad_token_id") or 1) - 1
        return int(positions) if positions else None

    def reads(self, asked: int | None) -> int:
        """Return how many tokens of a text it reads: as many as are asked for, or as its own settings say.

        Raises:
            UsageError: it has no positions for so many.
        """
        if asked and self.positions and asked > self.positions:
            raise UsageError(
                f"--max-tokens {asked}: {self.name} has positions for {self.positions:,} tokens. Expected no more."
            )
        return asked or self.max_seq_length

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states, as config.json says."""
        return int(next((self.text_settings[name] for name in _WIDTHS if self.text_settings.get(name)), 768))

    @property
    def default_pooling(self) -> dict[str, Any] | None:
        """The pooling that sentence-transformers chooses for a model that it did not save; None for one that it did."""
        if not self.modules_json or (self.path / "modules.json").exists():
            return None
        is_causal = str(next(iter(self.settings.get("architectures") or []), "")).endswith("ForCausalLM")
        mode = "lasttoken" if is_causal and self.settings.get("is_causal", True) else "mean"
        return {"embedding_dimension": self.hidden_size, "pooling_mode": mode, "include_prompt": True}

    @property
    def legal_files(self) -> list[Path]:
        """License and notice files beside the model."""
        return sorted(file for kind in LEGAL_FILES for file in self.path.glob(kind) if file.is_file())


def read_teacher(name: str, path: Path, *, revision: str | None, identity: str, policy: LoadPolicy) -> Teacher:
    """Read a model's small files; a UserError says that one is damaged, or modules.json names a folder outside."""
    modules = _read_modules(path)
    folder = _input_folder(path, modules)
    return Teacher(
        name=name,
        path=path,
        revision=revision,
        identity=identity,
        policy=policy,
        modules_json=modules,
        settings=read_settings(folder / "config.json"),
        tokenizer_settings=read_settings(folder / "tokenizer_config.json"),
        sentence_settings=next(filter(None, (read_settings(folder / file) for file in SETTINGS_FILES)), {}),
        prompts=_read_prompts(path / MODEL_SETTINGS),
        dim=_read_dim(path, modules),
        license=_read_license(name, path / "README.md"),
    )


def read_settings(file: Path) -> dict[str, Any]:
    """Read a JSON object, empty where there is no such file.

    A UserError says that the file holds something else, or a setting that is read here is not what it has to be.
    """
    settings = _read_json(file, dict)
    _check_kinds(file, settings)
    _check_kinds(file, settings.get("text_config") or {})
    return settings


def _check_kinds(file: Path, settings: dict[str, Any]) -> None:
    for key, kind in _KINDS.items():
        value = settings.get(key)
        # Tokenizers that know no limit say 1e30, which JSON may hold as a float.
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
        if value is not None and not (is_number if kind is float else isinstance(value, kind)):
            expected = "a number from 0 on" if kind is float else f"a JSON {kind.__name__}"
            raise UserError(f"{file}: {key} is {str(value)[:50]!r}, expected {expected}. Fetch the model again.")


def _read_modules(path: Path) -> tuple[dict[str, Any], ...]:
    if not (path / "modules.json").exists() and read_settings(path / "config.json").get("model_type"):
        return _PLAIN_MODULES
    modules = _read_json(path / "modules.json", list)
    keys = ("name", "path", "type")
    if not all(
        isinstance(module, dict) and all(isinstance(module.get(key), str) for key in keys) for module in modules
    ):
        raise UserError(f"{path / 'modules.json'} is damaged: expected a name, a path and a type for each module.")
    for module in modules:
        check_folder(module["path"], path / "modules.json")
    return tuple(modules)


def check_folder(folder: str, file: Path) -> None:
    """Refuse, by a UserError, a folder outside the model that a file names: files are copied to where it says."""
    if folder.startswith("/") or ".." in folder.split("/") or "\\" in folder or ":" in folder or "\0" in folder:
        raise UserError(
            f"{file} names a folder outside the model, {folder!r}. Expected folders inside it, such as 1_Pooling: do "
            "not use this model."
        )


def _input_folder(path: Path, modules: tuple[dict[str, Any], ...]) -> Path:
    return path / modules[0]["path"] if modules else path


def _read_prompts(file: Path) -> dict[str, str]:
    prompts = read_settings(file).get("prompts") or {}
    if not all(isinstance(prompt, str | None) for prompt in prompts.values()):
        raise UserError(f"{file}: prompts are not all text. Expected the text of each prompt by its name.")
    return {name: prompt or "" for name, prompt in prompts.items()}


def _read_dim(path: Path, modules: tuple[dict[str, Any], ...]) -> int | None:
    """Return the size that the last module with a size gives its vectors."""
    for folder in reversed([module["path"] for module in modules if module["path"]]):
        config = read_settings(path / folder / "config.json")
        for key in ("out_features", "embedding_dimension", "word_embedding_dimension"):
            if config.get(key):
                return int(config[key])
    return None


def _read_license(name: str, card: Path) -> dict[str, str] | None:
    from huggingface_hub import metadata_load

    try:
        metadata = (metadata_load(card) if card.exists() else None) or {}
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError, YAMLError):  # YAML knows many faults
        log.warning("The card of %s has no readable metadata: its license is not known.", name)
        return None
    keys = ("license", "license_name", "license_link")
    return {key: metadata[key] for key in keys if isinstance(metadata.get(key), str)} or None


def _read_json(file: Path, kind: type[_Json]) -> _Json:
    try:
        content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else kind()
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is no readable JSON ({error}). Fetch the model again.") from error
    if not isinstance(content, kind):
        raise UserError(f"{file} is damaged: expected a JSON {kind.__name__}. Fetch the model again.")
    return content
