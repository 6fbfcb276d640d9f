"""Exports give the model's vectors, or are refused and leave nothing behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules

from hub_tools.core.errors import UserError
from hub_tools.exporting import export as exports
from hub_tools.exporting import graph
from hub_tools.models.loading import load_model


@pytest.mark.parametrize("kind", get_args(exports.Format))
def test_an_export_gives_the_same_vectors(kind: exports.Format, tiny_teacher: Path, tmp_path: Path) -> None:
    found = exports.export(tiny_teacher, kind, tmp_path / "out")
    assert found["least_cosine"] >= (0.999 if kind.endswith("int8") else 0.9999)
    assert found["similarities_ranked"] > (0.999 if kind.endswith("int8") else 0.99999)
    assert (tmp_path / "out" / exports.FILES[kind]).exists()
    assert (tmp_path / "out" / "tokenizer.json").exists()
    assert not (tmp_path / "out" / "model.safetensors").exists()
    assert json.loads((tmp_path / "out" / "export.json").read_text())["least_cosine"] == found["least_cosine"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("kind", ["onnx", "onnx-int8"])
def test_token_types_may_be_given_and_left_out(kind: exports.Format, tiny_teacher: Path, tmp_path: Path) -> None:
    exports.export(tiny_teacher, kind, tmp_path / "out")
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / exports.FILES[kind]))
    assert [needed.name for needed in session.get_inputs()] == ["input_ids", "attention_mask"]
    ids = np.array([[2, 5, 7, 3], [2, 5, 3, 0]])
    inputs = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    without, given = (session.run(None, more | inputs)[1] for more in ({}, {"token_type_ids": np.zeros_like(ids)}))
    assert np.array_equal(without, given)


def test_tables_are_a_quarter_as_large_and_as_near_as_their_rows_allow(tiny_teacher: Path, tmp_path: Path) -> None:
    found = {kind: exports.export(tiny_teacher, kind, tmp_path / kind)["bytes"] for kind in ("onnx", "onnx-int8")}
    assert found["onnx-int8"] < 0.35 * found["onnx"]


@pytest.mark.parametrize("axis", [0, 1])
def test_each_row_or_column_has_a_step_of_its_own(axis: int) -> None:
    matrix = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
    matrix = matrix * (10.0 ** np.arange(8)[:, None] if axis == 0 else 10.0 ** np.arange(8)).astype(np.float32)
    matrix[0, 0] = 0
    rounded = graph.round_rows(matrix, axis)
    errors = np.abs(rounded.values * rounded.scales - matrix).max(axis=1 - axis)
    assert (errors <= 0.51 * np.abs(matrix).max(axis=1 - axis) / 127).all()
    assert np.array_equal(graph.round_rows(np.zeros((2, 2), np.float32), axis).values, np.zeros((2, 2)))


def product_of(weights: NDArray[np.float32]) -> onnx.ModelProto:
    number, shape = onnx.TensorProto.FLOAT, ["texts", "tokens"]
    width, wanted = weights.shape
    made = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["states", "weights"], ["product"])],
        "product",
        [onnx.helper.make_tensor_value_info("states", number, [*shape, width])],
        [onnx.helper.make_tensor_value_info("product", number, [*shape, wanted])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    graph.quantize_products(model.graph)
    onnx.checker.check_model(model)
    return model


@pytest.mark.parametrize("wanted", [16, 4, 64], ids=["square", "narrowing", "widening"])
def test_products_of_whole_numbers_are_those_of_the_states(wanted: int) -> None:
    """One token has numbers a thousand times those of the other; in a feed-forward layer each has its own step."""
    random = np.random.default_rng(0)
    weights = random.standard_normal((16, wanted)).astype(np.float32)
    states = (random.standard_normal((1, 3, 16)) * np.array([1.0, 1000.0, 0.0])[:, None]).astype(np.float32)
    session = onnxruntime.InferenceSession(product_of(weights).SerializeToString())
    found = session.run(None, {"states": states})[0][0]
    exact = states[0] @ weights
    near = np.abs(found - exact).max(axis=1) <= 0.02 * np.abs(exact).max(axis=1)
    assert near.tolist() == [wanted != 16, True, True]
    assert np.abs(found[:2] - exact[:2]).max() > 0  # it is rounded


def model_of(nodes: list[Any], arrays: dict[str, Any], **widths: int) -> onnx.ModelProto:
    """Return a model from one input to one output, which are named with their widths."""
    number = onnx.TensorProto.FLOAT
    ends = [[onnx.helper.make_tensor_value_info(name, number, ["n", width])] for name, width in widths.items()]
    weights = [onnx.numpy_helper.from_array(v.astype(np.float32), k) for k, v in arrays.items()]
    made = onnx.helper.make_graph(nodes, "layer", ends[0], ends[1], weights)
    return onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)


def test_channels_that_a_layer_norm_makes_large_are_evened_out() -> None:
    """Of 64 channels two are a hundred times as large, and the matrix has rows as much smaller there."""
    make = onnx.helper.make_node
    random = np.random.default_rng(0)
    large = np.where(np.arange(64) < 2, 100, 1)
    arrays = {"weight": large, "bias": large, "wide": random.standard_normal((64, 256)) / large[:, None]}
    nodes = [
        make("LayerNormalization", ["states", "weight", "bias"], ["normal"]),
        make("MatMul", ["normal", "wide"], ["product"]),
    ]
    model = model_of(nodes, arrays, states=64, product=256)
    plain = onnxruntime.InferenceSession(model.SerializeToString())
    graph.quantize_products(model.graph)
    onnx.checker.check_model(model)
    kinds = [node.op_type for node in model.graph.node]
    assert "DynamicQuantizeLinear" in kinds and "QuantizeLinear" not in kinds  # one step for all tokens
    states = random.standard_normal((8, 64)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found, exact = (one.run(None, {"states": states})[0] for one in (session, plain))
    assert 0 < np.abs(found - exact).max() <= 0.02 * np.abs(exact).max()


def test_states_out_of_gelu_have_no_least_number_to_look_for() -> None:
    make = onnx.helper.make_node
    random = np.random.default_rng(0)
    arrays = {"wide": random.standard_normal((8, 32)), "bias": random.standard_normal(32), "narrow": np.ones((32, 8))}
    nodes = [
        make("MatMul", ["states", "wide"], ["widened"]),
        make("Add", ["widened", "bias"], ["added"]),
        make("Gelu", ["added"], ["activated"]),
        make("MatMul", ["activated", "narrow"], ["product"]),
    ]
    model = model_of(nodes, arrays, states=8, product=8)
    plain = onnxruntime.InferenceSession(model.SerializeToString())
    graph.quantize_products(model.graph)
    onnx.checker.check_model(model)
    assert "activated" not in [node.input[0] for node in model.graph.node if node.op_type == "ReduceMin"]
    used = {name for node in model.graph.node for name in node.input}
    assert {one.name for one in model.graph.initializer} <= used
    # The second token is far below 0, where GELU gives nearly nothing.
    states = (random.standard_normal((3, 8)) * [[1.0], [100.0], [0.0]]).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found, exact = (one.run(None, {"states": states})[0] for one in (session, plain))
    assert (np.abs(found - exact).max(axis=1) <= 0.02 * np.abs(exact).max(axis=1)).all()


def test_products_of_neighbours_fit_into_16_bits() -> None:
    """What a processor without VNNI adds up there; columns: large neighbours, large weights far apart, none at all."""
    weights = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)
    weights[:2, 0], weights[:, 1:3], weights[[0, 2], 1] = 50, 0, 50
    values, scales = graph.round_columns(weights)
    pairs = np.concatenate([values, np.zeros((1, 4), np.int8)]).astype(int).reshape(-1, 2, 4)
    for sign in (1, -1):
        assert (255 * np.maximum(sign * pairs, 0).sum(axis=1)).max() <= 2**15 - 1
    assert np.abs(values).max(axis=0).tolist()[:3] == [64, 127, 0]
    assert (scales > 0).all() and (np.abs(values * scales - weights) <= 0.51 * scales).all()


def with_head(teacher: Path, width: int) -> SentenceTransformer:
    first = SentenceTransformer(str(teacher), device="cpu")
    torch.manual_seed(1)
    return SentenceTransformer(modules=[first[0], first[1], modules.Dense(32, width)], device="cpu")


@pytest.mark.parametrize(("width", "reason"), [(32, "the least cosine is"), (16, "a Dense head was dropped")])
def test_an_exporter_that_drops_the_dense_head_is_caught(
    width: int, reason: str, tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_head(tiny_teacher, width).save_pretrained(str(tmp_path / "model"), create_model_card=False)
    original = exports.whole

    def without_heads(model: SentenceTransformer) -> torch.nn.Module:
        return original(SentenceTransformer(modules=[model[0], model[1]], device="cpu"))

    monkeypatch.setattr(exports, "whole", without_heads)
    with pytest.raises(UserError, match=rf"{reason}.*Nothing was written"):
        exports.export(tmp_path / "model", "openvino", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model"]
    monkeypatch.undo()
    assert exports.export(tmp_path / "model", "openvino", tmp_path / "out")["least_cosine"] > 0.9999


def test_the_gate_refuses_what_is_no_number() -> None:
    expected = np.ones((2, 3), np.float32)
    with pytest.raises(UserError, match=r"not finite. Nothing was written"):
        exports.check_parity(expected, np.full((2, 3), np.nan, np.float32), "onnx")


@pytest.mark.slow
@pytest.mark.parametrize("kind", get_args(exports.Format))
@pytest.mark.parametrize("name", ["gemma3", "qwen3", "xlm-r", "modernbert"])
def test_exports_of_other_architectures(
    name: str, kind: exports.Format, small_clones: dict[str, tuple[Path, Any]], tmp_path: Path
) -> None:
    """Dense heads and prompts; left padding, last token and prompts; positions after the padding; local attention."""
    folder, _ = small_clones[name]
    assert bool(load_model(folder, device="cpu").prompts.get("query")) == (name in ("gemma3", "qwen3"))
    found = exports.export(folder, kind, tmp_path / kind)
    assert found["least_cosine"] >= (0.99 if kind.endswith("int8") else 0.9999)


@pytest.mark.parametrize("kind", get_args(exports.Format))
def test_what_an_exporter_raises_is_a_refusal(
    kind: exports.Format, tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unknown(torch.nn.Module):
        def forward(self, *args: Any) -> Any:
            raise NotImplementedError("aten::nothing\nat line 3")

    monkeypatch.setattr(exports, "whole", lambda model: Unknown())
    with pytest.raises(UserError, match=rf"exporter of --format {kind} cannot write or read this BertModel") as caught:
        exports.export(tiny_teacher, kind, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_student_of_a_run_is_found_and_other_folders_are_refused(tiny_teacher: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "student").symlink_to(tiny_teacher)
    assert exports.find_model(tmp_path / "run").name == "student"
    with pytest.raises(UserError, match="no finished run and no sentence-transformers model"):
        exports.find_model(tmp_path)


def test_a_full_folder_and_a_missing_library_are_refused(
    tiny_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        exports.export(tiny_teacher, "onnx", tmp_path / "full")

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(exports, "import_module", missing)
    with pytest.raises(UserError, match=r"pip install 'hub-tools\[export\]'"):
        exports.export(tiny_teacher, "openvino", tmp_path / "out")


def test_weights_in_other_forms_beside_the_model_are_not_taken_along(tiny_teacher: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(tiny_teacher, tmp_path / "model"))
    for name in ("onnx/model.onnx", "openvino/openvino_model.xml", "pytorch_model.bin", "tf_model.h5"):
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_text("old")
    exports.export(model, "openvino", tmp_path / "out")
    files = [path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not {"onnx/model.onnx", "pytorch_model.bin", "tf_model.h5"} & set(files)
    assert (tmp_path / "out" / exports.FILES["openvino"]).read_text() != "old"
    assert "1_Pooling/config.json" in files


def test_static_embeddings_need_no_export(small_clones: dict[str, tuple[Path, Any]], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a table of rows, which needs no export"):
        exports.export(small_clones["static"][0], "onnx", tmp_path / "out")
    assert load_model(small_clones["static"][0], device="cpu")


def test_the_folder_where_one_stands_has_a_name(
    small_clones: dict[str, tuple[Path, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_clones["static"][0])
    with pytest.raises(UserError, match=r"clone begins with a StaticEmbedding"):
        exports.export(Path(), "onnx")
