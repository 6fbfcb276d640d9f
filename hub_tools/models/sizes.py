"""How large a teacher and its student are, found without loading or fetching weights; and those on disk."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from hub_tools.core.errors import UserError
from hub_tools.core.hub_errors import hub_errors
from hub_tools.models.loading import LoadPolicy
from hub_tools.models.resolve import weight_files
from hub_tools.models.teacher import STATIC, Teacher, read_teacher
from hub_tools.models.tokenizer import read_teacher_tokenizer
from hub_tools.results import VocabularySize

_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
# Tensors with the rows of a StaticEmbedding, as sentence-transformers and as model2vec store it.
_STATIC_ROWS = ("embedding.weight", "embeddings")
# The number of a layer in the name of one of its tensors.
_LAYER = re.compile(r"\.(\d+)\.")


def weight_bytes(folder: Path, policy: LoadPolicy) -> int:
    """Return the bytes of the weights of a model in a folder, as they are stored."""
    model = read_teacher(folder.name, folder, revision=None, identity="", policy=policy)
    return sum(weight_files(model).values())


@dataclass(frozen=True, kw_only=True)
class SizePlan:
    """What a teacher holds, and a student with another vocabulary: bytes of weights, and parameters."""

    teacher_bytes: int
    other_bytes: int  # of what does not follow the vocabulary
    token_bytes: int  # of one token in the student
    other_params: int
    token_params: int
    layers: int = 0  # 0 where they are not known
    layer_bytes: int = 0  # of one of them
    layer_params: int = 0

    def weight_bytes(self, vocab_size: int, layers: int | None = None) -> int:
        """Return the bytes of a student's weights, with so many of the teacher's layers or all.

        Each tensor of the first module with a row for each token gets other rows of the same dtype; everything else
        stays. Example: 30,000 tokens of 384 numbers in fp32 are 46 MB of a teacher of 90 MB. With 20,000 tokens the
        student has 90 - 10,000 x 384 x 4 bytes = 75 MB.
        """
        return self.other_bytes + vocab_size * self.token_bytes - self._missing(layers) * self.layer_bytes

    def params(self, vocab_size: int, layers: int | None = None) -> int:
        """Return the parameters of a student, with so many of the teacher's layers or all."""
        return self.other_params + vocab_size * self.token_params - self._missing(layers) * self.layer_params

    def _missing(self, layers: int | None) -> int:
        return 0 if layers is None else max(self.layers - layers, 0)


def with_model_sizes(
    sizes: list[VocabularySize], teacher: Teacher, layers: Sequence[int] = (), *, static: bool = False
) -> list[VocabularySize]:
    """Say how large the student would be with each vocabulary; nothing more is said of a teacher without weights.

    `layers` are as `--layers` asks for them, and a `static` student has rows of its vectors' length alone.
    """
    if not sizes:
        return []
    try:
        plan = static_plan(teacher) if static else plan_sizes(teacher)
    except UserError:  # a tokenizer alone is enough to make another one
        return sizes
    counts = [(size.vocab_size, count_layers(layers)) for size in sizes]
    return [
        replace(size, params=plan.params(*count), weight_bytes=plan.weight_bytes(*count))
        for size, count in zip(sizes, counts, strict=True)
    ]


def count_layers(layers: Sequence[int]) -> int | None:
    """Return how many layers `--layers` asks for, by a number or a list; None for all."""
    return layers[0] if len(layers) == 1 else len(layers) or None


def static_plan(teacher: Teacher) -> SizePlan:
    """Return what static students of a teacher would hold: rows in fp32, and nothing else."""
    length = teacher.dim or teacher.hidden_size
    teacher_bytes = sum(weight_files(teacher).values())
    return SizePlan(
        teacher_bytes=teacher_bytes, other_bytes=0, token_bytes=4 * length, other_params=0, token_params=length
    )


