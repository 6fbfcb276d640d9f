"""Stage `clone`: the teacher with another vocabulary. Every weight but the token embeddings is kept exactly.

The teacher is not loaded: its files are copied, and in the copy the tensors that have a row for each token, the
tokenizer, and the ids and sizes that the configurations name are replaced.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub_tools.cloning.architecture import VocabTensors, locate_vocab_tensors, rows_built
from hub_tools.cloning.context import InitContext
from hub_tools.cloning.init import init_embeddings
from hub_tools.cloning.mean import mean_rows
from hub_tools.cloning.safetensors_io import INDEX, WEIGHTS, AnyRows, SafetensorsFiles, unpickle
from hub_tools.config import Init
from hub_tools.core.errors import UserError
from hub_tools.core.files import read_json, write_json
from hub_tools.core.logging import log
from hub_tools.corpus.build import Corpus
from hub_tools.models.compat import write_compat_configs
from hub_tools.models.loading import put_tokenizer
from hub_tools.models.teacher import POOLING, STATIC, Teacher
from hub_tools.tokenization.special_tokens import token_for
from hub_tools.tokenization.token_map import Match, map_tokens
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

# Files of the teacher's tokenizer; the student's take their place.
_TOKENIZER = ("tokenizer", "vocab.json", "special_tokens_map", "added_tokens", "merges")
_SETTINGS = "config_sentence_transformers.json"
_IDS = ("_token_id", "_token_index", "_token_ids")


def clone(
    teacher: Teacher,
    tokenizer: Path,
    corpus: Corpus,
    out: Path,
    *,
    init: Init,
    target: str = "",
    prompts: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Give the teacher the student's tokenizer and save the result as a sentence-transformers model.

    Args:
        teacher: the model to clone.
        tokenizer: folder of the student's tokenizer.
        corpus: gives the text that some ways of making rows need.
        out: folder of the clone.
        init: how new rows are made, see `hub_tools.cloning.init`.
        target: the language the student is made for.
        prompts: prompts that the clone shall have besides the teacher's.

    Returns:
        Counts of exact, composed, byte and fallback rows, and what the way of making rows counted.

    Raises:
        UserError: the teacher cannot be cloned with this tokenizer; the message says why.
    """
    theirs, ours = TokenizerSpec.read(teacher.input_folder), TokenizerSpec.read(tokenizer)
    token_map = map_tokens(theirs, ours)
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = _checkpoint(teacher, Path(scratch))
        vocabulary = locate_vocab_tensors(teacher, checkpoint)
        _check_padding(vocabulary, theirs, ours)
        teacher_rows = _teacher_rows(checkpoint, vocabulary)
        if max(theirs.ids.values()) >= len(teacher_rows):
            raise UserError(
                f"{teacher.name} has {len(teacher_rows):,} embedding rows, and its tokenizer ids up to "
                f"{max(theirs.ids.values()):,}. Expected a row for each token: its files do not belong together."
            )
        given = InitContext(
            teacher=teacher,
            theirs=theirs,
            ours=ours,
            token_map=token_map,
            rows=teacher_rows,
            corpus=corpus,
            target=target,
        )
        rows, made = init_embeddings(init, given)
        _copy_files(teacher, out)
        put_tokenizer(tokenizer, out)
        _fit_tokenizer_settings(out, theirs, types=vocabulary.types)
        _update_configs(out, theirs, ours)
        _add_prompts(out / _SETTINGS, prompts)
        size = max(len(rows), rows_built(teacher, out))
        replaced = dict.fromkeys((vocabulary.rows, *vocabulary.same), _filled(rows, size))
        more = {name: mean_rows(token_map, checkpoint.read_rows(name)) for name in vocabulary.more}
        checkpoint.write(
            out, replaced | {name: _filled(found, size) for name, found in more.items()}, dropped=vocabulary.factors
        )
    write_compat_configs(out, max_seq_length=None if teacher.input_type == STATIC else teacher.max_seq_length)
    counts = {kind.name.lower(): token_map.count(kind) for kind in Match}
    counts["fallback"] = counts.pop("unknown")
    if counts["fallback"]:
        log.warning("  the teacher reads %d of the new tokens as unknown", counts["fallback"])
    return {**counts, **made}


