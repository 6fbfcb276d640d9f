"""Every architecture that sentence embeddings are made with, cloned with its own tokenizer and with another."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from hub_tools.cloning.clone import clone
from hub_tools.config import DistillConfig
from hub_tools.core.files import read_json
from hub_tools.core.hardware import Hardware
from hub_tools.corpus.build import Corpus
from hub_tools.models.encoder import encode
from hub_tools.models.loading import is_static, load_model, longest_input
from hub_tools.models.resolve import find_teacher
from hub_tools.models.tokenizer import read_ready_tokenizer, read_teacher_tokenizer
from hub_tools.results import CloneResult
from hub_tools.tokenization.make import use_tokenizer
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.training.data import TokenizedTexts, TrainingSet
from hub_tools.training.distill import save_student
from hub_tools.training.trainer import Trainer
from tests.architectures import ARCHITECTURES, ROWLESS, SETTINGS

CPU = Hardware(device="cpu", precision="fp32")
TEXTS = [
    "Merhaba dünya!",
    "A plain English sentence.",
    "数学 и Физика",
    "x",
    "",
    "word " * 300,
    "Kitaplarımızı okuduk.",
]
NAMES = sorted(ARCHITECTURES)


def vectors(folder: Path, texts: list[str] = TEXTS) -> Any:
    return encode(load_model(folder, device="cpu"), texts, CPU)


def least_cosine(a: Any, b: Any) -> float:
    # An empty text has no tokens for static embeddings: its vector is null on both sides.
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    assert ((norms > 0) | (np.abs(a - b).max(axis=1) == 0)).all()
    return float(((a * b).sum(axis=1)[norms > 0] / norms[norms > 0]).min())


@pytest.mark.parametrize("name", NAMES)
def test_the_same_tokenizer_gives_the_same_vectors(
    name: str, small_teachers: dict[str, Path], no_text: Corpus, tmp_path: Path
) -> None:
    teacher = find_teacher(str(small_teachers[name]))
    spec = read_teacher_tokenizer(teacher)
    ready = read_ready_tokenizer(teacher.input_folder, teacher)
    assert ready == spec
    used = use_tokenizer(spec, ready, tmp_path / "tokenizer", max_seq_length=teacher.max_seq_length, samples={})
    (tmp_path / "clone" / ".scratch").mkdir(parents=True)  # a run that was killed left it
    result = clone(teacher, tmp_path / "tokenizer", no_text, tmp_path / "clone", init="align")
    assert result.exact == used.vocab_size
    assert (result.composed, result.byte, result.fallback) == (0, 0, 0)
    assert not (tmp_path / "clone" / ".scratch").exists()
    theirs, ours = vectors(teacher.path), vectors(tmp_path / "clone")
    assert least_cosine(theirs, ours) >= 0.9999
    assert len(np.unique(theirs.round(3), axis=0)) >= 5  # a teacher whose vectors are all alike would prove nothing


def test_a_token_without_a_row_is_left_out(small_teachers: dict[str, Path]) -> None:
    teacher = find_teacher(str(small_teachers["gemma3"]))
    folder = teacher.input_folder
    added = read_json(folder / "tokenizer.json")["added_tokens"]
    assert ROWLESS in [token["content"] for token in added]
    assert ROWLESS in TokenizerSpec.read(folder).vocab
    vocab = read_teacher_tokenizer(teacher).vocab
    assert ROWLESS not in vocab
    assert len(vocab) == read_json(folder / "config.json")["vocab_size"]


def hashes(folder: Path) -> dict[str, str]:
    found = {}
    for file in sorted(folder.rglob("*.safetensors")):
        with safe_open(str(file), framework="pt") as weights:
            names = weights.keys()
            for name in names:
                tensor = weights.get_tensor(name)
                key = f"{file.relative_to(folder).parent}/{name}"
                found[key] = f"{tensor.dtype} {hashlib.sha256(tensor.numpy().tobytes()).hexdigest()}"
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_but_the_rows_of_tokens_is_kept(
    name: str, small_teachers: dict[str, Path], small_clones: dict[str, tuple[Path, CloneResult]]
) -> None:
    theirs, ours = hashes(small_teachers[name]), hashes(small_clones[name][0])
    changed = {key for key in theirs if theirs[key] != ours[key]}
    rows = {key for key in theirs if "embed" in key or "shared" in key}
    untied = {"./cls.predictions.decoder.weight", "./cls.predictions.bias", "./cls.predictions.decoder.bias"}
    assert theirs.keys() == ours.keys()
    assert len(changed & rows) == 1
    assert changed - rows == (untied & theirs.keys() if name == "untied" else set())


@pytest.mark.parametrize("name", NAMES)
def test_where_the_pieces_are_the_teachers_so_is_the_vector(
    name: str,
    small_teachers: dict[str, Path],
    small_clones: dict[str, tuple[Path, CloneResult]],
    pair_texts: dict[str, list[str]],
) -> None:
    folders = (small_teachers[name], small_clones[name][0])
    tokenizers = [TokenizerSpec.read(folder).load() for folder in folders]

    def is_read_alike(text: str) -> bool:
        theirs, ours = ([t.id_to_token(number) for number in t.encode(text).ids] for t in tokenizers)
        return theirs == ours

    words = sorted({word for text in pair_texts["en"] for word in text.split()})
    for prompt in ("", *(ARCHITECTURES[name].prompts or {}).values()):
        alike = [text for text in (*words[::5], *pair_texts["en"]) if is_read_alike(prompt + text)][:100]
        assert len(alike) > 50
        models = [load_model(folder, device="cpu") for folder in folders]
        theirs, ours = (encode(model, alike, CPU, prompt=prompt) for model in models)
        assert least_cosine(theirs, ours) >= 0.9999


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_counted_and_none_is_filled_silently(
    name: str, small_clones: dict[str, tuple[Path, CloneResult]], small_teachers: dict[str, Path]
) -> None:
    folder, result = small_clones[name]
    assert result.exact > 1000 and result.composed > 30 and result.fallback == 0
    assert result.exact + result.composed + result.byte == 2300
    model = load_model(folder, device="cpu")
    assert len(TokenizerSpec.read(folder).vocab) == 2300
    assert least_cosine(vectors(folder), vectors(folder)) > 0.99
    assert model.get_embedding_dimension() == load_model(small_teachers[name], device="cpu").get_embedding_dimension()


@pytest.mark.parametrize("pair", [("bert", "gemma"), ("gemma3", "wordpiece"), ("qwen3", "wordpiece")])
def test_with_a_tokenizer_of_another_family_special_tokens_keep_their_roles(
    pair: tuple[str, str],
    small_teachers: dict[str, Path],
    small_tokenizers: dict[str, TokenizerSpec],
    no_text: Corpus,
    tmp_path: Path,
) -> None:
    name, other = pair
    tokenizer = small_tokenizers[other]
    tokenizer.write(tmp_path / "tokenizer")
    teacher = find_teacher(str(small_teachers[name]))
    clone(teacher, tmp_path / "tokenizer", no_text, tmp_path / "clone", init="align")
    old, new = (json.loads((f / "config.json").read_text()) for f in (small_teachers[name], tmp_path / "clone"))
    roles = {"pad": ("[PAD]", "<pad>"), "cls": ("[CLS]", "<bos>"), "bos": ("[CLS]", "<bos>")}
    roles |= {"sep": ("[SEP]", "<eos>"), "eos": ("[SEP]", "<eos>"), "mask": ("[MASK]", "<mask>")}
    keys = [key for key in old if key.removesuffix("_token_id") in roles and old[key] is not None]
    assert len(keys) >= 2
    theirs = {number: token for token, number in TokenizerSpec.read(small_teachers[name]).vocab.items()}
    for key in keys:
        wanted = next(token for token in roles[key.removesuffix("_token_id")] if token in tokenizer.vocab)
        assert new[key] == (tokenizer.vocab[wanted] if old[key] in theirs else None), key
    assert np.isfinite(vectors(tmp_path / "clone")).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_kept_and_ids_follow(
    name: str, small_teachers: dict[str, Path], small_clones: dict[str, tuple[Path, CloneResult]]
) -> None:
    theirs, ours = load_model(small_teachers[name], device="cpu"), load_model(small_clones[name][0], device="cpu")
    assert [type(m) for m in theirs] == [type(m) for m in ours]
    for a, b in zip(list(theirs)[1:], list(ours)[1:], strict=True):
        assert a.get_config_dict() == b.get_config_dict()
    for setting in ("prompts", "default_prompt_name", "similarity_fn_name", "max_seq_length"):
        assert getattr(theirs, setting) == getattr(ours, setting), setting
    named = [json.loads((f / SETTINGS).read_text()) for f in (small_teachers[name], small_clones[name][0])]
    assert named[0] == named[1]
    assert named[1].get("truncate_dim") == ARCHITECTURES[name].truncate_dim
    if not ARCHITECTURES[name].config:
        return
    assert ours.tokenizer.padding_side == theirs.tokenizer.padding_side
    old, new = (json.loads((f / "config.json").read_text()) for f in (small_teachers[name], small_clones[name][0]))
    ids = {key for key in old if key.endswith("_token_id") and old[key] is not None}
    added = {"rope_theta", "rope_local_base_freq", "global_rope_theta", "local_rope_theta"}
    assert {k: v for k, v in old.items() if k not in {*ids, "vocab_size"}} == {
        k: v for k, v in new.items() if k not in {*ids, "vocab_size", *(added - old.keys())}
    }
    assert new["vocab_size"] == 2300
    before, after = (
        {n: t for t, n in TokenizerSpec.read(f).vocab.items()} for f in (small_teachers[name], small_clones[name][0])
    )
    assert ids
    for key in ids:
        # What names no token (a default of the class, beyond the vocabulary) must not name one afterwards.
        assert before.get(old[key]) == after.get(new[key]), key


@pytest.mark.parametrize("name", NAMES)
def test_training_reads_texts_as_encoding_does_and_moves_the_student(
    name: str, small_clones: dict[str, tuple[Path, CloneResult]], tmp_path: Path
) -> None:
    folder = small_clones[name][0]
    model = load_model(folder, device="cpu")
    assert is_static(model) == name.startswith("static")
    builder = TokenizedTexts.Builder(folder / "tokenizer.json", longest_input(model))
    builder.add([(model.prompts.get(model.default_prompt_name or "") or "") + text for text in TEXTS])
    count, before = len(TEXTS), vectors(folder)
    numbers = np.arange(count)
    wanted = np.roll(before, 1, axis=0).astype(np.float16)
    texts = builder.build()
    data = TrainingSet(
        texts=texts,
        target_index=numbers,
        targets=wanted,
        source=-1 - 0 * numbers,
        is_translation=numbers < 0,
        is_other=numbers < 0,
    )
    config = DistillConfig(steps=8, batch_tokens=512, learning_rate=1e-3)
    trainer = Trainer(model, data, data, tmp_path, config, hardware=CPU, seed=1)
    assert np.abs(trainer.student(texts, numbers, training=True).detach().numpy() - before).max() < 1e-4
    trainer.train()
    moments = [value for state in trainer.optimizer.state.values() for value in state.values()]
    assert {value.dtype for value in (*model.parameters(), *moments)} == {torch.float32}
    save_student(trainer, folder, longest_input(model))
    after = vectors(tmp_path)
    assert (after * wanted).sum() > (before * wanted).sum() + 0.01
    assert np.abs(trainer.student(texts, numbers, training=False).detach().numpy() - after).max() < 1e-4