def plan_sizes(teacher: Teacher) -> SizePlan:
    """Return what a teacher holds and what students of it would.

    The headers of weights that are not on disk are read from the Hub. A UserError says that weights are damaged, or
    the Hub refused or cannot be reached.
    """
    files = weight_files(teacher)
    if not files:
        raise UserError(f"{teacher.name} has no weights. Expected a model with its weights.")
    teacher_bytes = sum(files.values())
    folder = PurePosixPath(teacher.modules[0][1])
    headers = {name: _read_header(teacher, name) for name in files if name.endswith(".safetensors")}
    tensors: dict[str, Any] = {}
    for name, header in headers.items():
        if PurePosixPath(name).parent == folder:
            tensors |= header
    if not tensors:
        return _plan_pickle(teacher, teacher_bytes)
    rows, per_token = _token_tensors(teacher, tensors)
    # What says which row, and how strongly, a token has (model2vec) is folded into the student's rows.
    folded = [tensors[name] for name in ("mapping", "weights") if name in tensors and teacher.input_type == STATIC]
    layers = {int(match[1]) for name in tensors if (match := _LAYER.search(name))}
    in_layers = [tensor for name, tensor in tensors.items() if _LAYER.search(name)]
    everything = [tensor for header in headers.values() for tensor in header.values()]
    return SizePlan(
        teacher_bytes=teacher_bytes,
        other_bytes=teacher_bytes - sum(map(_bytes, (*per_token, *folded))),
        token_bytes=sum(_bytes(tensor) // max(rows, 1) for tensor in per_token),
        other_params=sum(map(_params, everything)) - sum(map(_params, (*per_token, *folded))),
        token_params=sum(_params(tensor) // max(rows, 1) for tensor in per_token),
        layers=len(layers),
        layer_bytes=sum(map(_bytes, in_layers)) // max(len(layers), 1),
        layer_params=sum(map(_params, in_layers)) // max(len(layers), 1),
    )


def _token_tensors(teacher: Teacher, tensors: dict[str, Any]) -> tuple[int, list[Any]]:
    """Return how many rows the tensors have that follow the vocabulary, and these tensors."""
    if teacher.input_type == STATIC:
        name = next((name for name in _STATIC_ROWS if name in tensors), None)
        if name is None:
            raise UserError(f"{teacher.name} has no {' or '.join(_STATIC_ROWS)} in its safetensors.")
        return (*tensors[name].shape[:1], 1)[0], [tensors[name]]
    rows = int(teacher.text_settings.get("vocab_size") or 0)
    return rows, [tensor for tensor in tensors.values() if rows and tensor.shape[:1] == [rows]]


def _plan_pickle(teacher: Teacher, teacher_bytes: int) -> SizePlan:
    # Nothing but the settings says it, and they may not say what the file really holds.
    settings = teacher.text_settings
    rows = int(settings.get("vocab_size") or 0) or len(read_teacher_tokenizer(teacher).vocab)
    number_bytes = _BYTES.get(str(settings.get("dtype") or settings.get("torch_dtype")), 4)
    all_bytes = teacher_bytes // rows
    row_bytes = all_bytes if teacher.input_type == STATIC else min(teacher.hidden_size * number_bytes, all_bytes)
    other_bytes = teacher_bytes - rows * row_bytes
    return SizePlan(
        teacher_bytes=teacher_bytes,
        other_bytes=other_bytes,
        token_bytes=row_bytes,
        other_params=other_bytes // number_bytes,
        token_params=row_bytes // number_bytes,
    )


def _params(tensor: Any) -> int:
    """Return how many numbers a tensor has; those of whole numbers, such as positions, are no parameters."""
    return math.prod(tensor.shape) if "F" in tensor.dtype else 0


def _bytes(tensor: Any) -> int:
    start, end = tensor.data_offsets
    return int(end - start)


def _read_header(teacher: Teacher, name: str) -> dict[str, Any]:
    """Return the tensors that the header of a safetensors file names, from the disk or from the Hub."""
    from huggingface_hub import parse_local_safetensors_file_metadata, parse_safetensors_file_metadata
    from huggingface_hub.errors import SafetensorsParsingError

    try:
        if (teacher.path / name).exists():
            return parse_local_safetensors_file_metadata(teacher.path / name).tensors
        with hub_errors(f"teacher {teacher.name!r}"):
            return parse_safetensors_file_metadata(teacher.name, name, revision=teacher.revision).tensors
    except SafetensorsParsingError as error:
        raise UserError(f"{teacher.name}: {name} is damaged: expected safetensors. Fetch the model again.") from error