def _checkpoint(teacher: Teacher, scratch: Path) -> SafetensorsFiles:
    folder = teacher.input_folder
    if any((folder / name).exists() for name in (WEIGHTS, INDEX)) or not teacher.policy.pickle:
        return SafetensorsFiles(folder)
    unpickle(folder, scratch)
    return SafetensorsFiles(scratch)


def _teacher_rows(checkpoint: SafetensorsFiles, vocabulary: VocabTensors) -> AnyRows:
    rows: AnyRows = checkpoint.read_rows(vocabulary.rows)
    # As sentence-transformers folds what model2vec stores: which row each token has, and how much it counts.
    if "mapping" in vocabulary.factors:
        rows = rows[checkpoint.read("mapping").numpy().astype(np.int64)]
    if "weights" in vocabulary.factors:
        rows = rows[:] * checkpoint.read_rows("weights")[:][:, None]
    return rows


def _filled(rows: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Rows with null rows behind them, which no token has."""
    if len(rows) == size:
        return rows
    return np.concatenate([rows, np.zeros((size - len(rows), *rows.shape[1:]), np.float32)])


def _check_padding(vocabulary: VocabTensors, theirs: TokenizerSpec, ours: TokenizerSpec) -> None:
    if not vocabulary.padding:
        return
    old, new = theirs.padding_id, ours.padding_id
    if old != new:
        raise UserError(
            f"The teacher counts positions from the id of its padding token, {old}, and the tokenizer's is {new}: all "
            f"positions would be wrong. Expected a tokenizer whose padding token has the id {old}."
        )


def _copy_files(teacher: Teacher, out: Path) -> None:
    """Copy every configuration, the weights of all modules but the first, and trusted code."""
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
    if (teacher.path / _SETTINGS).exists():
        shutil.copyfile(teacher.path / _SETTINGS, out / _SETTINGS)
    modules = teacher.module_list
    modules[0]["path"] = ""  # where everybody looks for the tokenizer
    write_json(out / "modules.json", modules)
    if teacher.default_pooling:
        write_json(out / POOLING / "config.json", teacher.default_pooling)
    for code in teacher.path.glob("*.py") if teacher.policy.code else ():
        shutil.copyfile(code, out / code.name)


def _fit_tokenizer_settings(out: Path, theirs: TokenizerSpec, *, types: bool) -> None:
    """Let any tokenizer pad where the teacher's pads, and give the model only inputs that it reads.

    Pooling and positions may hang on the side. transformers 4.57 hands everything over that is listed as an input.
    """
    file = out / "tokenizer_config.json"
    settings = read_json(file) if file.exists() else {}
    settings["padding_side"] = theirs.settings.get("padding_side", "right")
    if not types and "model_input_names" in settings:
        settings["model_input_names"] = [name for name in settings["model_input_names"] if name != "token_type_ids"]
    write_json(file, settings)


def _update_configs(out: Path, theirs: TokenizerSpec, ours: TokenizerSpec) -> None:
    """Sizes and ids of tokens in the configurations of the first module."""
    names = {number: token for token, number in theirs.ids.items()}
    for name in ("config.json", "generation_config.json"):
        if (out / name).exists():
            write_json(out / name, _renumbered(read_json(out / name), names, ours))


def _add_prompts(file: Path, prompts: Mapping[str, str]) -> None:
    if not prompts:
        return
    settings = read_json(file) if file.exists() else {}
    settings["prompts"] = {**(settings.get("prompts") or {}), **prompts}
    write_json(file, settings)


def _renumbered(config: dict[str, Any], names: Mapping[int, str], ours: TokenizerSpec) -> dict[str, Any]:
    """A configuration whose ids of tokens, at any depth, mean the same tokens in another vocabulary.

    Where a special token has another name there, it is the one with the same role. An id whose token is not there
    becomes null: kept, it would name another token.
    """
    ids = ours.ids

    def follow(value: Any, key: str) -> Any:
        if isinstance(value, list):
            found = (follow(one, key) for one in value)
            return list(dict.fromkeys(number for number in found if number is not None))
        if not isinstance(value, int) or isinstance(value, bool):
            return value
        name = names.get(value)
        if name is None:  # a default of the class, beyond the vocabulary
            return None
        return ids.get(name if name in ids else token_for(key, ours) or "")

    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found[key] = _renumbered(value, names, ours)
        elif key.endswith(_IDS):
            found[key] = follow(value, key)
        else:
            found[key] = len(ids) if key == "vocab_size" else value
    return found
