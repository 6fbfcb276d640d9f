"""Stage `clone`: the teacher with another vocabulary. Every weight but the token embeddings is kept exactly.

The teacher is not loaded: its files are copied, and in the copy the tensors that have a row for each token, the
tokenizer, and the ids and sizes that the configurations name are replaced.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.cloning.architecture import VocabTensors, check_sizes, locate_vocab_tensors, rows_built
from hub_tools.cloning.context import InitContext
from hub_tools.cloning.init import init_embeddings
from hub_tools.cloning.layers import find_stack
from hub_tools.cloning.mean import subword_mean
from hub_tools.cloning.safetensors_io import (
    INDEX,
    WEIGHTS,
    AnyRows,
    LazyEmbedding,
    SafetensorsFiles,
    read_pickled,
    unpickle,
)
from hub_tools.config_clone import Init
from hub_tools.core.errors import UserError
from hub_tools.core.files import read_json, write_json
from hub_tools.core.hardware import Hardware
from hub_tools.core.logging import log
from hub_tools.corpus.build import Corpus
from hub_tools.models.checks import check_modules
from hub_tools.models.compat import write_compat_configs
from hub_tools.models.loading import library_errors
from hub_tools.models.teacher import MODEL_SETTINGS, POOLING, STATIC, Teacher
from hub_tools.models.tokenizer import read_teacher_tokenizer
from hub_tools.results import CloneResult
from hub_tools.tokenization.special_tokens import token_for
from hub_tools.tokenization.token_map import Match, map_tokens
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

# Files of the teacher's tokenizer, which the student's replace.
_TOKENIZER = ("tokenizer", "vocab.json", "special_tokens_map", "added_tokens", "merges")
_IDS = ("_token_id", "_token_index", "_token_ids")
_SCRATCH = ".scratch"
_CPU = Hardware(device="cpu", precision="fp32")


def clone(
    teacher: Teacher,
    tokenizer_folder: Path,
    corpus: Corpus,
    out: Path,
    *,
    init: Init,
    targets: tuple[str, ...] = ("",),
    prompts: Mapping[str, str] = MappingProxyType({}),
    layers: Sequence[int] = (),
    hardware: Hardware = _CPU,
) -> CloneResult:
    """Give the teacher the student's tokenizer and save the result in `out` as a sentence-transformers model.

    `hub_tools.cloning.init` says how new rows are made; some ways need text of the corpus in the languages `targets`,
    and rows that are fitted are so on `hardware`. `prompts` are added to the teacher's. With `layers` the clone has
    these of the teacher's alone, see `hub_tools.cloning.layers`. Temporary files are in `out`: the weights as
    safetensors where they are pickled, and those of the word alignment, see `hub_tools.cloning.ibm_model1.align`.

    Raises:
        UserError: the teacher cannot be cloned with this tokenizer; the message says why.
    """
    teacher_spec = read_teacher_tokenizer(teacher, corpus)
    student_spec = TokenizerSpec.read(tokenizer_folder)
    token_map = map_tokens(teacher_spec, student_spec)
    with _scratch_folder(out) as scratch:
        checkpoint = _checkpoint(teacher, scratch)
        tensors = locate_vocab_tensors(teacher, checkpoint)
        _check_padding(tensors, teacher_spec, student_spec)
        teacher_rows = _teacher_rows(checkpoint, tensors)
        _check_rows(teacher, teacher_spec, len(teacher_rows))
        context = InitContext(
            teacher=teacher,
            teacher_spec=teacher_spec,
            student_spec=student_spec,
            token_map=token_map,
            teacher_rows=teacher_rows,
            corpus=corpus,
            targets=targets,
            scratch=scratch,
            hardware=hardware,
        )
        rows, made = init_embeddings(init, context)
        _copy_files(teacher, out)
        student_spec.write(out)
        _fit_tokenizer_settings(out, teacher_spec, has_token_types=tensors.has_token_types)
        _update_configs(out, teacher_spec, student_spec)
        _add_prompts(out / MODEL_SETTINGS, prompts)
        renamed: dict[str, str | None] = dict.fromkeys(tensors.factors)
        if layers:
            stack = find_stack(teacher)
            stack.write_settings(out / "config.json", len(layers))
            renamed |= stack.renamed(checkpoint.shapes, layers)
        size = max(len(rows), rows_built(teacher, out))
        replaced = dict.fromkeys((tensors.embedding, *tensors.copies), _pad_rows(rows, size))
        for name in tensors.others:
            replaced[name] = _pad_rows(subword_mean(token_map, LazyEmbedding(checkpoint.read(name))), size)
        checkpoint.write(out, replaced, renamed)
    write_compat_configs(out, max_seq_length=None if teacher.input_type == STATIC else teacher.max_seq_length)
    fallback = token_map.count(Match.UNKNOWN)
    if fallback:
        log.warning("  %d of the new tokens are unknown to the teacher", fallback)
    return CloneResult(
        exact=token_map.count(Match.EXACT),
        composed=token_map.count(Match.COMPOSED),
        byte=token_map.count(Match.BYTE),
        fallback=fallback,
        aligned=made.get("aligned", 0),
        focus=made.get("focus"),
        distilled=made.get("distilled"),
        layers=list(layers),
    )


def check_clonable(teacher: Teacher) -> None:
    """Refuse, by a UserError and before any work, a teacher with damaged files or files that do not belong together."""
    spec = read_teacher_tokenizer(teacher)
    if teacher.input_type != STATIC and spec.pad_token_id is None:
        raise UserError(
            f"{teacher.name} has no padding token, so it cannot read texts of different lengths together. Expected a "
            "pad_token in its tokenizer_config.json."
        )
    if _is_pickled(teacher):
        weights = read_pickled(teacher.input_folder, "meta")
        check_sizes(teacher, {name: tuple(tensor.shape) for name, tensor in weights.items()})
    else:
        checkpoint = SafetensorsFiles(teacher.input_folder)
        tensors = locate_vocab_tensors(teacher, checkpoint)
        _check_rows(teacher, spec, len(_teacher_rows(checkpoint, tensors)))
    check_modules(teacher)


@contextmanager
def _scratch_folder(out: Path) -> Iterator[Path]:
    """Make a folder for temporary files that is gone afterwards, and empty if a killed run left it."""
    scratch = out / _SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _is_pickled(teacher: Teacher) -> bool:
    return teacher.policy.pickle and not any((teacher.input_folder / name).exists() for name in (WEIGHTS, INDEX))


def _checkpoint(teacher: Teacher, scratch: Path) -> SafetensorsFiles:
    if not _is_pickled(teacher):
        return SafetensorsFiles(teacher.input_folder)
    unpickle(teacher.input_folder, scratch)
    return SafetensorsFiles(scratch)


def _teacher_rows(checkpoint: SafetensorsFiles, tensors: VocabTensors) -> AnyRows:
    rows: AnyRows = LazyEmbedding(checkpoint.read(tensors.embedding))
    # As sentence-transformers folds what model2vec stores: which row each token has, and how much it counts.
    with library_errors("The rows, mapping and weights of the teacher do not fit together"):
        if "mapping" in tensors.factors:
            rows = rows[checkpoint.read("mapping").numpy().astype(np.int64)]
        if "weights" in tensors.factors:
            rows = rows[:] * LazyEmbedding(checkpoint.read("weights"))[:][:, None]
        return rows


def _pad_rows(rows: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Append null rows, which no token has."""
    if len(rows) == size:
        return rows
    return np.concatenate([rows, np.zeros((size - len(rows), *rows.shape[1:]), np.float32)])


