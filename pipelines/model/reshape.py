"""Make a detector's batch dynamic and give it another input size, by rewriting what its exporter froze.

What exporters freeze, and what becomes of it:

| frozen                                  | becomes                                                         |
|-----------------------------------------|-----------------------------------------------------------------|
| Reshape to [1, 85, 2704]                | [0, 0, -1]: 0 copies a side, -1 is what is left                 |
| Reshape to [1, 128, 20, 20]             | the feature map's sides at the new size                         |
| Resize to given sizes                   | Resize by the same factors                                      |
| Expand to a feature map                 | as Reshape                                                      |
| grids, strides, anchors as constants    | evaluated at the new size, if affine in row and column          |

Everything else is left alone; a graph that then fails, or gives another number of candidates than its strides say, is
refused by the caller. That a rewriting means the same is shown numerically: see check.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from pipelines.errors import ModelError
from pipelines.model.graph import constants, static_shapes
from pipelines.model.grid import LEVEL_STRIDES, Grid, refit_flat, refit_plane

_ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Concat", "Where"})
"""Operators whose constants may be grids. Weights of convolutions never are."""
Sides = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Change:
    """From which input size to which, and what the head's grid is (None: unknown, no constant follows it)."""

    old_wh: Sides
    new_wh: Sides
    grid: Grid | None

    @property
    def resized(self) -> bool:
        return self.old_wh != self.new_wh

    def maps(self) -> dict[Sides, Sides]:
        """(rows, columns) of each possible feature map -> the same map at the new size."""
        (w, h), (new_w, new_h) = self.old_wh, self.new_wh
        return {(h // s, w // s): (new_h // s, new_w // s) for s in LEVEL_STRIDES if h % s == 0 and w % s == 0}

    def spatial(self) -> set[int]:
        """Numbers of elements that depend on the input size."""
        if not self.resized:
            return set()
        anchors = self.grid.anchors if self.grid else 1
        counts = {n for h, w in self.maps() for n in (h, w, h * w, anchors * h * w)}
        return counts | ({self.grid.candidates(self.old_wh)} if self.grid else set()) - {1}


def reshape(model: onnx.ModelProto, picture: str, change: Change) -> onnx.ModelProto:
    """A copy of the model whose batch is dynamic and whose `picture` input has the new size.

    Raises:
        ModelError: a constant or a Reshape that follows the input size in a way we do not know; names the node.
    """
    shapes = static_shapes(model)
    out = onnx.ModelProto()
    out.CopyFrom(model)
    for node in out.graph.node:
        if node.op_type in ("Reshape", "Expand"):
            _rewrite_shape(out.graph, node, shapes, change)
        elif node.op_type == "Resize" and change.resized:
            _rewrite_resize(out.graph, node, shapes)
        elif node.op_type in _ELEMENTWISE and change.resized:
            _rewrite_constants(out.graph, node, change)
    _free_sides(out.graph, picture, change.new_wh)
    return out


def _free_sides(graph: onnx.GraphProto, picture: str, wh: Sides) -> None:
    """Declare the new sizes, and forget what was declared about everything behind them."""
    for info in graph.input:
        if info.name == picture:
            kind = info.type.tensor_type.elem_type
            info.CopyFrom(helper.make_tensor_value_info(picture, kind, ["batch", 3, wh[1], wh[0]]))
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


def _rewrite_shape(graph: onnx.GraphProto, node: onnx.NodeProto, shapes: dict[str, list[int]], change: Change) -> None:
    target = _constant(graph, node.input[1])
    if target is None or node.input[0] in constants(graph):
        return
    before, after = shapes.get(node.input[0]), shapes.get(node.output[0])
    if node.op_type == "Expand":
        if change.resized:
            _set_constant(graph, node, 1, np.array(_map_pairs(target.tolist(), change.maps()), np.int64))
        return
    sides = target.tolist()
    if before and after and before[0] == 1:
        sides = _sides(node, before, after, change)
    elif sides and sides[0] == 1:
        sides[0] = 0
    _set_constant(graph, node, 1, np.array(sides, np.int64))
    kept = [a for a in node.attribute if a.name != "allowzero"]
    del node.attribute[:]
    node.attribute.extend(kept)


def _sides(node: onnx.NodeProto, before: list[int], after: list[int], change: Change) -> list[int]:
    """The new target of a Reshape that turned `before` into `after` at batch 1."""
    spatial, maps = change.spatial(), change.maps()
    sides = list(after)
    free: list[int] = []
    for took, gave in match_sides(before, after):
        if took == gave and len(took) == 1:
            sides[gave[0]] = 0
        elif 0 in took and gave:
            free.append(gave[0])  # the batch is merged with what follows it
        elif len(gave) == 1 and spatial & {before[i] for i in took}:
            free.append(gave[0])
        elif change.resized:
            for i, side in zip(gave, _map_pairs([after[i] for i in gave], maps), strict=True):
                sides[i] = side
    if len(free) > 1:
        raise ModelError(
            f"node {node.name or node.output[0]}: Reshape {before} -> {after} has {len(free)} sides that depend on "
            "batch or input size; fold at the model's own size, or export it with dynamic axes"
        )
    for i in free:
        sides[i] = -1
    return sides


def match_sides(before: list[int], after: list[int]) -> list[tuple[list[int], list[int]]]:
    """Split a Reshape into independent parts: indices of sides before and after, with equal products."""
    parts, i, j = [], 0, 0
    while i < len(before) or j < len(after):
        took, gave = ([i] if i < len(before) else []), ([j] if j < len(after) else [])
        left = before[i] if took else 1
        right = after[j] if gave else 1
        i, j = i + len(took), j + len(gave)
        while left != right and (i < len(before) if left < right else j < len(after)):
            if left < right:
                left, i = left * before[i], i + 1
                took.append(i - 1)
            else:
                right, j = right * after[j], j + 1
                gave.append(j - 1)
        parts.append((took, gave))
    return parts


def _map_pairs(sides: list[int], maps: dict[Sides, Sides]) -> list[int]:
    """Replace neighbouring (rows, columns) of a feature map by those of the new size."""
    out, i = list(sides), 0
    while i + 1 < len(sides):
        new = maps.get((sides[i], sides[i + 1]))
        if new is not None and (sides[i], sides[i + 1]) != (1, 1):
            out[i : i + 2] = new
            i += 1
        i += 1
    return out


def _rewrite_resize(graph: onnx.GraphProto, node: onnx.NodeProto, shapes: dict[str, list[int]]) -> None:
    before, after = shapes.get(node.input[0]), shapes.get(node.output[0])
    if len(node.input) < 4 or _constant(graph, node.input[3]) is None or not before or not after:
        return
    del node.input[3]
    _set_constant(graph, node, 2, np.array(after, np.float32) / np.array(before, np.float32))


def _rewrite_constants(graph: onnx.GraphProto, node: onnx.NodeProto, change: Change) -> None:
    for index, name in enumerate(node.input):
        value = _constant(graph, name)
        if value is None or value.ndim == 0:
            continue
        axis = _spanning_axis(value.shape, change)
        if axis is None:
            continue
        fitted = _refit(value, axis, change)
        if fitted is None:
            raise ModelError(
                f"node {node.name or node.output[0]}: its constant {name} {list(value.shape)} belongs to input size "
                f"{change.old_wh[0]}x{change.old_wh[1]} and is no grid: this model cannot change its size"
            )
        _set_constant(graph, node, index, fitted)


def _spanning_axis(shape: tuple[int, ...], change: Change) -> int | None:
    """The axis that runs over all candidates, else the first of two that run over a feature map."""
    if change.grid is not None and change.grid.candidates(change.old_wh) in shape:
        return shape.index(change.grid.candidates(change.old_wh))
    maps = change.maps()
    pairs = [i for i in range(len(shape) - 1) if shape[i : i + 2] in maps and shape[i : i + 2] != (1, 1)]
    return pairs[0] if pairs else None


def _refit(value: Any, axis: int, change: Change) -> Any:
    if change.grid is not None and value.shape[axis] == change.grid.candidates(change.old_wh):
        return refit_flat(value, axis, change.grid, change.old_wh, change.new_wh)
    return refit_plane(value, axis, change.maps()[value.shape[axis : axis + 2]])
