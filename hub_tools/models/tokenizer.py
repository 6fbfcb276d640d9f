"""A model's tokenizer as the model uses it: tokenizer.json together with what the model's own settings change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from hub_tools.core.files import read_json
from hub_tools.tokenization.tokenizer_json import TokenizerSpec, read_model_vocab


def read_model_tokenizer(folder: Path) -> TokenizerSpec:
    """Read the tokenizer in the folder of a model's first module, as the model uses it.

    That is with the Lowercase that sentence-transformers puts before it where `do_lower_case` is set, and without added
    tokens that the model has no embedding row for.
    """
    tokenizer = TokenizerSpec.read(folder)
    lowercases = any(read_json(file).get("do_lower_case") for file in folder.glob("sentence_*_config.json"))
    spec = _with_lowercase(tokenizer.spec) if lowercases else tokenizer.spec
    config = folder / "config.json"
    rows = read_json(config).get("vocab_size") if config.exists() else None
    return replace(tokenizer, spec=spec if rows is None else _without_rowless_tokens(spec, rows))


def read_ready_tokenizer(folder: Path, model_folder: Path) -> TokenizerSpec:
    """Read a ready tokenizer as it is, or, where it is the tokenizer of the model that gets it, as the model uses it.

    Only `TOKENIZER_FILES` of its folder count, whatever else a shared folder holds.
    """
    ready = TokenizerSpec.read(folder)
    if ready.spec != TokenizerSpec.read(model_folder).spec:
        return ready
    return replace(ready, spec=read_model_tokenizer(model_folder).spec)


def _with_lowercase(spec: dict[str, Any]) -> dict[str, Any]:
    normalizer = spec["normalizer"]
    if _has_lowercase(normalizer):
        return spec
    steps = [] if normalizer is None else normalizer.get("normalizers", [normalizer])
    return {**spec, "normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *steps]}}


def _has_lowercase(normalizer: dict[str, Any] | None) -> bool:
    if normalizer is None:
        return False
    if normalizer["type"] == "Sequence":
        return any(map(_has_lowercase, normalizer["normalizers"]))
    return normalizer["type"] == "Lowercase" or bool(normalizer.get("lowercase"))


def _without_rowless_tokens(spec: dict[str, Any], rows: int) -> dict[str, Any]:
    """Leave out added tokens behind the last row: EmbeddingGemma inherits an image token, but no row for it."""
    vocab = read_model_vocab(spec["model"])
    return {**spec, "added_tokens": [t for t in spec["added_tokens"] if t["id"] < rows or t["content"] in vocab]}
