"""The model as it came: its picture input, its size, and how it is fed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipelines.errors import ModelError
from pipelines.model.graph import load, replace, shape_of
from pipelines.model.options import FoldOptions

Sides = tuple[int, int]
SIZES_INPUT = "orig_target_sizes"
"""RT-DETR's and D-FINE's second input: (width, height) to scale the boxes to. Becomes a constant."""


@dataclass(frozen=True, slots=True, eq=False)
class Original:
    """A loaded model with one picture input, [1 or any, 3, h, w]."""

    path: Path
    model: onnx.ModelProto
    picture: str
    """Name of the input."""
    element_type: int
    """Of the picture: ONNX's FLOAT or FLOAT16."""
    own_wh: Sides
    """Its own size; the wanted one if it takes any."""
    wh: Sides
    """The wanted size."""


def open_original(path: Path, options: FoldOptions) -> Original:
    """Load a model and settle its sizes.

    Raises:
        ModelError: no picture input, inputs we cannot feed, a fixed batch, or a size that cannot be.
    """
    model = load(path)
    picture = _picture_input(path, model.graph)
    batch, _, h, w = shape_of(picture)
    if batch not in (None, 1):
        raise ModelError(f"{path}: input {picture.name} has a fixed batch of {batch}; export it with 1 or dynamic")
    wh = (options.width_px or w or 0, options.height_px or h or 0)
    if 0 in wh:
        raise ModelError(f"{path}: the model takes any size and has none of its own: say which, as in --size 640x384")
    if wh[0] % 4 or wh[1] % 4:
        raise ModelError(f"{path}: size {wh[0]}x{wh[1]}: both sides must be multiples of 4 (of the strides: mostly 32)")
    return Original(path, model, picture.name, picture.type.tensor_type.elem_type, (w or wh[0], h or wh[1]), wh)


def _picture_input(path: Path, graph: onnx.GraphProto) -> onnx.ValueInfoProto:
    pictures = [i for i in graph.input if len(shape_of(i)) == 4 and shape_of(i)[1] in (3, None)]
    others = [i.name for i in graph.input if i not in pictures and i.name != SIZES_INPUT]
    if len(pictures) != 1 or others:
        seen = ", ".join(f"{i.name} {shape_of(i)}" for i in graph.input)
        raise ModelError(f"{path}: inputs {seen}: wanted is one picture, [batch, 3, height, width]")
    if pictures[0].type.tensor_type.elem_type not in (TensorProto.FLOAT, TensorProto.FLOAT16):
        raise ModelError(f"{path}: input {pictures[0].name} is neither float32 nor float16")
    return pictures[0]


def fix_sizes_input(model: onnx.ModelProto, wh: Sides) -> None:
    """Turn SIZES_INPUT, where there is one, into a constant; again for another size. In place."""
    graph = model.graph
    names = {i.name for i in graph.input} | {t.name for t in graph.initializer}
    if SIZES_INPUT not in names:
        return
    kind = next((i.type.tensor_type.elem_type for i in graph.input if i.name == SIZES_INPUT), TensorProto.INT64)
    replace(graph.input, [i for i in graph.input if i.name != SIZES_INPUT])
    replace(graph.initializer, [t for t in graph.initializer if t.name != SIZES_INPUT])
    value = np.array([wh], helper.tensor_dtype_to_np_dtype(kind))
    graph.initializer.append(numpy_helper.from_array(value, SIZES_INPUT))
