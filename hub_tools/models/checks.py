"""Which teachers are refused, and why: before their weights are fetched, as far as their settings say it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Any

from hub_tools.core.errors import UserError
from hub_tools.models.loading import library_errors
from hub_tools.models.teacher import MODEL_SETTINGS, STATIC, Teacher, check_folder, read_settings

# Modules of sentence-transformers that have weights of their own.
_WITH_WEIGHTS = ("Transformer", "Dense", STATIC, "LayerNorm", "WeightedLayerPooling", "CNN", "LSTM")
# Those that need nothing but the output of the module before them.
_PLAIN = ("Pooling", "Dense", "Normalize", "LayerNorm", "Dropout")
_LIBRARY = "sentence_transformers."
_WITH_VOCABULARY = ("Transformer", STATIC, "WordEmbeddings", "BoW", "WordWeights", "CLIPModel")


def check_settings(teacher: Teacher) -> None:
    """Refuse what cannot be cloned, or runs code that nobody trusts.

    A UserError says that it is no sentence-transformers model with a fast tokenizer, more than one module has a
    vocabulary, or the first has none, its dtype makes it overflow, or it needs code not trusted or not in its folder.
    """
    if teacher.default_pooling is None:
        _check_file(teacher, "modules.json")
    if not teacher.modules_json:
        raise UserError(f"{teacher.path / 'modules.json'} lists no modules. Expected a Transformer or StaticEmbedding.")
    _check_prompts(teacher)
    _check_vocabulary(teacher)
    _check_dtype(teacher)
    check_tokenizer(teacher)
    _check_code(teacher)


def check_tokenizer(teacher: Teacher) -> None:
    """Refuse, by a UserError, a model whose first module has no tokenizer.json."""
    _check_file(teacher, (teacher.input_folder / "tokenizer.json").relative_to(teacher.path).as_posix())


def check_modules(teacher: Teacher) -> None:
    """Refuse, by a UserError, modules after the first that cannot be loaded, or do not fit to those before them."""
    import torch
    from sentence_transformers.util import import_from_string

    if teacher.default_pooling is not None:
        return
    given = torch.zeros(1, 2, teacher.hidden_size)
    features: Any = {"token_embeddings": given, "attention_mask": torch.ones(1, 2, dtype=torch.int64)}
    if teacher.input_type == STATIC:
        features = None  # how wide its vectors are is not in its settings
    for module in teacher.modules_json[1:]:
        kind, folder = module["type"].rpartition(".")[2], teacher.path / module["path"]
        if not module["type"].startswith(_LIBRARY):
            return
        read_settings(folder / "config.json")
        with library_errors(f"{folder} holds no {kind} that can be loaded"):
            module_class: Any = import_from_string(module["type"])
            loaded = module_class.load(str(teacher.path), subfolder=module["path"], local_files_only=True)
        if kind not in _PLAIN:
            features = None
        if features is not None:
            with library_errors(f"{folder} holds a {kind} that does not fit to the modules before it"), torch.no_grad():
                features = loaded.float().eval()(features)
    if features is not None and not isinstance(features.get("sentence_embedding"), torch.Tensor):
        raise UserError(
            f"The modules of {teacher.name} make no vector of a text. Expected a Pooling among them: fetch it again."
        )


def check_weights(teacher: Teacher, files: Collection[str]) -> None:
    """Refuse, by a UserError, a model with modules without safetensors in `files`, unless pickles are trusted."""
    folders = modules_without_safetensors(teacher, files)
    if folders and not teacher.policy.pickle:
        raise UserError(
            f"{teacher.name} has no safetensors weights in {', '.join(folders)}. Pickled weights (pytorch_model.bin) "
            "can run code when they are loaded: choose a revision with safetensors, or give --allow-pickle if you "
            "trust it."
        )


def modules_without_safetensors(teacher: Teacher, files: Collection[str]) -> list[str]:
    """Return the folders of the modules that need weights and have none as safetensors."""
    named = ("model.safetensors", "model.safetensors.index.json")  # what the libraries look for before pickles
    covered = {PurePosixPath(file).parent for file in files if PurePosixPath(file).name in named}
    folders = [folder for kind, folder in teacher.modules if kind in _WITH_WEIGHTS]
    return [folder or "." for folder in folders if PurePosixPath(folder) not in covered]


def _check_file(teacher: Teacher, name: str) -> None:
    if not (teacher.path / name).exists():
        raise UserError(
            f"{teacher.name} is no sentence-transformers model with a fast tokenizer: it has no {name}. Expected a "
            "folder or Hub id that SentenceTransformer(...) loads, saved with its tokenizer.json."
        )


def _check_prompts(teacher: Teacher) -> None:
    read_settings(teacher.input_folder / "generation_config.json")  # its ids are changed in the clone
    file = teacher.path / MODEL_SETTINGS
    default = read_settings(file).get("default_prompt_name")
    # sentence-transformers knows two names by itself.
    if default is not None and default not in (*teacher.prompts, "query", "document"):
        raise UserError(
            f"{file}: default_prompt_name is {str(default)[:50]!r}, which is none of its prompts "
            f"({', '.join(teacher.prompts) or 'there are none'}). Expected one of them, or null."
        )


def _check_vocabulary(teacher: Teacher) -> None:
    for kind, path in teacher.modules[1:]:
        if kind in _WITH_VOCABULARY:
            raise UserError(
                f"{teacher.name} has a second vocabulary ({kind} in {path or 'its folder'}); one tokenizer cannot "
                "stand for both. Expected one Transformer or StaticEmbedding, then modules without a vocabulary."
            )
    if teacher.input_type in ("Router", "Asym"):
        structure = read_settings(teacher.input_folder / "router_config.json").get("structure") or {}
        raise UserError(
            f"{teacher.name} is asymmetric: each of its routes ({', '.join(structure)}) has a model and a vocabulary "
            "of its own. Save the module of one route as a SentenceTransformer and take that as --teacher."
        )
    if teacher.input_type not in ("Transformer", STATIC):
        raise UserError(
            f"{teacher.name} begins with a {teacher.input_type}. Expected a Transformer or a StaticEmbedding, which "
            "read text through a fast tokenizer."
        )


def _check_dtype(teacher: Teacher) -> None:
    settings = teacher.settings
    is_fp16 = "float16" in (settings.get("dtype"), settings.get("torch_dtype"))
    # Its activations exceed 65,504, the largest number of fp16.
    if is_fp16 and str(settings.get("model_type", "")).startswith("gemma3"):
        raise UserError(
            f"{teacher.name} is a Gemma3 stored in fp16: its activations exceed what fp16 can hold, so its vectors "
            "become infinite. Take a revision in bf16 or fp32."
        )


def _check_code(teacher: Teacher) -> None:
    code, other_repo = _find_code(teacher), _find_other_repo(teacher)
    if other_repo and (code or teacher.policy.code):
        remedy = (
            f"Save a copy of the model with the *.py files of {other_repo} in it and without that name before the '--'"
            if code
            else "Leave out --trust-remote-code: transformers knows this model itself"
        )
        raise UserError(f"{teacher.name} takes its Python code from another repo, {other_repo}. {remedy}.")
    if code and not teacher.policy.code:
        raise UserError(
            f"{teacher.name} comes with Python code of its own ({code}). Read it, then give --trust-remote-code "
            "to run it, or choose another teacher."
        )


def _find_other_repo(teacher: Teacher) -> str | None:
    """Return another repo that code would come from: `org/repo--file.Class` where a class is named."""
    maps = [settings.get("auto_map") for settings in (teacher.settings, teacher.tokenizer_settings)]
    types = [module["type"] for module in teacher.modules_json]
    match = re.search(r"([\w.-]+/[\w.-]+?)--", json.dumps([maps, types]))
    return match[1] if match else None


def _find_code(teacher: Teacher) -> str | None:
    """Return what asks for code that is not in the installed libraries, or None."""
    for module in teacher.modules_json:
        if not module["type"].startswith(_LIBRARY):
            return f"modules.json: {module['type']}"
        router = teacher.path / module["path"] / "router_config.json"
        for name, kind in (read_settings(router).get("types") or {}).items():
            if not str(kind).startswith(_LIBRARY):
                return f"router_config.json: {kind}"
            check_folder(name, router)
    for _, folder in teacher.modules:
        config = read_settings(teacher.path / folder / "config.json")
        if kernel := re.search(
            r'attn_implementation": "([^"]*/[^"]*)"', json.dumps([config, teacher.sentence_settings])
        ):
            return f"attn_implementation: {kernel[1]}"
        # sentence-transformers would take another one for it, without a word.
        if not str(config.get("activation_function", "torch.")).startswith("torch."):
            return f"config.json: activation_function {config['activation_function']!r}"
        if config.get("auto_map"):
            from transformers import CONFIG_MAPPING

            # A config may name code that newer versions of transformers no longer need: those load without it.
            if config.get("model_type") not in CONFIG_MAPPING:
                return f"config.json: auto_map of {config.get('model_type')!r}"
    return None
