"""Clones of fewer layers: in every architecture they are the teacher with the other layers taken out."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hub_tools.cloning.clone import clone
from hub_tools.cloning.layers import check_layers, choose_layers, find_stack, measure_influence
from hub_tools.config import CloneConfig, RunConfig
from hub_tools.core.errors import UsageError, UserError
from hub_tools.core.files import read_json, write_json
from hub_tools.core.hardware import Hardware
from hub_tools.core.plain import from_plain, to_plain
from hub_tools.corpus.build import Corpus
from hub_tools.models.encoder import encode
from hub_tools.models.loading import backbone, load_model
from hub_tools.models.resolve import find_teacher
from hub_tools.models.sizes import plan_sizes
from hub_tools.models.tokenizer import read_teacher_tokenizer
from hub_tools.pipeline import run
from hub_tools.reporting.report import _chosen
from hub_tools.results import TokenizerResult, VocabularySize
from hub_tools.stages.base import Finished
from hub_tools.stages.clone import CloneStage
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from tests.architectures import ARCHITECTURES, build_teacher
from tests.conftest import whole_job
from tests.fake_run import read_report

CPU = Hardware(device="cpu", precision="fp32")
TEXTS = ["Merhaba dünya!", "A plain English sentence.", "x", "", "word " * 300, "Kitaplarımızı okuduk."]
COUNTS = {"distilbert": "n_layers", "t5": "num_layers"}
# LaBSE is a BERT with another head.
WITH_LAYERS = sorted(name for name, kind in ARCHITECTURES.items() if kind.config and name != "labse")


@pytest.fixture(scope="module")
def deep_teachers(
    small_tokenizers: dict[str, TokenizerSpec], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The teachers of all architectures with five layers; attention of two kinds in turns where there are two."""
    root, deep = tmp_path_factory.mktemp("deep"), {}
    for name in WITH_LAYERS:
        kind = ARCHITECTURES[name]
        config = {**kind.config, COUNTS.get(name, "num_hidden_layers"): 5}
        if "layer_types" in config:
            config["layer_types"] = ["sliding_attention", "full_attention"] * 2 + ["sliding_attention"]
        if config["model_type"] == "modernbert":
            config["global_attn_every_n_layers"] = 2
        deep[name] = build_teacher(replace(kind, config=config), small_tokenizers[kind.tokenizer], root / name)
    return deep


@pytest.mark.parametrize("name", WITH_LAYERS)
def test_a_clone_of_some_layers_is_the_teacher_without_the_others(
    name: str, deep_teachers: dict[str, Path], no_text: Corpus, tmp_path: Path
) -> None:
    teacher = find_teacher(str(deep_teachers[name]))
    read_teacher_tokenizer(teacher).write(tmp_path / "tokenizer")
    stack = find_stack(teacher)
    taken = choose_layers(np.array([1.0, 0.1, 0.2, 0.3, 1.0]), stack.kinds, 3)
    assert taken == ((0, 3, 4) if len({str(kind) for kind in stack.kinds}) < 3 and not stack.settings else taken)
    assert len(taken) == 3 and taken[0] == 0 and taken[-1] == 4
    made = clone(teacher, tmp_path / "tokenizer", no_text, tmp_path / "clone", init="mean", layers=taken)
    assert made.layers == list(taken)
    config = read_json(tmp_path / "clone" / "config.json")
    assert config[COUNTS.get(name, "num_hidden_layers")] == 3
    assert all(len(values) == 3 for key, values in config.items() if key == "layer_types")
    planned = plan_sizes(teacher).weight_bytes(len(TokenizerSpec.read(tmp_path / "tokenizer").vocab), 3)
    assert planned == pytest.approx(
        sum(file.stat().st_size for file in (tmp_path / "clone").rglob("*.safetensors")), 0.03
    )
    whole, student = load_model(teacher.path, device="cpu"), load_model(tmp_path / "clone", device="cpu")
    layers = backbone(whole).get_submodule(stack.name)
    full = encode(whole, TEXTS, CPU)
    for number in reversed(range(5)):
        if number not in taken:
            del layers[number]
    backbone(whole).config.get_text_config().num_hidden_layers = 3  # some models count instead of looking
    theirs, ours = encode(whole, TEXTS, CPU), encode(student, TEXTS, CPU)
    assert np.abs(theirs - ours).max() < 1e-4
    assert np.abs(full - ours).max() > 1e-2  # a model whose layers do nothing would prove nothing
    assert len(backbone(student).get_submodule(stack.name)) == 3


