"""How large a teacher and its student are, found without loading or fetching weights; and those on disk."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from hub_tools.core.errors import UserError
from hub_tools.core.hub_errors import hub_errors
from hub_tools.models.loading import LoadPolicy
from hub_tools.models.resolve import weight_files
from hub_tools.models.teacher import STATIC, Teacher, read_teacher
from hub_tools.models.tokenizer import read_teacher_tokenizer

_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
# Tensors with the rows of a StaticEmbedding, as sentence-transformers and as model2vec store it.
_STATIC_ROWS = ("embedding.weight", "embeddings")


def weight_bytes(folder: Path, policy: LoadPolicy) -> int:
    """Return the bytes of the weights of a model in a folder, as they are stored."""
    model = read_teacher(folder.name, folder, revision=None, identity="", policy=policy)
    return sum(weight_files(model).values())


def plan_sizes(teacher: Teacher, vocab_size: int) -> tuple[int, int]:
    """Return the bytes of the teacher's weights and those of a student with another vocabulary.

    Each tensor of the first module with a row for each token gets other rows of the same dtype; everything else stays.
    Example: 30,000 tokens of 384 numbers in fp32 are 46 MB of a teacher of 90 MB. With 20,000 tokens the student has
    90 - 10,000 x 384 x 4 bytes = 75 MB.

    The headers of weights that are not on disk are read from the Hub. A UserError says that weights are damaged, or
    the Hub refused or cannot be reached.
    """
    files = weight_files(teacher)
    teacher_bytes = sum(files.values())
    folder = PurePosixPath(teacher.modules[0][1])
    tensors: dict[str, Any] = {}
    for name in files:
        if PurePosixPath(name).parent == folder and name.endswith(".safetensors"):
            tensors |= _read_header(teacher, name)
    vocabulary_bytes, row_bytes = _vocabulary_bytes(teacher, tensors, teacher_bytes)
    return teacher_bytes, teacher_bytes - vocabulary_bytes + vocab_size * row_bytes


def _vocabulary_bytes(teacher: Teacher, tensors: dict[str, Any], teacher_bytes: int) -> tuple[int, int]:
    """Return the bytes of the tensors that follow the vocabulary, and those of one token in the student."""
    settings = teacher.text_settings
    rows = int(settings.get("vocab_size") or 0)
    if not tensors:  # pickled: nothing but the settings says it, and they may not say what the file really holds
        rows = rows or len(read_teacher_tokenizer(teacher).vocab)
        all_bytes = teacher_bytes // rows
        row_bytes = teacher.hidden_size * _BYTES.get(str(settings.get("dtype") or settings.get("torch_dtype")), 4)
        row_bytes = all_bytes if teacher.input_type == STATIC else min(row_bytes, all_bytes)
        return rows * row_bytes, row_bytes
    if teacher.input_type == STATIC:
        name = next((name for name in _STATIC_ROWS if name in tensors), None)
        if name is None:
            raise UserError(f"{teacher.name} has no {' or '.join(_STATIC_ROWS)} in its safetensors.")
        # What says which row, and how strongly, a token has (model2vec) is folded into the student's rows.
        factors = [tensors[factor] for factor in ("mapping", "weights") if factor in tensors]
        return sum(map(_bytes, (tensors[name], *factors))), _bytes(tensors[name]) // max(1, *tensors[name].shape[:1])
    per_token = [tensor for tensor in tensors.values() if rows and tensor.shape[:1] == [rows]]
    return sum(map(_bytes, per_token)), sum(_bytes(tensor) // rows for tensor in per_token)


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
