"""Changes to a graph of ONNX: numbers of eight bits for weights and states, and an input that may be left out.

Rows of a table of embeddings differ in length by far more than a step of eight bits can show, so each has a scale of
its own; so has each column of a matrix. onnxruntime's own dynamic quantization has one step for all states of a batch:
with the large numbers that those of BERT have in a few places it costs more than it should (docs/smaller.md). So where
they are in a few channels these are made smaller before, and where they are at a few tokens each token has a step of
its own. Only operators of the standard are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_LARGEST = 127
# Of two neighbouring weights of one sign, whose products with 255 have to fit into 16 bits.
_LARGEST_PAIR = 32767 // 255
# No number below this comes out of GELU.
_LEAST_GELU = -0.17
_TINY = 1e-12
# SmoothQuant's alpha, and the largest number of a channel in standard deviations.
_EVENING, _DEVIATIONS = 0.75, 3


class Rounded(NamedTuple):
    """An array as whole numbers and the scale of each row or column: `values * scales` is nearly the array."""

    values: NDArray[np.integer[Any]]
    scales: NDArray[np.float32]


def round_rows(array: NDArray[np.float32], axis: int) -> Rounded:
    """Round a matrix to int8, with a scale for each row (axis 0) or each column (axis 1), kept as a dimension."""
    largest = np.abs(array).max(axis=1 - axis, keepdims=True)
    scales = (np.where(largest > 0, largest, 1) / _LARGEST).astype(np.float32)
    return Rounded(np.round(array / scales).astype(np.int8), scales)


def quantize_tables(graph: Any) -> None:
    """Store each table that rows are looked up in as int8, with a scale for each row."""
    onnx: Any = import_module("onnx")
    make = onnx.helper.make_node
    for node, name, array in list(_constant_matrices(graph, "Gather", 0)):
        _replace_constant(graph, name, round_rows(array, 0))
        ids, out = node.input[1], node.output[0]
        lookup = [
            make("Gather", [f"{name}_int8", ids], [f"{out}_int8"]),
            make("Cast", [f"{out}_int8"], [f"{out}_values"], to=onnx.TensorProto.FLOAT),
            make("Gather", [f"{name}_scales", ids], [f"{out}_scales"]),
            make("Mul", [f"{out}_values", f"{out}_scales"], [out]),
        ]
        _replace_node(graph, node, lookup)


def quantize_weights(graph: Any) -> None:
    """Store each matrix that states are multiplied by as int8, with a scale for each column; products stay in fp32."""
    onnx: Any = import_module("onnx")
    make = onnx.helper.make_node
    for node, name, array in list(_constant_matrices(graph, "MatMul", 1)):
        values, scales = round_rows(array, 1)
        _replace_constant(graph, name, Rounded(values, scales[0]))
        weights = make("DequantizeLinear", [f"{name}_int8", f"{name}_scales"], [f"{name}_float"], axis=1)
        _replace_node(graph, node, [weights, make("MatMul", [node.input[0], f"{name}_float"], list(node.output))])


def _even_channels(graph: Any) -> set[str]:
    """Divide what matrices widen, channel by channel, by its size, and multiply their rows; return the new names of it.

    Source: SmoothQuant (Xiao et al. 2023, arXiv 2211.10438), which measures channels on text. Here a layer
    normalisation says how large they get, by weight and bias; where there is none before a matrix, nothing is done.
    """
    onnx: Any = import_module("onnx")
    constants, even = {tensor.name: tensor for tensor in graph.initializer}, set[str]()
    products = [one for one in _constant_matrices(graph, "MatMul", 1) if one[2].shape[0] < one[2].shape[1]]
    for norm in [node for node in graph.node if node.op_type == "LayerNormalization"]:
        states = norm.output[0]
        widened = [(node, name, array) for node, name, array in products if node.input[0] == states]
        names = [of for of in norm.input[1:] if of]
        if not widened or not constants.keys() >= set(names):
            continue
        weight, *bias = (onnx.numpy_helper.to_array(constants[of]) for of in names)
        channels = np.maximum(_DEVIATIONS * np.abs(weight) + sum(map(np.abs, bias)), _TINY)
        rows = np.maximum(np.max([np.abs(array).max(axis=1) for _, _, array in widened], axis=0), _TINY)
        sizes = channels**_EVENING / rows ** (1 - _EVENING)
        sizes = (sizes / np.exp(np.log(sizes).mean())).astype(np.float32)
        of = f"{states}_even"
        graph.initializer.append(onnx.numpy_helper.from_array(1 / sizes, f"{of}_divisors"))
        divided = onnx.helper.make_node("Mul", [states, f"{of}_divisors"], [of])
        graph.node.insert(list(graph.node).index(norm) + 1, divided)
        for node, name, array in widened:
            constants[name].CopyFrom(onnx.numpy_helper.from_array(array * sizes[:, None], name))
            node.input[0] = of
        even.add(of)
    return even


def quantize_products(graph: Any) -> None:
    """Multiply whole numbers of eight bits: states from 0 to 255, and matrices with a scale for each column.

    The operators are those that onnxruntime fuses into one. They have one step for all tokens of a batch, which is too
    coarse for the two matrices of a feed-forward layer. What one widens has large numbers in a few channels, which are
    made even where that is possible. For other matrices that widen or narrow, each token has a step. The product has
    the largest of these, and is multiplied by each token's part of it afterwards.
    """
    onnx: Any = import_module("onnx")
    make = onnx.helper.make_node
    even = _even_channels(graph)
    activated = {node.output[0] for node in graph.node if node.op_type == "Gelu"}
    seen: set[str] = set()
    constants = {"tiny": _TINY, "gelu": -_LEAST_GELU, "one": 1, "all": 255, "unit": 1 / _LARGEST}
    named = {name: np.array(value, np.float32) for name, value in constants.items()}
    named |= {"zero": np.array(_LARGEST + 1, np.uint8), "axis": np.array([-1])}
    for node, name, array in list(_constant_matrices(graph, "MatMul", 1)):
        states, out = node.input[0], node.output[0]
        by_token = array.shape[0] != array.shape[1] and states not in even
        of = f"{states}_by_token" if by_token else states
        values, scales = round_columns(array)
        _replace_constant(graph, name, Rounded(values, scales[0]))
        named[f"width_{len(array)}"] = np.array([-1, len(array)])
        new = []
        if of not in seen and by_token:
            new = _by_token(states, of, f"int8_width_{len(array)}", is_gelu=states in activated)
        elif of not in seen:
            new = [make("DynamicQuantizeLinear", [of], [f"{of}_int8", f"{of}_step", f"{of}_zero"])]
        seen.add(of)
        product = f"{out}_by_token" if by_token else out
        new += [
            make("MatMulInteger", [f"{of}_int8", f"{name}_int8", f"{of}_zero"], [f"{out}_whole"]),
            make("Cast", [f"{out}_whole"], [f"{out}_float"], to=onnx.TensorProto.FLOAT),
            make("Mul", [f"{of}_step", f"{name}_scales"], [f"{out}_steps"]),
            make("Mul", [f"{out}_float", f"{out}_steps"], [product]),
            *([make("Mul", [product, f"{of}_part"], [out])] if by_token else []),
        ]
        _replace_node(graph, node, new)
    used = {name for node in graph.node for name in node.input}
    graph.initializer.extend(
        onnx.numpy_helper.from_array(array, f"int8_{name}") for name, array in named.items() if f"int8_{name}" in used
    )


def round_columns(array: NDArray[np.float32]) -> Rounded:
    """Round a matrix to int8, with a scale for each column, so that products with 0 to 255 are exact everywhere.

    Processors without VNNI add up the products of two neighbours in 16 bits. A column is scaled so that these never
    overflow, which costs less than the usual seven bits for all weights: neighbours are seldom both large.
    """
    padded = np.concatenate([array, np.zeros((len(array) % 2, array.shape[1]), np.float32)])
    pairs = padded.reshape(-1, 2, array.shape[1])
    together = np.maximum(np.maximum(pairs, 0).sum(axis=1), np.maximum(-pairs, 0).sum(axis=1)).max(axis=0)
    # Rounding may add half a step to each of the two.
    scales = np.maximum(np.abs(array).max(axis=0) / _LARGEST, together / (_LARGEST_PAIR - 1))[None]
    scales = np.where(scales > 0, scales, 1).astype(np.float32)
    return Rounded(np.round(array / scales).astype(np.int8), scales)


def _by_token(states: str, of: str, width: str, *, is_gelu: bool) -> list[Any]:
    """Return nodes that round the states of each token by its own largest number, to whole numbers from 0 to 255.

    They give `of` and "_int8", "_zero" (what stands for 0), "_step" (the largest of all tokens) and "_part" (a token's
    step in proportion to it). To look for the least number of a token takes time, and what comes out of GELU has none
    to look for: how far below 0 it can be follows from the token with the smallest step.
    """
    onnx: Any = import_module("onnx")
    make = onnx.helper.make_node
    if is_gelu:
        range_of = [
            make("Max", [f"{of}_high", "int8_gelu"], [f"{of}_largest"]),
            make("ReduceMin", [f"{of}_largest"], [f"{of}_least"], keepdims=0),
            make("Div", ["int8_gelu", f"{of}_least"], [f"{of}_below"]),
            make("Add", [f"{of}_below", "int8_one"], [f"{of}_range"]),
            make("Div", [f"{of}_range", "int8_all"], [f"{of}_unit"]),
            make("Div", [f"{of}_below", f"{of}_unit"], [f"{of}_zero_float"]),
            make("Round", [f"{of}_zero_float"], [f"{of}_zero_whole"]),
            make("Cast", [f"{of}_zero_whole"], [f"{of}_zero"], to=onnx.TensorProto.UINT8),
        ]
    else:
        range_of = [
            make("ReduceMin", [states, "int8_axis"], [f"{of}_low"], keepdims=1),
            make("Neg", [f"{of}_low"], [f"{of}_below"]),
            make("Max", [f"{of}_high", f"{of}_below", "int8_tiny"], [f"{of}_largest"]),
            make("Identity", ["int8_unit"], [f"{of}_unit"]),
            make("Identity", ["int8_zero"], [f"{of}_zero"]),
        ]
    return [
        make("ReduceMax", [states, "int8_axis"], [f"{of}_high"], keepdims=1),
        *range_of,
        make("Mul", [f"{of}_largest", f"{of}_unit"], [f"{of}_token_steps"]),
        make("ReduceMax", [f"{of}_token_steps"], [f"{of}_step"], keepdims=0),
        make("Div", [f"{of}_token_steps", f"{of}_step"], [f"{of}_part"]),
        # A step for each row is what the operator knows, so tokens become rows and batches again.
        make("Reshape", [f"{of}_token_steps", "int8_axis"], [f"{of}_row_steps"]),
        make("Shape", [f"{of}_row_steps"], [f"{of}_count"]),
        make("Expand", [f"{of}_zero", f"{of}_count"], [f"{of}_row_zeros"]),
        make("Reshape", [states, width], [f"{of}_rows"]),
        make("QuantizeLinear", [f"{of}_rows", f"{of}_row_steps", f"{of}_row_zeros"], [f"{of}_rows_int8"], axis=0),
        make("Shape", [states], [f"{of}_shape"]),
        make("Reshape", [f"{of}_rows_int8", f"{of}_shape"], [f"{of}_int8"]),
    ]


def allow_input(graph: Any, name: str) -> None:
    """Let callers give a whole number for each token under this name, or not; the graph does not look at it.

    An input that has a value in the graph need not be given.
    """
    onnx: Any = import_module("onnx")
    shape = [dim.dim_param or dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim]
    graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, shape))
    graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((1, 1), np.int64), name))


def _constant_matrices(graph: Any, kind: str, place: int) -> Iterator[tuple[Any, str, NDArray[np.float32]]]:
    """Yield nodes of a kind that alone have a constant matrix in a place of their inputs, its name and its numbers."""
    onnx: Any = import_module("onnx")
    constants = {tensor.name: tensor for tensor in graph.initializer}
    users = [name for node in graph.node for name in node.input]
    for node in graph.node:
        name = node.input[place] if node.op_type == kind else ""
        if name in constants and users.count(name) == 1 and constants[name].data_type == onnx.TensorProto.FLOAT:
            array = onnx.numpy_helper.to_array(constants[name])
            if len(array.shape[1:]) == 1 and not any(attribute.i for attribute in node.attribute):
                yield node, name, array


def _replace_constant(graph: Any, name: str, rounded: Rounded) -> None:
    onnx: Any = import_module("onnx")
    graph.initializer.remove(next(tensor for tensor in graph.initializer if tensor.name == name))
    values, scales = (
        onnx.numpy_helper.from_array(array, f"{name}_{end}")
        for array, end in zip(rounded, ("int8", "scales"), strict=True)
    )
    graph.initializer.extend([values, scales])


def _replace_node(graph: Any, node: Any, new: list[Any]) -> None:
    place = list(graph.node).index(node)
    graph.node.remove(node)
    for one in reversed(new):
        graph.node.insert(place, one)