@pytest.mark.parametrize(("count", "taken"), [(1, (4,)), (2, (0, 4)), (3, (0, 2, 4)), (4, (0, 2, 3, 4))])
def test_the_first_the_last_and_those_of_most_influence_are_chosen(count: int, taken: tuple[int, ...]) -> None:
    assert choose_layers(np.array([0.4, 0.1, 0.3, 0.2, 1.0]), "aaaaa", count) == taken


def test_each_place_gets_a_layer_of_its_kind() -> None:
    kinds = "fssfssfs"  # the last one may not follow two others: the third place is for an s
    assert choose_layers(np.arange(8.0), kinds, 2) == (0, 7)
    assert choose_layers(np.arange(8.0), kinds, 3) == (0, 5, 7)
    assert choose_layers(np.arange(8.0), kinds, 4) == (0, 4, 5, 6)


def test_influence_is_how_far_a_layer_turns_the_states_of_tokens(deep_teachers: dict[str, Path]) -> None:
    teacher = find_teacher(str(deep_teachers["bert"]))
    stack, model = find_stack(teacher), load_model(teacher.path, device="cpu")
    texts = ["two words", "a much longer text than the other one"]
    watching = [len(layer._forward_hooks) for layer in backbone(model).modules()]
    found = measure_influence(model, stack, texts, CPU)
    assert [len(layer._forward_hooks) for layer in backbone(model).modules()] == watching
    sums, count = np.zeros(5), 0
    for text in texts:  # one at a time: no padding
        ids = model.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            states = backbone(model)(**ids, output_hidden_states=True).hidden_states
        cosines = [torch.nn.functional.cosine_similarity(a, b, dim=-1) for a, b in pairwise(states)]
        sums += [float((1 - cosine).sum()) for cosine in cosines]
        count += ids["input_ids"].shape[1]
    assert found == pytest.approx(sums / count, abs=1e-4)
    assert list(measure_influence(model, stack, [], CPU)) == sorted(np.linspace(0.5, 1, 5), reverse=True)


@pytest.mark.parametrize(
    ("name", "layers", "reason"),
    [
        ("bert", (6,), "--layers 6: .* has 5"),
        ("bert", (0, 5), "from 0 to 4"),
        ("bert", (2, 1), "in rising order"),
        ("gemma3", (0, 2), "layer 2 of .* would be in the place of layer 1, and is of another kind"),
        ("modernbert", (1, 2), "layer 1 of .* would be in the place of layer 0"),
        ("t5", (1, 2), "layer 1 of .* would be in the place of layer 0"),
    ],
)
def test_layers_that_a_clone_cannot_have_are_refused(
    name: str, layers: tuple[int, ...], reason: str, deep_teachers: dict[str, Path]
) -> None:
    teacher = find_teacher(str(deep_teachers[name]))
    with pytest.raises(UserError, match=reason):
        check_layers(find_stack(teacher), layers, teacher.name)


def test_teachers_without_layers_of_their_own_are_refused(
    small_teachers: dict[str, Path], small_tokenizers: dict[str, TokenizerSpec], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="has no layers, only a table of rows"):
        find_stack(find_teacher(str(small_teachers["static"])))
    config = {**ARCHITECTURES["bert"].config, "model_type": "albert", "embedding_size": 32, "num_hidden_layers": 4}
    shared = build_teacher(replace(ARCHITECTURES["bert"], config=config), small_tokenizers["wordpiece"], tmp_path)
    with pytest.raises(UserError, match="AlbertModel, which does not keep its 4 layers in one list"):
        find_stack(find_teacher(str(shared)))


def test_a_number_is_as_good_as_text_and_none_is_refused() -> None:
    assert CloneConfig.from_dict({"layers": 6}).layers == (6,)
    assert CloneConfig.from_dict({"layers": "0,1,11"}).layers == (0, 1, 11)
    with pytest.raises(UsageError, match="--layers 0: expected at least one"):
        CloneConfig.from_dict({"layers": 0})
    with pytest.raises(UsageError, match="--layers"):
        CloneConfig.from_dict({"layers": True})


