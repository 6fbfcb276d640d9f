"""Teachers as they really are, and as somebody may have made them: cloned as they read, or refused in one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from transformers import BertConfig, BertModel

from hub_tools.cloning.clone import clone
from hub_tools.core.errors import UserError
from hub_tools.core.files import read_json, write_json
from hub_tools.core.hardware import Hardware
from hub_tools.corpus.build import Corpus
from hub_tools.models.encoder import encode
from hub_tools.models.loading import load_model
from hub_tools.models.resolve import find_teacher
from hub_tools.models.tokenizer import read_ready_tokenizer, read_teacher_tokenizer
from hub_tools.tokenization.adapt import use_tokenizer
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

CPU = Hardware(device="cpu", precision="fp32")
TEXTS = ["Straße nach İSTANBUL", "Häuser und Bäume", "The house of Çiğdem", "a cafe\u0301", "x" * 200]


def edit(file: Path, **changes: Any) -> None:
    """Change keys of a JSON file; None takes one away."""
    content = {**(read_json(file) if file.exists() else {}), **changes}
    write_json(file, {key: value for key, value in content.items() if value is not None})


def clone_with_own_tokenizer(folder: Path, out: Path) -> Path:
    teacher, corpus = find_teacher(str(folder)), Corpus.empty()
    spec = read_teacher_tokenizer(teacher)
    ready = read_ready_tokenizer(teacher.input_folder, teacher)
    use_tokenizer(spec, ready, out / "tokenizer", max_seq_length=teacher.max_seq_length, samples={})
    clone(teacher, out / "tokenizer", corpus, out / "clone", init="mean")
    return out / "clone"


def vectors(folder: Path) -> np.ndarray[Any, Any]:
    return encode(load_model(folder, device="cpu"), TEXTS, CPU)


@pytest.fixture(scope="module")
def little(minilm_files: TokenizerSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one narrow layer, and MiniLM's special tokens, letters and most frequent words."""
    root = tmp_path_factory.mktemp("little")
    listed = sorted(minilm_files.model_vocab, key=minilm_files.model_vocab.__getitem__)
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    letters = (token for token in listed if len(token.removeprefix("##")) == 1)
    kept = list(dict.fromkeys((*special, *letters, *listed[1996:2200])))
    model = {**minilm_files.spec["model"], "vocab": {token: number for number, token in enumerate(kept)}}
    normalizer = minilm_files.spec["normalizer"]
    files = minilm_files.with_model(model, normalizer, minilm_files.added_tokens, 64)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(kept), max_position_embeddings=64, pad_token_id=0, **sizes)
    BertModel(config).save_pretrained(root / "bert")
    files.write(root / "bert")
    first = modules.Transformer(str(root / "bert"), max_seq_length=32)
    parts = [first, modules.Pooling(8, "mean"), modules.Dense(8, 8), modules.Normalize()]
    SentenceTransformer(modules=parts, device="cpu").save(str(root / "teacher"), create_model_card=False)
    files.write(root / "teacher")
    return root / "teacher"


@pytest.fixture
def teacher(little: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(little, tmp_path / "teacher"))


OLD = {"do_lower_case": True, "model_max_length": 512}
# tokenizer_config.json, and what is changed in tokenizer.json: its own files say what the model does, or its class.
ODD: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "cased by its settings": ({"tokenizer_class": "BertTokenizer", "do_lower_case": False}, {}),
    "keeps accents by its settings": ({"tokenizer_class": "BertTokenizer", "strip_accents": False}, {}),
    "lower-cased by its class": ({"tokenizer_class": "BertTokenizer"}, {"normalizer": None}),
    "settings of 2019": (OLD, {}),
    "settings of 2019 and no normalizer": (OLD, {"normalizer": {"type": "NFC"}}),
}


