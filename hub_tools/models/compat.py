"""Configurations that sentence-transformers 5 and 6 and transformers 4.57 and 5 all read alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hub_tools.core.files import read_json, write_json

# The names before sentence-transformers 6; both generations read them.
_OLD_MODULE = "sentence_transformers.models."
# The same file, as earlier versions named it after the architecture, in the order in which they are looked for.
SETTINGS_FILES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# In the order in which sentence-transformers joins them.
_POOLING = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
# Keys that sentence-transformers 6 writes and 5 does not know, with the values that mean nothing special.
_NEW_DEFAULTS: dict[str, Any] = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
    "module_input_name": "sentence_embedding",
}
_DENSE_DEFAULTS = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}


def write_compat_configs(folder: Path, *, max_seq_length: int | None) -> None:
    """Rewrite the configurations of a saved student, without changing what they say.

    A true `do_lower_case` is dropped: the student's tokenizer.json lower-cases by itself, and sentence-transformers 5
    would do so before it, by the rules of English. Without a `max_seq_length`, in tokens, the model has no limit.
    """
    modules = read_json(folder / "modules.json")
    for module in modules:
        module["type"] = _old_name(module["type"])
        _rewrite_module(folder / module["path"], module["type"])
    write_json(folder / "modules.json", modules)
    _write_settings(folder, max_seq_length)
    if (folder / "config.json").exists():
        write_json(folder / "config.json", with_old_rotary_keys(read_json(folder / "config.json")))


def _old_name(kind: str) -> str:
    return _OLD_MODULE + kind.rpartition(".")[2] if kind.startswith("sentence_transformers.") else kind


def _rewrite_module(folder: Path, kind: str) -> None:
    router = folder / "router_config.json"
    if router.exists():
        config = read_json(router)
        config["types"] = {name: _old_name(route_kind) for name, route_kind in config["types"].items()}
        write_json(router, config)
        for name, route_kind in config["types"].items():
            _rewrite_module(folder / name, route_kind)
    file = folder / "config.json"
    if kind == f"{_OLD_MODULE}Pooling" and file.exists():
        write_json(file, _old_pooling(read_json(file)))
    elif kind == f"{_OLD_MODULE}Dense" and file.exists():
        write_json(file, _without(read_json(file), _DENSE_DEFAULTS))


def _old_pooling(config: dict[str, Any]) -> dict[str, Any]:
    """Return pooling as sentence-transformers 5 writes it, where 5 has a name for it."""
    if "pooling_mode" not in config:
        return config
    mode = config["pooling_mode"]
    modes = [mode] if isinstance(mode, str) else list(mode)
    if modes != [name for name in _POOLING if name in modes]:
        return config  # joined in another order: only 6 knows that
    width = config.get("embedding_dimension", config.get("word_embedding_dimension"))
    switches = {key: name in modes for name, key in _POOLING.items()}
    return {"word_embedding_dimension": width, **switches, "include_prompt": config.get("include_prompt", True)}


def _write_settings(folder: Path, max_seq_length: int | None) -> None:
    files = [folder / name for name in SETTINGS_FILES]
    settings: dict[str, Any] | None = next((read_json(file) for file in files if file.exists()), None)
    if settings is None and max_seq_length is None:
        return
    for file in files[1:]:
        file.unlink(missing_ok=True)
    # sentence-transformers 6 keeps the length only with the tokenizer, 5 only here.
    length = {} if max_seq_length is None else {"max_seq_length": max_seq_length}
    write_json(files[0], {**_without(settings or {}, {**_NEW_DEFAULTS, "do_lower_case": True}), **length})


def _without(config: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in defaults or value != defaults[key]}


def with_old_rotary_keys(config: dict[str, Any]) -> dict[str, Any]:
    """Return a transformers config that has the bases of rotary positions under the old names too.

    transformers 5 writes `rope_parameters`, which 4.57 ignores: it would silently use the architecture's default.
    """
    rotary = config.get("rope_parameters")
    if not isinstance(rotary, dict):
        return config
    whole, local = rotary.get("full_attention", rotary), rotary.get("sliding_attention", {})
    old: dict[str, Any] = {"rope_theta": whole.get("rope_theta"), "rope_local_base_freq": local.get("rope_theta")}
    if config.get("model_type") == "modernbert":
        old = {"global_rope_theta": whole.get("rope_theta"), "local_rope_theta": local.get("rope_theta")}
    elif whole.get("rope_type", "default") != "default":
        old["rope_scaling"] = {key: value for key, value in whole.items() if key != "rope_theta"}
    return {**config, **{key: value for key, value in old.items() if value is not None}}
