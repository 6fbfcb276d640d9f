"""Teachers as they really are, and as somebody may have made them: cloned as they read, or refused in one sentence."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from tokenizers import Tokenizer, models, trainers
from transformers import BertConfig, BertModel

from hub_tools.api import build_corpus
from hub_tools.cloning.clone import check_clonable, clone
from hub_tools.config_clone import Init
from hub_tools.core.errors import UserError, explain
from hub_tools.core.files import read_json, write_json
from hub_tools.core.hardware import Hardware
from hub_tools.corpus.build import Corpus
from hub_tools.corpus.readers import sample_file
from hub_tools.models.encoder import encode
from hub_tools.models.loading import LoadPolicy, load_model, token_rows
from hub_tools.models.resolve import find_teacher
from hub_tools.models.tokenizer import read_ready_tokenizer, read_teacher_tokenizer
from hub_tools.results import CloneResult
from hub_tools.tokenization.make import use_tokenizer
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from hub_tools.training.data import TokenizedTexts
from tests.commands import hub_distill, refused
from tests.damage import damage

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


def settings(name: str, **changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        edit(folder / name, **changes)

    return change


def text(name: str, content: str | bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def weights(**changes: Any) -> Callable[[Path], None]:
    """Change tensors whose names end with a word."""

    def change(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        for name in tensors:
            for word, changed in changes.items():
                if word in name:
                    tensors[name] = changed(tensors[name]).contiguous()
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return change


def cut(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def outside(folder: Path) -> None:
    listed = read_json(folder / "modules.json")
    listed[1]["path"] = "../../1_Pooling"
    write_json(folder / "modules.json", listed)


def router(name: str, kind: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        listed = read_json(folder / "modules.json")
        listed.append({"idx": 9, "name": "9", "path": "9_Router", "type": "sentence_transformers.models.Router"})
        write_json(folder / "modules.json", listed)
        (folder / "9_Router").mkdir()
        write_json(folder / "9_Router" / "router_config.json", {"types": {name: kind}, "structure": {"query": [name]}})

    return change


def no_dense_weights(folder: Path) -> None:
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "other.safetensors")


def modules_of(folder: Path, kinds: tuple[str, ...]) -> None:
    listed = read_json(folder / "modules.json")
    write_json(folder / "modules.json", [module for module in listed if module["type"].endswith(kinds)])


DEEP = "[" * 200_000


def misspelled(folder: Path) -> None:
    """Flip a bit of the name of a tensor."""
    file = folder / "model.safetensors"
    content = file.read_bytes()
    assert b"attention.self.query.weight" in content
    file.write_bytes(content.replace(b"self.query.weight", b"self.querx.weight"))


def nameless(folder: Path) -> None:
    """Take away what modules are called."""
    write_json(folder / "modules.json", [{**m, "name": None} for m in read_json(folder / "modules.json")])


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "deep config": (text("config.json", '{"x":' + DEEP), r"config\.json is no readable JSON"),
    "deep tokenizer": (text("tokenizer.json", '{"x":' + DEEP), r"tokenizer\.json is damaged or missing"),
    "deep modules": (text("modules.json", DEEP), r"modules\.json is no readable JSON"),
    "number of 5,000 digits": (text("config.json", '{"vocab_size": ' + "9" * 5000 + "}"), "is no readable JSON"),
    "not UTF-8": (text("config.json", b'{"a": "\xff"}'), "is no readable JSON"),
    "absurd vocabulary": (settings("config.json", vocab_size=10**12), "says vocab_size 1,000,000,000,000"),
    "absurd width": (settings("config.json", hidden_size=10**12), "says hidden_size 1,000,000,000,000"),
    "absurd depth": (settings("config.json", num_hidden_layers=10**9), "says num_hidden_layers 1,000,000,000"),
    "absurd positions": (settings("config.json", max_position_embeddings=10**15), "more memory in its config.json"),
    "negative width": (settings("config.json", hidden_size=-1), "hidden_size is '-1', expected a number"),
    "no heads": (settings("config.json", num_attention_heads=0), "no model that transformers can build"),
    "other heads": (settings("config.json", num_attention_heads=3), "no model that transformers can build"),
    "width as text": (settings("config.json", hidden_size="8"), "hidden_size is '8', expected a number"),
    "other width": (settings("config.json", hidden_size=16), r"has the shape .* config\.json asks for"),
    "more layers": (settings("config.json", num_hidden_layers=2, intermediate_size=32), r"has the shape"),
    "unknown architecture": (settings("config.json", model_type="never_heard"), "never_heard"),
    "other code": (settings("config.json", model_type="x", auto_map={"AutoModel": "x.Y"}), "--trust-remote-code"),
    "kernels of a repo": (settings("config.json", attn_implementation="evil/kernel"), "--trust-remote-code"),
    "length as text": (settings("sentence_bert_config.json", max_seq_length="long"), "max_seq_length is 'long'"),
    "class as a list": (settings("tokenizer_config.json", tokenizer_class=["x"]), "tokenizer_class is"),
    "padding as a number": (settings("tokenizer_config.json", pad_token=5), "pad_token"),
    "no padding": (
        settings("tokenizer_config.json", pad_token=None, tokenizer_class="PreTrainedTokenizerFast"),
        "no padding token",
    ),
    "prompts as a list": (settings("config_sentence_transformers.json", prompts=["x"]), "prompts is"),
    "prompt as a number": (
        settings("config_sentence_transformers.json", prompts={"query": 5}),
        "prompts are not all text",
    ),
    "unknown prompt": (settings("config_sentence_transformers.json", default_prompt_name="x"), "default_prompt_name"),
    "generation config": (text("generation_config.json", "{"), r"generation_config\.json is no readable JSON"),
    "pooling as a list": (settings("1_Pooling/config.json", pooling_mode=5), "holds no Pooling"),
    "dense of another size": (settings("2_Dense/config.json", in_features=9), "holds no Dense"),
    "dense runs code": (settings("2_Dense/config.json", activation_function="os.system"), "--trust-remote-code"),
    "dense without weights": (no_dense_weights, "no safetensors weights in 2_Dense"),
    "modules outside": (outside, "names a folder outside the model"),
    "routes outside": (router("../../x", "sentence_transformers.models.Normalize"), "names a folder outside the model"),
    "routes of foreign code": (router("a", "evil.Module"), "give --trust-remote-code"),
    "modules of numbers": (text("modules.json", "[1, 2]"), "expected a name, a path and a type"),
    "routes of nothing": (settings("2_Dense/config.json", module_input_name="x"), "does not fit to the modules before"),
    "no pooling": (lambda folder: modules_of(folder, ("Transformer", "Normalize")), "does not fit|make no vector"),
    "no modules": (text("modules.json", "[]"), "lists no modules"),
    "cut weights": (cut, "is damaged"),
    "damaged header": (text("model.safetensors", b"\x10\0\0\0\0\0\0\0{" + b"x" * 40), "is damaged"),
    "huge header": (text("model.safetensors", b"\xff" * 64), "is damaged"),
    "index of numbers": (text("model.safetensors.index.json", '{"weight_map": {"a": 1}}'), "the name of a file for"),
    "rows of integers": (weights(word_embeddings=lambda w: w.to(torch.int8)), "not quantized"),
    "rows of another width": (weights(word_embeddings=lambda w: w[:, :4]), "has the shape"),
    "too few rows": (weights(word_embeddings=lambda w: w[:50]), "that belong together"),
    "modules without names": (nameless, "expected a name, a path and a type"),
    "a vector of a number": (
        settings("2_Dense/config.json", module_input_name=5),
        "module_input_name is '5', expected",
    ),
    "a misspelled tensor": (misspelled, "and none called encoder.layer.0.attention.self.query.weight"),
    "one layer of another shape": (weights(intermediate=lambda w: w[..., :4]), "has the shape"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_teacher_is_refused_in_one_sentence_before_work(name: str, teacher: Path) -> None:
    change, words = HOSTILE[name]
    change(teacher)
    with pytest.raises(UserError, match=words) as error:
        check_clonable(find_teacher(str(teacher)))
    assert "\n" not in str(error.value)


def test_a_run_with_a_hostile_teacher_ends_before_it_begins(teacher: Path, tmp_path: Path) -> None:
    edit(teacher / "config.json", vocab_size=10**12)
    options = ["--lang", "tr", "--corpus", "sample", "--device", "cpu", "--precision", "fp32"]
    done = hub_distill("--teacher", str(teacher), *options, "--output", "run", cwd=tmp_path)
    refused(done, "config.json says vocab_size 1,000,000,000,000", "fetch the model again")
    assert not (tmp_path / "run").exists()


class Trap:
    """Pickled, it writes a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def pickles(content: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        torch.save(content(folder), folder / "pytorch_model.bin")

    return change


PICKLES: dict[str, tuple[Callable[[Path], None], str]] = {
    "code": (pickles(lambda folder: {"x": Trap(folder / "was-here")}), "without running code from it"),
    "no tensors": (pickles(lambda folder: {"x": 5}), "something else than the tensors"),
    "no names": (pickles(lambda folder: [torch.zeros(2)]), "something else than the tensors"),
    "absurd": (pickles(lambda folder: {"x": torch.zeros(2)}), "and its config.json says"),
    "no pickle": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        "without running code from it",
    ),
}


