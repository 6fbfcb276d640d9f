"""Teachers as they really are, and as somebody may have made them: cloned as they read, or refused in one sentence."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from tokenizers import Tokenizer, models, trainers

from hub_tools.api import build_corpus
from hub_tools.cloning.clone import clone
from hub_tools.config_clone import Init
from hub_tools.core.errors import UserError
from hub_tools.core.files import read_json, write_json
from hub_tools.corpus.build import Corpus
from hub_tools.corpus.readers import sample_file
from hub_tools.models.encoder import encode
from hub_tools.models.loading import load_model
from hub_tools.models.resolve import find_teacher
from hub_tools.models.tokenizer import read_ready_tokenizer, read_teacher_tokenizer
from hub_tools.results import CloneResult
from hub_tools.tokenization.make import use_tokenizer
from tests.little_teacher import CPU, TEXTS, clone_with_own_tokenizer, edit


def vectors(folder: Path) -> np.ndarray[Any, Any]:
    return encode(load_model(folder, device="cpu"), TEXTS, CPU)


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


def test_a_difference_that_only_the_corpus_shows_is_seen(teacher: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(teacher / "tokenizer_config.json", tokenizer_class="BertTokenizer")
    spec = read_json(teacher / "tokenizer.json")
    step = {"type": "Replace", "pattern": {"String": "qqzz"}, "content": "x"}
    changed = {"type": "Sequence", "normalizers": [step, spec["normalizer"]]}
    write_json(teacher / "tokenizer.json", {**spec, "normalizer": changed})
    found = find_teacher(str(teacher))
    assert read_teacher_tokenizer(found).spec["normalizer"] == changed
    corpus = Corpus.empty()
    monkeypatch.setattr(corpus, "languages", ("tr",))
    monkeypatch.setattr(corpus, "texts", lambda lang, limit: iter(["a qqzz"]))
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


def word_level(teacher: Path, folder: Path) -> Path:
    """A tokenizer of whole words, with the little teacher's template."""
    words = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "ev", "kitap", "the", "house", "güzel"]
    spec = read_json(teacher / "tokenizer.json")
    added = [{**token, "id": words.index(token["content"])} for token in spec["added_tokens"] if token["id"] < 4]
    vocab = {word: number for number, word in enumerate(words)}
    model = {"type": "WordLevel", "unk_token": "[UNK]", "vocab": vocab}
    template = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    folder.mkdir()
    content = {**spec, "added_tokens": added, "model": model, "post_processor": template}
    write_json(folder / "tokenizer.json", content)
    roles = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **roles})
    return folder


@pytest.mark.parametrize("init", get_args(Init))
def test_a_ready_tokenizer_of_whole_words_gets_rows_by_every_init(
    init: Init, teacher: Path, sample_pairs: list[dict[str, str]], tmp_path: Path
) -> None:
    ready = word_level(teacher, tmp_path / "ready")
    texts = {lang: [pair[lang] for pair in sample_pairs[:400]] for lang in ("tr", "en")}
    corpus = build_corpus(
        texts, teacher=str(teacher), target="tr", parallel=sample_file("tr-en.tsv"), out=tmp_path / "corpus"
    )
    result = clone_into(ready, teacher, corpus, tmp_path, init)
    assert (result.exact + result.composed, result.fallback) == (9, 0)
    assert np.isfinite(vectors(tmp_path / "clone")).all()


def trained(model: models.Model, trainer: trainers.Trainer, lines: list[str], folder: Path) -> Path:
    """A tokenizer of its library alone, that splits nothing before its model."""
    tokenizer = Tokenizer(model)
    tokenizer.train_from_iterator(lines, trainer)
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"})
    return folder


def clone_into(ready: Path, teacher: Path, corpus: Corpus, out: Path, init: Init) -> CloneResult:
    found = find_teacher(str(teacher))
    spec, files = read_teacher_tokenizer(found), read_ready_tokenizer(ready, found)
    use_tokenizer(spec, files, out / "own", max_seq_length=32, samples={})
    return clone(found, out / "own", corpus, out / "clone", init=init, targets=("tr",))


def test_ready_tokenizers_of_rare_kinds(teacher: Path, sample_pairs: list[dict[str, str]], tmp_path: Path) -> None:
    texts = {lang: [pair[lang] for pair in sample_pairs[:300]] for lang in ("tr", "en")}
    corpus = build_corpus(
        texts, teacher=str(teacher), target="tr", parallel=sample_file("tr-en.tsv"), out=tmp_path / "corpus"
    )
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special)
    whole = trained(models.WordPiece(unk_token="[UNK]"), trainer, texts["tr"], tmp_path / "whole")
    assert clone_into(whole, teacher, corpus, tmp_path / "a", "align").exact > 50
    suffix: dict[str, Any] = {"end_of_word_suffix": "</w>"}
    bpe = trained(
        models.BPE(unk_token="[UNK]", **suffix),
        trainers.BpeTrainer(vocab_size=300, special_tokens=special, **suffix),
        texts["tr"],
        tmp_path / "suffix",
    )
    assert clone_into(bpe, teacher, corpus, tmp_path / "b", "frequency").exact > 20
    with pytest.raises(UserError, match=r"--init align and focus .* give --init frequency"):
        clone_into(bpe, teacher, corpus, tmp_path / "c", "align")


def no_padding(spec: dict[str, Any], settings: dict[str, Any]) -> None:
    del settings["pad_token"]


def hole(spec: dict[str, Any], settings: dict[str, Any]) -> None:
    spec["model"]["vocab"]["güzel"] = 12


def twice(spec: dict[str, Any], settings: dict[str, Any]) -> None:
    spec["model"]["vocab"]["güzel"] = 5


def named_by_a_number(spec: dict[str, Any], settings: dict[str, Any]) -> None:
    settings["pad_token"] = 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (no_padding, "has no padding token"),
        (hole, "none with the id 8"),
        (twice, "'kitap' and 'güzel' one id, 5"),
        (named_by_a_number, "name '5' as a token"),
    ],
)
def test_a_ready_tokenizer_that_no_student_can_have_is_refused(
    change: Callable[[dict[str, Any], dict[str, Any]], None], words: str, teacher: Path, tmp_path: Path
) -> None:
    ready = word_level(teacher, tmp_path / "ready")
    spec, named = (read_json(ready / name) for name in ("tokenizer.json", "tokenizer_config.json"))
    change(spec, named)
    write_json(ready / "tokenizer.json", spec)
    write_json(ready / "tokenizer_config.json", named)
    with pytest.raises(UserError, match=words):
        read_ready_tokenizer(ready, find_teacher(str(teacher)))


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
    wrong_template: r"puts \[SEP\] into every text as the id 77777, which its vocabulary does not have",
    panicking: r"cannot read '.*Onig.*retry-limit",
    no_regex: "Oniguruma error",
    no_model: "cannot be read by the tokenizers library",
    no_unknown: "cannot read '.*WordPiece error: Missing",
}


@pytest.mark.parametrize("change", DAMAGES, ids=lambda change: change.__name__)
def test_a_damaged_tokenizer_is_refused_before_work(change: Callable[[dict[str, Any]], None], teacher: Path) -> None:
    edit(teacher / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    spec = read_json(teacher / "tokenizer.json")
    change(spec)
    write_json(teacher / "tokenizer.json", spec)
    with pytest.raises(UserError, match=DAMAGES[change]):
        read_teacher_tokenizer(find_teacher(str(teacher)))