def test_a_run_makes_and_trains_a_student_of_fewer_layers(deep_teachers: dict[str, Path], tmp_path: Path) -> None:
    options = whole_job(deep_teachers["bert"], tmp_path / "run")
    options |= {"clone": {"layers": 2}, "tokenizer": {"use": str(deep_teachers["bert"])}}
    report = run(RunConfig.from_dict(options), last="distill")
    assert report.clone is not None and report.distill is not None
    assert report.clone.layers == [0, 4] and len(report.clone.influence) == 5
    assert report.distill.weight_interpolation == 0  # a clone of two layers is nothing to go back to
    for folder in ("clone", "student"):
        assert read_json(tmp_path / "run" / folder / "config.json")["num_hidden_layers"] == 2
    assert "has 2 of the teacher's layers (0, 4, counted from 0)" in (tmp_path / "run" / "report.md").read_text()


@pytest.mark.parametrize(
    ("layers", "static"), [((0, 4), False), ((), True), ((), False)], ids=["layers", "static", "whole"]
)
def test_the_table_of_sizes_counts_what_the_student_has(
    *, layers: tuple[int, ...], static: bool, deep_teachers: dict[str, Path], no_text: Corpus, tmp_path: Path
) -> None:
    teacher = find_teacher(str(deep_teachers["bert"]))
    tokenizer = read_teacher_tokenizer(teacher)
    tokenizer.write(tmp_path / "tokenizer")
    size = len(tokenizer.vocab)
    measured = from_plain(TokenizerResult, read_report()["tokenizer"])
    sizes = [VocabularySize(vocab_size=size, tokens_per_word={}, params=1, weight_bytes=1)]
    measured = replace(measured, sizes=sizes, vocab_size=size)
    write_json(tmp_path / "tokenizer" / "stats.json", to_plain(measured))
    stage = CloneStage(
        teacher=teacher,
        legal_files=(),
        teacher_license=None,
        tokenizer=Finished(path=tmp_path / "tokenizer", identity=""),
        corpus=Finished(path=no_text.path, identity=""),
        init="mean",
        layers=layers,
        static=static,
        prompts={},
        targets=("tr",),
        chooses_split=False,
        hardware=CPU,
    )
    result = stage.work(tmp_path / "clone")
    (found,) = result.sizes
    stored = [tensor for file in (tmp_path / "clone").rglob("*.safetensors") for tensor in load_file(file).values()]
    assert found.params == sum(tensor.numel() for tensor in stored if tensor.is_floating_point())
    assert found.weight_bytes == pytest.approx(4 * found.params, abs=20_000)
    assert _chosen(measured, result, None)["tokenizer"].sizes == [found]  # what a report shows


def test_weights_in_several_files_lose_their_other_layers(
    deep_teachers: dict[str, Path], no_text: Corpus, tmp_path: Path
) -> None:
    folder = tmp_path / "teacher"
    shutil.copytree(deep_teachers["bert"], folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    halves = [OrderedDict(list(weights.items())[::2]), OrderedDict(list(weights.items())[1::2])]
    names = [f"model-{number}-of-2.safetensors" for number in (1, 2)]
    for name, half in zip(names, halves, strict=True):
        save_file(half, folder / name, metadata={"format": "pt"})
    index = {key: name for name, half in zip(names, halves, strict=True) for key in half}
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": index})
    teacher = find_teacher(str(folder))
    read_teacher_tokenizer(teacher).write(tmp_path / "tokenizer")
    clone(teacher, tmp_path / "tokenizer", no_text, tmp_path / "sharded", init="mean", layers=(0, 4))
    whole = find_teacher(str(deep_teachers["bert"]))
    clone(whole, tmp_path / "tokenizer", no_text, tmp_path / "whole", init="mean", layers=(0, 4))
    vectors = [encode(load_model(tmp_path / one, device="cpu"), TEXTS, CPU) for one in ("sharded", "whole")]
    assert np.array_equal(*vectors)
    written = read_json(tmp_path / "sharded" / "model.safetensors.index.json")["weight_map"]
    assert sorted(written) == sorted(load_file(tmp_path / "whole" / "model.safetensors"))