@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_is_read_without_its_code_or_refused_before_work(name: str, teacher: Path) -> None:
    change, words = PICKLES[name]
    change(teacher)
    with pytest.raises(UserError, match="give --allow-pickle"):
        find_teacher(str(teacher))
    with pytest.raises(UserError, match=words):
        check_clonable(find_teacher(str(teacher), policy=LoadPolicy(pickle=True)))
    assert not (teacher / "was-here").exists()


def test_safetensors_of_another_name_do_not_let_a_pickle_be_read(teacher: Path) -> None:
    (teacher / "2_Dense" / "model.safetensors").rename(teacher / "2_Dense" / "other.safetensors")
    torch.save({"x": Trap(teacher / "was-here")}, teacher / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"no safetensors weights in 2_Dense.*give --allow-pickle"):
        find_teacher(str(teacher))


DAMAGED = 110


def work(folder: Path, out: Path) -> None:
    """Do with a teacher what a run does."""
    teacher = find_teacher(str(folder))
    check_clonable(teacher)
    model = load_model(clone_with_own_tokenizer(folder, out), device="cpu")
    vectors = encode(model, TEXTS, CPU)
    texts = TokenizedTexts.Builder(out / "clone" / "tokenizer.json", 32)
    texts.add(TEXTS)
    assert texts.build().ids[:].max() < len(token_rows(model))
    assert vectors.shape[0] == len(TEXTS)


def test_a_damaged_teacher_is_cloned_or_refused_with_words(little: Path, tmp_path: Path) -> None:
    files = sorted(file.relative_to(little) for file in little.rglob("*") if file.is_file())
    outcomes: Counter[str] = Counter()
    for seed in range(DAMAGED):
        chance = random.Random(seed)
        name = files[seed % len(files)]
        folder = Path(shutil.copytree(little, tmp_path / str(seed)))
        kind, content = damage((folder / name).read_bytes(), chance)
        (folder / name).write_bytes(content)
        try:
            work(folder, tmp_path / f"{seed}-out")
            outcomes["cloned"] += 1
        except BaseException as error:
            sentence = explain(error)
            assert sentence is not None, f"seed {seed}, {name}, {kind}: {error!r}"
            outcomes[type(error).__name__] += 1
    assert outcomes["UserError"] > DAMAGED / 3, outcomes
