"""Which tensors of a checkpoint follow the vocabulary, found from the architecture without loading the weights."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hub_tools.cloning.safetensors_io import SafetensorsFiles
from hub_tools.core.errors import UserError
from hub_tools.models.loading import library_errors
from hub_tools.models.teacher import STATIC, Teacher

if TYPE_CHECKING:
    from torch import Tensor

# Settings that say how many layers a model has, and how large they are.
_COUNTS = ("num_hidden_layers", "num_layers", "n_layers", "n_layer")
_SIZES = ("vocab_size", "hidden_size", "intermediate_size", "dim", "hidden_dim", "d_model", "d_ff", "n_embd")


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
    check_sizes(teacher, shapes)
    model = build_on_meta(teacher, teacher.input_folder)
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
    _check_shapes(teacher, parameters, embedding_names, checkpoint)
    _check_names(teacher, parameters, shapes)
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
    rows = _read_rows(teacher, checkpoint, tied[0])
    copies = [name for name in others if shapes[name] == shape and torch.equal(checkpoint.read(name), rows)]
    return VocabTensors(
        embedding=tied[0],
        copies=(*tied[1:], *copies),
        others=tuple(name for name in others if name not in copies),
        counts_from_padding=any(part.padding_idx is not None for _, part in other_embeddings),
        has_token_types="token_type_ids" in inspect.signature(model.forward).parameters,
    )


def _static_tensors(teacher: Teacher, checkpoint: SafetensorsFiles) -> VocabTensors:
    name = next((name for name in ("embedding.weight", "embeddings") if name in checkpoint.shapes), None)
    if name is None:
        raise UserError(f"{teacher.name} has no embedding.weight or embeddings in {checkpoint.files[0].name}.")
    _read_rows(teacher, checkpoint, name)
    own = () if name == "embedding.weight" else ("mapping", "weights")
    factors = tuple(factor for factor in own if factor in checkpoint.shapes)
    return VocabTensors(embedding=name, factors=factors)


def _read_rows(teacher: Teacher, checkpoint: SafetensorsFiles, name: str) -> Tensor:
    """Return the embedding rows; a UserError says that they are no rows of numbers that can be averaged."""
    rows = checkpoint.read(name)
    if not rows.shape[1:] or rows.shape[2:] or 0 in rows.shape or not rows.is_floating_point():
        raise UserError(
            f"{teacher.name} stores {name} as {str(rows.dtype)[6:]} of the shape {tuple(rows.shape)}. Expected a row "
            "of floating-point numbers for each token: take a version of the model that is not quantized."
        )
    return rows


def check_sizes(teacher: Teacher, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a config.json whose sizes are beyond the weights of these shapes: to build it could take for ever."""
    numbers = sum(map(math.prod, shapes.values()))
    for key in (*_COUNTS, *_SIZES):
        value = teacher.text_settings.get(key)
        if isinstance(value, int) and value > (len(shapes) if key in _COUNTS else numbers):
            raise UserError(
                f"{teacher.name} has {numbers:,} numbers in {len(shapes):,} tensors, and its config.json says {key} "
                f"{value:,}. Expected files that belong together: fetch the model again."
            )


def _check_shapes(
    teacher: Teacher, parameters: Mapping[str, Tensor], embedding_names: list[str], checkpoint: SafetensorsFiles
) -> None:
    """Refuse tensors of another shape than the architecture that config.json names has."""
    shapes = checkpoint.shapes
    before = next(
        (stored.removesuffix(name) for name in embedding_names for stored in shapes if stored.endswith(name)), ""
    )
    for name, parameter in parameters.items():
        stored = shapes.get(before + name, tuple(parameter.shape))
        if stored != tuple(parameter.shape):
            raise UserError(
                f"{teacher.name} has the shape {stored} for {before + name}, and its config.json asks for "
                f"{tuple(parameter.shape)}. Expected files that belong together: fetch the model again."
            )


def _check_names(teacher: Teacher, parameters: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a damaged name of a tensor: transformers would fill the one that is missing then with random numbers."""
    stored_ends, ends = _ends(shapes), _ends(parameters)
    missing = [name for name in parameters if name not in stored_ends and not _ends([name]) & shapes.keys()]
    unknown = [name for name in shapes if name not in ends and not _ends([name]) & parameters.keys()]
    for stored, name in product(unknown, missing):
        differences = sum(a != b for a, b in zip(stored[-len(name) :], name, strict=False))
        if differences == 1 and shapes[stored] == tuple(parameters[name].shape):
            raise UserError(
                f"{teacher.name} has a tensor {stored!a} and none called {name}. Expected the weights that its "
                "config.json describes: fetch the model again."
            )


def _ends(names: Iterable[str]) -> set[str]:
    """Return names without those of the modules around them, from each point on."""
    return {name[place:] for name in names for place in (0, *(i + 1 for i, c in enumerate(name) if c == "."))}


def rows_built(teacher: Teacher, folder: Path) -> int:
    """Return how many rows the input embeddings of the clone in a folder need: some code rounds a size up."""
    if teacher.input_type == STATIC:
        return 0
    return int(build_on_meta(teacher, folder).get_input_embeddings().num_embeddings)


def build_on_meta(teacher: Teacher, folder: Path) -> Any:
    """Build the model that a folder describes, without memory for its weights; its code runs only where trusted."""
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModel

    code, build = teacher.policy.code, cast("Any", AutoModel).from_config
    try:
        with library_errors(f"{teacher.name} is no model that transformers can build"), init_empty_weights():
            config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=code)
            return build(config, trust_remote_code=code)
    except (RuntimeError, MemoryError) as error:  # nothing is held, so only an absurd size asks for this much
        raise UserError(f"{teacher.name} asks for more memory in its config.json than there is: {error}") from error


def _is_same(stored: str, parameter: str) -> bool:
    """Return whether two names mean one tensor: either may have the name of a surrounding module before it."""
    return stored == parameter or stored.endswith("." + parameter) or parameter.endswith("." + stored)
