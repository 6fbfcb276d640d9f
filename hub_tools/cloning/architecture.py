"""Which tensors of a checkpoint follow the vocabulary, found from the architecture without loading the weights."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_tools.cloning.safetensors_io import SafetensorsFiles
from hub_tools.core.errors import UserError
from hub_tools.models.teacher import STATIC, Teacher


@dataclass(frozen=True, kw_only=True)
class VocabTensors:
    """Names of the tensors of a checkpoint that follow the vocabulary, and what the model does with ids."""

    embedding: str
    copies: tuple[str, ...] = ()  # copies of it (tied output layers that were saved too)
    others: tuple[str, ...] = ()  # with a row (or a number) for each token, e.g. an untied output layer
    factors: tuple[str, ...] = ()  # which row, and how strongly, a token has (model2vec); they are folded in
    counts_from_padding: bool = False  # whether positions are counted from the id of the padding token
    has_token_types: bool = True  # whether the model reads `token_type_ids`


def locate_vocab_tensors(teacher: Teacher, checkpoint: SafetensorsFiles) -> VocabTensors:
    """Find the tensors that follow the vocabulary in the checkpoint of a teacher's first module.

    Raises:
        UserError: the model has no input embeddings, or they are not in the checkpoint.
    """
    if teacher.input_type == STATIC:
        return _static_tensors(teacher, checkpoint)
    import torch

    shapes = checkpoint.shapes
    model = _build_on_meta(teacher, teacher.input_folder)
    embedding = model.get_input_embeddings()
    if not isinstance(embedding, torch.nn.Embedding):
        raise UserError(f"{teacher.name} is a {type(model).__name__} without an embedding of tokens: nothing to clone.")
    parameters = dict(model.named_parameters(remove_duplicate=False))
    embedding_names = [name for name, parameter in parameters.items() if parameter is embedding.weight]
    tied = [name for name in shapes if any(_is_same(name, parameter) for parameter in embedding_names)]
    if not tied:
        raise UserError(
            f"{teacher.name} has no {embedding_names[0]} in {checkpoint.files[0].name}. Expected the weights of a "
            f"{type(model).__name__}, saved with its input embeddings."
        )
    shape = shapes[tied[0]]
    other_embeddings = [
        (name, part)
        for name, part in model.named_modules()
        if isinstance(part, torch.nn.Embedding) and part is not embedding
    ]
    tables = {f"{name}.weight" for name, part in other_embeddings if part.num_embeddings == shape[0]}
    same_size = [name for name in shapes if name not in tied and shapes[name][:1] == shape[:1]]
    parameter_of = {name: next((p for p in parameters if _is_same(name, p)), None) for name in same_size}
    # What is no part of the model that makes the vectors, and has a row for each token, is an output layer.
    others = [name for name, parameter in parameter_of.items() if parameter is None or parameter in tables]
    rows = checkpoint.read(tied[0])
    copies = [name for name in others if shapes[name] == shape and torch.equal(checkpoint.read(name), rows)]
    return VocabTensors(
        embedding=tied[0],
        copies=(*tied[1:], *copies),
        others=tuple(name for name in others if name not in copies),
        counts_from_padding=any(part.padding_idx is not None for _, part in other_embeddings),
        has_token_types="token_type_ids" in inspect.signature(model.forward).parameters,
    )


def _static_tensors(teacher: Teacher, checkpoint: SafetensorsFiles) -> VocabTensors:
    if "embedding.weight" in checkpoint.shapes:
        return VocabTensors(embedding="embedding.weight")
    if "embeddings" not in checkpoint.shapes:
        raise UserError(f"{teacher.name} has no embedding.weight or embeddings in {checkpoint.files[0].name}.")
    factors = tuple(factor for factor in ("mapping", "weights") if factor in checkpoint.shapes)
    return VocabTensors(embedding="embeddings", factors=factors)


def rows_built(teacher: Teacher, folder: Path) -> int:
    """Return how many rows the input embeddings of the clone in a folder need: some code rounds a size up."""
    if teacher.input_type == STATIC:
        return 0
    return int(_build_on_meta(teacher, folder).get_input_embeddings().num_embeddings)


def _build_on_meta(teacher: Teacher, folder: Path) -> Any:
    """Build the model that a folder describes, without memory for its weights; its code runs only where trusted."""
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModel

    try:
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=teacher.policy.code)
        with init_empty_weights():
            build: Any = AutoModel.from_config
            return build(config, trust_remote_code=teacher.policy.code)
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError) as error:
        raise UserError(f"{teacher.name} is no model that transformers can build: {error}") from error


def _is_same(stored: str, parameter: str) -> bool:
    """Return whether two names mean one tensor: either may have the name of a surrounding module before it."""
    return stored == parameter or stored.endswith("." + parameter) or parameter.endswith("." + stored)
