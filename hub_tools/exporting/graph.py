"""Changes to a graph of ONNX: numbers of eight bits for weights and states, and an input that may be left out.

Rows of a table of embeddings differ in length by far more than a step of eight bits can show, so each has a scale of
its own; so has each column of a matrix, and in products each token. onnxruntime's own dynamic quantization has one step
for all tokens of a batch: with the large numbers that states of BERT have in a few places it cost multilingual-e5-small
2.8 of 100 in how it orders similarities, and this 0.3 (docs/smaller.md). Only operators of the standard are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_LARGEST = 127


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


def quantize_products(graph: Any) -> None:
    """Multiply whole numbers of eight bits: the columns of each matrix, and the states of each token, have own steps.

    A token's states are `low + step * whole` with whole numbers from 0 to 255, so a product with a column is
    `step * scale * (whole numbers multiplied) + low * (sum of the column)`. The matrix is stored from 0 to 255 too:
    processors without VNNI add up products of a signed and an unsigned factor in 16 bits, which are too few.
    """
    onnx: Any = import_module("onnx")
    make = onnx.helper.make_node
    constants = {
        "steps": np.float32(1 / 255),
        "least_step": np.float32(1e-12),
        "middle": np.uint8(128),
        "axis": np.array([-1]),
    }
    graph.initializer.extend(onnx.numpy_helper.from_array(np.array(v), f"int8_{k}") for k, v in constants.items())
    seen: set[str] = set()
    for node, name, array in list(_constant_matrices(graph, "MatMul", 1)):
        values, scales = round_rows(array, 1)
        sums = (values.astype(np.float32).sum(axis=0) * scales[0]).astype(np.float32)
        _replace_constant(graph, name, Rounded((values.astype(np.int16) + 128).astype(np.uint8), scales[0]))
        graph.initializer.append(onnx.numpy_helper.from_array(sums, f"{name}_sums"))
        states, out = node.input[0], node.output[0]
        new = [] if states in seen else _states_to_int8(states)
        seen.add(states)
        new += [
            make("MatMulInteger", [f"{states}_int8", f"{name}_int8", "", "int8_middle"], [f"{out}_whole"]),
            make("Cast", [f"{out}_whole"], [f"{out}_float"], to=onnx.TensorProto.FLOAT),
            make("Mul", [f"{out}_float", f"{states}_step"], [f"{out}_stepped"]),
            make("Mul", [f"{out}_stepped", f"{name}_scales"], [f"{out}_scaled"]),
            make("Mul", [f"{states}_low", f"{name}_sums"], [f"{out}_below"]),
            make("Add", [f"{out}_scaled", f"{out}_below"], [out]),
        ]
        _replace_node(graph, node, new)


def _states_to_int8(name: str) -> list[Any]:
    """Return nodes that round states to whole numbers from 0 to 255, with a lowest state and a step for each token."""
    onnx: Any = import_module("onnx")
    make = onnx.helper.make_node
    return [
        make("ReduceMin", [name, "int8_axis"], [f"{name}_low"], keepdims=1),
        make("ReduceMax", [name, "int8_axis"], [f"{name}_high"], keepdims=1),
        make("Sub", [f"{name}_high", f"{name}_low"], [f"{name}_range"]),
        make("Mul", [f"{name}_range", "int8_steps"], [f"{name}_exact_step"]),
        make("Max", [f"{name}_exact_step", "int8_least_step"], [f"{name}_step"]),
        make("Sub", [name, f"{name}_low"], [f"{name}_above"]),
        make("Div", [f"{name}_above", f"{name}_step"], [f"{name}_in_steps"]),
        make("Round", [f"{name}_in_steps"], [f"{name}_rounded"]),
        make("Cast", [f"{name}_rounded"], [f"{name}_int8"], to=onnx.TensorProto.UINT8),
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
