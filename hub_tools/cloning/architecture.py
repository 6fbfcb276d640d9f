"""What a teacher's architecture says about its vocabulary, found without loading its weights."""

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
    """Where the vocabulary is in a checkpoint.

    Attributes:
        rows: name of the tensor with the input embeddings.
        same: names of copies of it (tied output layers that were saved too).
        more: names of other tensors with a row (or a number) for each token, e.g. an untied output layer.
        factors: names of tensors that say which row, and how strongly, a token has (model2vec); they are folded in.
        padding: whether positions are counted from the id of the padding token.
        types: whether the model is given `token_type_ids`.
    """

    rows: str
    same: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    factors: tuple[str, ...] = ()
    padding: bool = False
    types: bool = True


def locate_vocab_tensors(teacher: Teacher, checkpoint: SafetensorsFiles) -> VocabTensors:
    """Find the tensors that follow the vocabulary.

    Args:
        teacher: its first module's files are read; code of its own runs only where it is trusted.
        checkpoint: the weights of that module.

    Raises:
        UserError: the model has no input embeddings, or they are not in the checkpoint.
    """
    stored = checkpoint.tensors
    if teacher.input_type == STATIC:
        rows = "embedding.weight" if "embedding.weight" in stored else "embeddings"
        if rows not in stored:
            raise UserError(f"{teacher.name} has no embedding.weight or embeddings in {checkpoint.files[0].name}.")
        factors = tuple(name for name in ("mapping", "weights") if name in stored and rows == "embeddings")
        return VocabTensors(rows=rows, factors=factors)
    import torch

    model = _skeleton(teacher, teacher.input_folder)
    embedding = model.get_input_embeddings()
    if not isinstance(embedding, torch.nn.Embedding):
        raise UserError(f"{teacher.name} is a {type(model).__name__} without an embedding of tokens: nothing to clone.")
    parameters = dict(model.named_parameters(remove_duplicate=False))
    own = [name for name, parameter in parameters.items() if parameter is embedding.weight]
    found = [name for name in stored if any(_is_same(name, wanted) for wanted in own)]
    if not found:
        raise UserError(
            f"{teacher.name} has no {own[0]} in {checkpoint.files[0].name}. Expected the weights of a "
            f"{type(model).__name__}, saved with its input embeddings."
        )
    size = stored[found[0]].shape[0]
    tables = {
        f"{name}.weight"
        for name, part in model.named_modules()
        if isinstance(part, torch.nn.Embedding) and part is not embedding and part.num_embeddings == size
    }
    others = [name for name, tensor in stored.items() if name not in found and tensor.shape[:1] == (size,)]
    inside = {name: next((p for p in parameters if _is_same(name, p)), None) for name in others}
    # What is no part of the model that makes the vectors, and has a row for each token, is an output layer.
    more = [name for name, parameter in inside.items() if parameter is None or parameter in tables]
    input_rows = checkpoint.read(found[0])
    same = [
        name for name in more if stored[name].shape == stored[found[0]].shape and _equal(checkpoint, name, input_rows)
    ]
    return VocabTensors(
        rows=found[0],
        same=(*found[1:], *same),
        more=tuple(name for name in more if name not in same),
        padding=any(
            isinstance(part, torch.nn.Embedding) and part is not embedding and part.padding_idx is not None
            for part in model.modules()
        ),
        types="token_type_ids" in inspect.signature(model.forward).parameters,
    )


def rows_built(teacher: Teacher, folder: Path) -> int:
    """How many rows the clone's input embeddings will have: some code rounds the size of a vocabulary up.

    Args:
        teacher: says what the code may do.
        folder: with the clone's configuration.
    """
    if teacher.input_type == STATIC:
        return 0
    return int(_skeleton(teacher, folder).get_input_embeddings().num_embeddings)


def _skeleton(teacher: Teacher, folder: Path) -> Any:
    """The model that a folder describes, without memory for its weights."""
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModel

    try:
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=teacher.policy.code)
        with init_empty_weights():
            build: Any = AutoModel.from_config
            return build(config, trust_remote_code=teacher.policy.code)
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError) as error:
        raise UserError(f"{teacher.name} is no model that transformers can build: {error}") from error


def _is_same(stored: str, wanted: str) -> bool:
    """Whether two names mean one tensor: a checkpoint may know it with or without the name of the whole before it."""
    return stored == wanted or stored.endswith("." + wanted) or wanted.endswith("." + stored)


def _equal(checkpoint: SafetensorsFiles, name: str, rows: Any) -> bool:
    import torch

    return torch.equal(checkpoint.read(name), rows)