@pytest.mark.parametrize("kind", ODD)
def test_the_clone_reads_what_autotokenizer_reads(kind: str, teacher: Path, tmp_path: Path) -> None:
    settings, changes = ODD[kind]
    write_json(teacher / "tokenizer_config.json", settings)
    spec = read_json(teacher / "tokenizer.json")
    write_json(teacher / "tokenizer.json", {**spec, **changes})
    out = clone_with_own_tokenizer(teacher, tmp_path)
    assert np.allclose(vectors(teacher), vectors(out), atol=1e-6)
    named = read_json(out / "tokenizer_config.json")
    assert (named["pad_token"], named["cls_token"], named["mask_token"]) == ("[PAD]", "[CLS]", "[MASK]")
    assert named["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_a_difference_that_only_the_corpus_shows_is_seen(teacher: Path, tmp_path: Path) -> None:
    edit(teacher / "tokenizer_config.json", tokenizer_class="BertTokenizer")
    spec = read_json(teacher / "tokenizer.json")
    step = {"type": "Replace", "pattern": {"String": "qqzz"}, "content": "x"}
    changed = {"type": "Sequence", "normalizers": [step, spec["normalizer"]]}
    write_json(teacher / "tokenizer.json", {**spec, "normalizer": changed})
    found = find_teacher(str(teacher))
    assert read_teacher_tokenizer(found).spec["normalizer"] == changed
    corpus = Corpus.empty()
    corpus.languages, corpus.texts = ("tr",), lambda lang, limit: iter(["a qqzz"])  # type: ignore[assignment]
    assert read_teacher_tokenizer(found, corpus).spec["normalizer"] == spec["normalizer"]


def untyped(spec: dict[str, Any]) -> None:
    del spec["model"]["type"], spec["post_processor"]


def test_a_tokenizer_json_that_leaves_out_what_the_library_knows(teacher: Path, tmp_path: Path) -> None:
    edit(teacher / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    spec = read_json(teacher / "tokenizer.json")
    untyped(spec)
    write_json(teacher / "tokenizer.json", spec)
    out = clone_with_own_tokenizer(teacher, tmp_path)
    assert np.allclose(vectors(teacher), vectors(out), atol=1e-6)


def test_a_unigram_model_without_an_unknown_token_is_refused_before_work(teacher: Path) -> None:
    edit(teacher / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    spec = read_json(teacher / "tokenizer.json")
    pieces = [[token, -1.0] for token in spec["model"]["vocab"]]
    write_json(teacher / "tokenizer.json", {**spec, "model": {"type": "Unigram", "unk_id": None, "vocab": pieces}})
    with pytest.raises(UserError, match=r"cannot read '.*unk_id"):
        read_teacher_tokenizer(find_teacher(str(teacher)))


def two_with_one_id(spec: dict[str, Any]) -> None:
    spec["model"]["vocab"]["the"] = spec["model"]["vocab"]["of"]


def id_as_text(spec: dict[str, Any]) -> None:
    spec["model"]["vocab"]["the"] = "40000"


def negative_id(spec: dict[str, Any]) -> None:
    spec["model"]["vocab"]["the"] = -1


def id_behind_the_rows(spec: dict[str, Any]) -> None:
    spec["model"]["vocab"]["the"] = 40_000


def added_word(spec: dict[str, Any]) -> None:
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    spec["added_tokens"].append({"id": len(spec["model"]["vocab"]), "content": "kubernetes", **plain})


def wrong_template(spec: dict[str, Any]) -> None:
    spec["post_processor"] = {"type": "BertProcessing", "sep": ["[SEP]", 77_777], "cls": ["[CLS]", 2]}


def panicking(spec: dict[str, Any]) -> None:
    pattern = {"Regex": r"(\w+\w+)+\d"}
    spec["pre_tokenizer"] = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}


def no_regex(spec: dict[str, Any]) -> None:
    spec["normalizer"] = {"type": "Replace", "pattern": {"Regex": "(["}, "content": ""}


def no_model(spec: dict[str, Any]) -> None:
    spec["model"] = None


def no_unknown(spec: dict[str, Any]) -> None:
    spec["model"]["unk_token"] = "<none>"


DAMAGES: dict[Callable[[dict[str, Any]], None], str] = {
    two_with_one_id: r"gives the tokens 'the' and 'of' one id|gives the tokens 'of' and 'the' one id",
    id_as_text: "cannot be read by the tokenizers library: invalid type: string",
    negative_id: "cannot be read by the tokenizers library: invalid value: integer `-1`",
    id_behind_the_rows: r"has [0-9,]+ embedding rows, and none for 1 tokens of its tokenizer, such as 'the'",
    added_word: r"none for 1 tokens of its tokenizer, such as 'kubernetes'.*resize_token_embeddings",
    wrong_template: r"puts '\[SEP\]' into every text as the id 77777, and its vocabulary has 3",
    panicking: r"cannot read '.*Onig.*retry-limit",
    no_regex: "Oniguruma error",
    no_model: "cannot be read by the tokenizers library",
    no_unknown: "cannot read '.*WordPiece error: Missing",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_tokenizer_is_refused_before_work(damage: Callable[[dict[str, Any]], None], teacher: Path) -> None:
    edit(teacher / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    spec = read_json(teacher / "tokenizer.json")
    damage(spec)
    write_json(teacher / "tokenizer.json", spec)
    with pytest.raises(UserError, match=DAMAGES[damage]):
        read_teacher_tokenizer(find_teacher(str(teacher)))
