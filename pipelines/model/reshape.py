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

from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from pipelines.errors import ModelError
from pipelines.model.change import Change, Sides
from pipelines.model.graph import constants, static_shapes
from pipelines.model.grid import refit_flat, refit_plane

_ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Concat", "Where"})
"""Operators whose constants may be grids. Weights of convolutions never are."""


def reshape(model: onnx.ModelProto, picture: str, change: Change) -> onnx.ModelProto:
    """A copy of the model whose batch is dynamic and whose `picture` input has the new size.

    Raises:
        ModelError: a constant or a Reshape that follows the input size in a way we do not know; names the node.
    """
    out = onnx.ModelProto()
    out.CopyFrom(model)
    _declare(out.graph, picture, change.old_wh, 1)
    shapes = static_shapes(out)
    _declare(out.graph, picture, change.new_wh, 1)
    for node in out.graph.node:
        if node.op_type == "Reshape" and not {node.input[0]} & constants(out.graph).keys():
            _rewrite_reshape(out, node, shapes, change)
        elif change.resized and node.op_type == "Expand":
            _rewrite_expand(out.graph, node, change)
        elif change.resized and node.op_type == "Resize":
            _rewrite_resize(out.graph, node, shapes)
        elif change.resized and node.op_type in _ELEMENTWISE:
            _rewrite_constants(out.graph, node, change)
    _declare(out.graph, picture, change.new_wh, "batch")
    return out


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
    model: onnx.ModelProto, node: onnx.NodeProto, shapes: dict[str, list[int]], change: Change
) -> None:
    target = _constant(model.graph, node.input[1])
    if target is None:
        return
    before, after = shapes.get(node.input[0]), shapes.get(node.output[0])
    sides = target.tolist()
    if before is not None and after is not None:
        # Inference knows the new shape here: every node before this one is rewritten already.
        now = static_shapes(model).get(node.input[0]) if change.resized else before
        if now is None or len(now) != len(before):
            raise ModelError(f"node {_name(node)}: its input's shape at the new size cannot be inferred")
        sides = _sides(_name(node), before, after, now, change.maps())
    elif sides and sides[0] == 1:
        sides[0] = 0
    _set_constant(model.graph, node, 1, np.array(sides, np.int64))
    kept = [a for a in node.attribute if a.name != "allowzero"]
    del node.attribute[:]
    node.attribute.extend(kept)


def _sides(name: str, before: list[int], after: list[int], now: list[int], maps: dict[Sides, Sides]) -> list[int]:
    """The target of a Reshape that turned `before` into `after`, for an input that is now `now`, at any batch."""
    sides = list(after)
    for took, gave in match_sides(before, after):
        size = prod(now[i] for i in took)
        changed = size != prod(before[i] for i in took)
        if took == gave == [0]:
            sides[0] = 0
        elif 0 in took and gave:
            if changed:
                raise ModelError(f"node {name}: Reshape {before} -> {after} merges the batch with the input size")
            sides[gave[0]] = -1
        elif changed and len(gave) == 1:
            sides[gave[0]] = size
        elif changed:
            mapped = map_pairs([after[i] for i in gave], maps)
            if prod(mapped) != size:
                raise ModelError(f"node {name}: Reshape {before} -> {after} cannot be told for an input of {now}")
            sides[gave[0] : gave[-1] + 1] = mapped
    return sides


def match_sides(before: list[int], after: list[int]) -> list[tuple[list[int], list[int]]]:
    """Split a Reshape into independent parts: indices of sides before and after, with equal products."""
    parts, i, j = [], 0, 0
    while i < len(before) or j < len(after):
        took, gave = [i] if i < len(before) else [], [j] if j < len(after) else []
        i, j = i + len(took), j + len(gave)
        while (left := prod(before[k] for k in took)) != (right := prod(after[k] for k in gave)):
            if left < right and i < len(before):
                took.append(i)
                i += 1
            elif left > right and j < len(after):
                gave.append(j)
                j += 1
            else:
                raise ValueError(f"a Reshape cannot turn {before} into {after}")
        parts.append((took, gave))
    return parts


def map_pairs(sides: list[int], maps: dict[Sides, Sides]) -> list[int]:
    """Replace neighbouring (rows, columns) of a feature map by those of the new size."""
    out, i = list(sides), 0
    while i + 1 < len(sides):
        new = maps.get((sides[i], sides[i + 1]))
        if new is not None:
            out[i : i + 2] = new
            i += 1
        i += 1
    return out


def _rewrite_expand(graph: onnx.GraphProto, node: onnx.NodeProto, change: Change) -> None:
    target = _constant(graph, node.input[1])
    if target is not None:
        _set_constant(graph, node, 1, np.array(map_pairs(target.tolist(), change.maps()), np.int64))


def _rewrite_resize(graph: onnx.GraphProto, node: onnx.NodeProto, shapes: dict[str, list[int]]) -> None:
    before, after = shapes.get(node.input[0]), shapes.get(node.output[0])
    if len(node.input) < 4 or _constant(graph, node.input[3]) is None or not before or not after:
        return
    del node.input[3]
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
