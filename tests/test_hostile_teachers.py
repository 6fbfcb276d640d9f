"""Teachers whose files are damaged or lie: refused in one sentence before any work, or cloned."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hub_tools.cloning.clone import check_clonable
from hub_tools.core.errors import UserError, explain
from hub_tools.core.files import read_json, write_json
from hub_tools.models.encoder import encode
from hub_tools.models.loading import LoadPolicy, load_model, token_rows
from hub_tools.models.resolve import find_teacher
from hub_tools.training.data import TokenizedTexts
from tests.commands import hub_distill, refused
from tests.damage import damage
from tests.little_teacher import CPU, TEXTS, clone_with_own_tokenizer, edit


@pytest.fixture
def teacher(little: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(little, tmp_path / "teacher"))


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
