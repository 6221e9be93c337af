"""Make a detector's batch dynamic and give it another input size, by rewriting what its exporter froze.

What exporters freeze, and what becomes of it:

| frozen                                | becomes                                                       |
|---------------------------------------|---------------------------------------------------------------|
| Reshape to [1, 85, 2704]              | [0, 85, n], n from the input's shape at the new size          |
| Reshape to [1, 128, 20, 20] of 400    | the feature map's sides at the new size                       |
| Reshape that merges batch with heads  | -1 there                                                      |
| Resize to given sizes                 | Resize by the same factors                                    |
| Expand to a feature map               | the feature map's sides at the new size                       |
| grids, strides, anchors as constants  | evaluated at the new size, if affine in row and column        |

Everything else is left alone; a graph that then fails, or gives another number of candidates than its strides say, is
refused by the caller. That a rewriting means the same is shown numerically: see check.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from pipelines.errors import ModelError
from pipelines.model.change import Change, Sides
from pipelines.model.graph import constants
from pipelines.model.grid import refit_flat, refit_plane
from pipelines.model.observe import observe
from pipelines.model.sides import map_pairs, new_sides

_ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Concat", "Where"})
"""Operators whose constants may be grids. Weights of convolutions never are."""


def reshape(model: onnx.ModelProto, picture: str, change: Change) -> onnx.ModelProto:
    """A copy of the model whose batch is dynamic and whose `picture` input has the new size. Runs parts of the graph.

    Raises:
        ModelError: a constant or a Reshape that follows the input size in a way we do not know; names the node.
    """
    out = onnx.ModelProto()
    out.CopyFrom(model)
    _declare(out.graph, picture, change.old_wh, 1)
    frozen = _frozen(out.graph)
    shapes = observe(out, picture, change.old_wh, frozen)
    _declare(out.graph, picture, change.new_wh, 1)
    for index, node in enumerate(out.graph.node):
        if node.op_type == "Reshape" and node.input[0] in frozen:
            now = shapes
            if change.resized:  # every node before this one is rewritten already
                now = observe(out, picture, change.new_wh, [node.input[0]], index)
            _rewrite_reshape(out.graph, node, shapes, now[node.input[0]], change)
        elif change.resized and node.op_type == "Expand":
            _rewrite_expand(out.graph, node, change)
        elif change.resized and node.op_type == "Resize" and node.input[0] in frozen:
            _rewrite_resize(out.graph, node, shapes)
        elif change.resized and node.op_type in _ELEMENTWISE:
            _rewrite_constants(out.graph, node, change)
    _declare(out.graph, picture, change.new_wh, "batch")
    return out


def _frozen(graph: onnx.GraphProto) -> set[str]:
    """Inputs and outputs of the nodes whose target shape is a constant and whose data is not."""
    known = constants(graph).keys()
    index = {"Reshape": 1, "Resize": 3}
    nodes = [n for n in graph.node if n.op_type in index and len(n.input) > index[n.op_type]]
    nodes = [n for n in nodes if n.input[index[n.op_type]] in known and n.input[0] not in known]
    return {name for node in nodes for name in (node.input[0], node.output[0])}


def _declare(graph: onnx.GraphProto, picture: str, wh: Sides, batch: int | str) -> None:
    """Declare the picture's shape, and forget what was declared about everything behind it."""
    for info in graph.input:
        if info.name == picture:
            kind = info.type.tensor_type.elem_type
            info.CopyFrom(helper.make_tensor_value_info(picture, kind, [batch, 3, wh[1], wh[0]]))
    for info in graph.output:
        info.CopyFrom(helper.make_tensor_value_info(info.name, info.type.tensor_type.elem_type, None))
    del graph.value_info[:]


def _constant(graph: onnx.GraphProto, name: str) -> Any:
    tensor = constants(graph).get(name)
    return None if tensor is None else numpy_helper.to_array(tensor)


def _set_constant(graph: onnx.GraphProto, node: onnx.NodeProto, index: int, value: Any) -> None:
    """Give one input of one node a constant of its own: another node may share the old one."""
    name = f"framegate/reshaped_{len(graph.initializer)}"
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
    node.input[index] = name


def _name(node: onnx.NodeProto) -> str:
    return node.name or node.output[0]


def _rewrite_reshape(
    graph: onnx.GraphProto, node: onnx.NodeProto, shapes: dict[str, list[int]], now: list[int], change: Change
) -> None:
    if node.input[1] not in constants(graph):
        return
    sides = new_sides(_name(node), shapes[node.input[0]], shapes[node.output[0]], now, change.maps())
    _set_constant(graph, node, 1, np.array(sides, np.int64))
    kept = [a for a in node.attribute if a.name != "allowzero"]
    del node.attribute[:]
    node.attribute.extend(kept)


def _rewrite_expand(graph: onnx.GraphProto, node: onnx.NodeProto, change: Change) -> None:
    target = _constant(graph, node.input[1])
    if target is not None:
        _set_constant(graph, node, 1, np.array(map_pairs(target.tolist(), change.maps()), np.int64))


def _rewrite_resize(graph: onnx.GraphProto, node: onnx.NodeProto, shapes: dict[str, list[int]]) -> None:
    """Given sizes become the factors they were at the old size."""
    if len(node.input) > 3 and node.input[3] in constants(graph):
        del node.input[3]
        before, after = shapes[node.input[0]], shapes[node.output[0]]
        _set_constant(graph, node, 2, np.array(after, np.float32) / np.array(before, np.float32))


def _rewrite_constants(graph: onnx.GraphProto, node: onnx.NodeProto, change: Change) -> None:
    for index, name in enumerate(node.input):
        value = _constant(graph, name)
        axis = None if value is None else _spanning_axis(value.shape, change)
        if axis is None:
            continue
        fitted = _refit(value, axis, change)
        if fitted is None:
            raise ModelError(
                f"node {_name(node)}: its constant {name} {list(value.shape)} belongs to input size "
                f"{change.old_wh[0]}x{change.old_wh[1]} and is no grid: this model cannot change its size"
            )
        _set_constant(graph, node, index, fitted)


def _spanning_axis(shape: tuple[int, ...], change: Change) -> int | None:
    """The axis that runs over all candidates, else the first of two that run over a feature map."""
    if change.candidates in shape:
        return shape.index(change.candidates)
    maps = change.maps()
    return next((i for i in range(len(shape) - 1) if shape[i : i + 2] in maps), None)


def _refit(value: Any, axis: int, change: Change) -> Any:
    if change.grid is not None and value.shape[axis] == change.candidates:
        return refit_flat(value, axis, change.grid, change.old_wh, change.new_wh)
    return refit_plane(value, axis, change.maps()[value.shape[axis : axis + 2]])