def _check_padding(tensors: VocabTensors, teacher: TokenizerSpec, student: TokenizerSpec) -> None:
    teacher_id, student_id = teacher.pad_token_id, student.pad_token_id
    if tensors.counts_from_padding and teacher_id != student_id:
        raise UserError(
            f"The teacher counts positions from the id of its padding token, {teacher_id}, and the tokenizer's is "
            f"{student_id}: all positions would be wrong. Expected a tokenizer whose padding token has the id "
            f"{teacher_id}."
        )


def _check_rows(teacher: Teacher, teacher_spec: TokenizerSpec, rows: int) -> None:
    highest = max(teacher_spec.vocab.values())
    if highest >= rows:
        raise UserError(
            f"{teacher.name} has {rows:,} embedding rows, and its tokenizer ids up to {highest:,}. Expected a row for "
            "each token: its files do not belong together."
        )


def _copy_files(teacher: Teacher, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    suffixes = {".json", ".safetensors", *([".py"] if teacher.policy.code else [])}
    for number, (_, folder) in enumerate(teacher.modules):
        source, target = teacher.path / folder, out / ("" if number == 0 else folder)
        for file in source.rglob("*") if source != teacher.path else source.glob("*"):
            weights = number == 0 and file.name.startswith("model") and "safetensors" in file.name
            old = number == 0 and file.name.startswith(_TOKENIZER) and file.suffix == ".json"
            if file.is_file() and file.suffix in suffixes and not weights and not old:
                (target / file.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target / file.relative_to(source))
        for pickled in source.glob("pytorch_model.bin") if number and teacher.policy.pickle else ():
            if not any(target.glob("*.safetensors")):
                unpickle(pickled.parent, target)
    if (teacher.path / MODEL_SETTINGS).exists():
        shutil.copyfile(teacher.path / MODEL_SETTINGS, out / MODEL_SETTINGS)
    first, *others = teacher.modules_json
    write_json(out / "modules.json", [{**first, "path": ""}, *others])  # where all libraries look for the tokenizer
    if teacher.default_pooling:
        write_json(out / POOLING / "config.json", teacher.default_pooling)
    for code in teacher.path.glob("*.py") if teacher.policy.code else ():
        shutil.copyfile(code, out / code.name)


def _fit_tokenizer_settings(out: Path, teacher: TokenizerSpec, *, has_token_types: bool) -> None:
    # Pooling and positions may depend on the padding side. transformers 4.57 passes all listed inputs to the model.
    file = out / "tokenizer_config.json"
    settings = read_json(file) if file.exists() else {}
    settings["padding_side"] = teacher.settings.get("padding_side", "right")
    if not has_token_types and "model_input_names" in settings:
        settings["model_input_names"] = [name for name in settings["model_input_names"] if name != "token_type_ids"]
    write_json(file, settings)


def _update_configs(out: Path, teacher: TokenizerSpec, student: TokenizerSpec) -> None:
    """Update sizes and ids of tokens, at any depth, in the configurations of the first module.

    An id means the same token in the student's vocabulary; where a special token has another name there, it is the one
    with the same role. An id whose token is missing becomes null: kept, it would name another token.
    """
    token_of, vocab = {token_id: token for token, token_id in teacher.vocab.items()}, student.vocab

    def renumber(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: renumber(item, name) for name, item in value.items()}
        if isinstance(value, list) and key.endswith(_IDS):
            ids = (renumber(item, key) for item in value)
            return list(dict.fromkeys(token_id for token_id in ids if token_id is not None))
        if isinstance(value, int) and not isinstance(value, bool) and key.endswith(_IDS):
            token = token_of.get(value)
            if token is None:  # a default of the class, beyond the vocabulary
                return None
            return vocab.get(token if token in vocab else token_for(key, student) or "")
        return len(vocab) if key == "vocab_size" else value

    for name in ("config.json", "generation_config.json"):
        if (out / name).exists():
            write_json(out / name, renumber(read_json(out / name)))


def _add_prompts(file: Path, prompts: Mapping[str, str]) -> None:
    if not prompts:
        return
    settings = read_json(file) if file.exists() else {}
    settings["prompts"] = {**(settings.get("prompts") or {}), **prompts}
    write_json(file, settings)
