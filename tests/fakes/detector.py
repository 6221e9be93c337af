"""A detector put together by hand, exact on our scenes, in the layout of YOLOv8: no training, no weights to trust.

    images  float32 (n, 3, h, w), RGB 0..1   ->   output0 float32 (n, 4 + classes, cells)

Rows of output0: centre x, centre y, width, height in input pixels, then one score per class. Cell c holds the one
target of class c; the other cells, as many as a YOLOv8 of that size has, are zero. Batch is dynamic, h and w are fixed.

How it sees, per class:

1. A linear map of RGB is 0 on grey, 1 on the class's colour and below 0.2 on the other classes' colours. From 0.3 to
   0.7 it becomes the coverage of a pixel by the target; at an edge it stands at one half. What is thinner than
   OPENING_PX is no target but the encoder's chroma, and is taken out: far from the target, a few such pixels would
   weigh much in the variance.
2. The box is the rectangle with the mean and the variance of the coverage (width = sqrt(12 var)): symmetrical blur, as
   from chroma subsampling, hardly moves it.
3. The score asks whether the *mean colour inside* (2 px from every edge) is the class's colour: 1 up to TOLERANCE / 2
   in the worst channel, 0.5 at TOLERANCE, 0 from 1.5 TOLERANCE. A wrong range, matrix or channel order is about
   2 TOLERANCE away.
4. If the source size is told, all scores are 0 unless the letterbox's padding is where a centred letterbox has it, in
   the pad colour. A wrong anchor, offset, scale or pad value would otherwise cancel in the way back to source pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.fakes.scene_paint import CLASSES

TOLERANCE = 0.03
"""Of the mean colour, RGB 0..1, in the worst channel."""
PAD_TOLERANCE = 0.03
PAD = 114 / 255
RAMP = (0.3, 0.7)
OPENING_PX = 3
MIN_CORE_PX = 4.0
"""Pixels of the inside that a target needs for a full score."""
_EPS = 1e-6

Array = npt.NDArray[np.float32]


def class_maps() -> tuple[Array, Array]:
    """(weights (c, 3), colours (c, 3)): weights @ rgb is 0 for grey, 1 for the class's own colour."""
    colors = np.array(list(CLASSES.values()), np.float64)
    chroma = colors - colors.mean(1, keepdims=True)
    weights = chroma / (chroma * chroma).sum(1, keepdims=True)
    return weights.astype(np.float32), colors.astype(np.float32)


def save_detector(path: Path, input_wh: tuple[int, int], source_wh: tuple[int, int] | None = None) -> Path:
    """Write the detector for a network input of (w, h). `source_wh` switches the check of the padding on."""
    onnx.save(build_detector(input_wh, source_wh), path)
    return path


def build_detector(input_wh: tuple[int, int], source_wh: tuple[int, int] | None = None) -> onnx.ModelProto:
    """The model. Sides of input_wh must be multiples of 32, as a YOLOv8's are."""
    graph = _Graph()
    w, h = input_wh
    classes = len(CLASSES)
    cover = _coverage(graph, classes)
    box = _boxes(graph, cover, w, h)
    score = _color_score(graph, cover, classes, w * h)
    if source_wh is not None:
        score = graph.add("Mul", score, _padding_score(graph, input_wh, source_wh))
    # One cell per class: scores (n, c, 1) times the identity gives (n, c, c).
    diagonal = graph.add("Mul", score, graph.constant(np.eye(classes, dtype=np.float32)[None]))
    rows = graph.add("Concat", box, diagonal, axis=1)
    cells = sum((w // s) * (h // s) for s in (8, 16, 32))
    pads = graph.constant(np.array([0, 0, 0, 0, 0, cells - classes], np.int64))
    graph.add("Pad", rows, pads, output="output0")
    return graph.model(
        helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, h, w]),
        helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["batch", 4 + classes, cells]),
    )


def padding_boxes(
    input_wh: tuple[int, int], source_wh: tuple[int, int], slack_px: int = 3
) -> list[tuple[int, int, int, int]]:
    """Regions (x0, y0, x1, y1) that a centred letterbox certainly fills with the pad colour; 0 to 2 of them.

    slack_px: room for the rounding of size and offset to even numbers.
    """
    w, h = input_wh
    scale = min(w / source_wh[0], h / source_wh[1])
    side = int((w - source_wh[0] * scale) / 2) - slack_px
    top = int((h - source_wh[1] * scale) / 2) - slack_px
    boxes = []
    if side > 0:
        boxes += [(0, 0, side, h), (w - side, 0, w, h)]
    if top > 0:
        boxes += [(0, 0, w, top), (0, h - top, w, h)]
    return boxes


class _Graph:
    """Nodes and constants in the order they were added, with made-up names."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, value: npt.NDArray[np.generic] | float) -> str:
        name = f"c{len(self._constants)}"
        array = np.asarray(value, np.float32) if isinstance(value, float) else value
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"n{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, list(inputs), [name], name=f"{op}_{name}", **attributes))
        return name

    def total(self, value: str, *axes: int) -> str:
        """Sum over axes, which stay with length 1."""
        return self.add("ReduceSum", value, self.constant(np.array(axes, np.int64)), keepdims=1)

    def ramp(self, value: str, low: float, high: float) -> str:
        """0 below `low`, 1 above `high`, straight between; `low` may be the larger one."""
        shifted = self.add("Sub", value, self.constant(float(low)))
        scaled = self.add("Mul", shifted, self.constant(1.0 / (high - low)))
        return self.add("Clip", scaled, self.constant(0.0), self.constant(1.0))

    def dilate(self, value: str, size: int) -> str:
        """Largest value of the size x size pixels around each pixel; size is odd."""
        return self.add("MaxPool", value, kernel_shape=[size, size], pads=[size // 2] * 4, strides=[1, 1])

    def erode(self, value: str, size: int) -> str:
        """Smallest value of the size x size pixels around each pixel; size is odd."""
        return self.add("Neg", self.dilate(self.add("Neg", value), size))

    def model(self, source: onnx.ValueInfoProto, result: onnx.ValueInfoProto) -> onnx.ModelProto:
        graph = helper.make_graph(self._nodes, "framegate_scene_detector", [source], [result], self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        helper.set_model_props(model, {"names": str(dict(enumerate(CLASSES)))})
        onnx.checker.check_model(model, full_check=True)
        return model


def _coverage(graph: _Graph, classes: int) -> str:
    """(n, c, h, w): how much of each pixel each class's target covers, 0..1."""
    weights, _ = class_maps()
    response = graph.add("Conv", "images", graph.constant(weights.reshape(classes, 3, 1, 1)), kernel_shape=[1, 1])
    cover = graph.ramp(response, *RAMP)
    return graph.dilate(graph.erode(cover, OPENING_PX), OPENING_PX)


def _boxes(graph: _Graph, cover: str, w: int, h: int) -> str:
    """(n, 4, c): centre x, centre y, width, height of the rectangle with the coverage's moments."""
    mass = graph.add("Add", graph.total(cover, 2, 3), graph.constant(_EPS))
    columns = graph.constant((np.arange(w, dtype=np.float32) + 0.5).reshape(1, 1, 1, w))
    lines = graph.constant((np.arange(h, dtype=np.float32) + 0.5).reshape(1, 1, h, 1))
    centers, sides = [], []
    for profile, grid in ((graph.total(cover, 2), columns), (graph.total(cover, 3), lines)):
        mean = graph.add("Div", graph.total(graph.add("Mul", profile, grid), 2, 3), mass)
        offset = graph.add("Sub", grid, mean)
        spread = graph.total(graph.add("Mul", profile, graph.add("Mul", offset, offset)), 2, 3)
        variance = graph.add("Div", spread, mass)
        centers.append(mean)
        sides.append(graph.add("Sqrt", graph.add("Mul", variance, graph.constant(12.0))))
    stacked = graph.add("Concat", *centers, *sides, axis=2)  # (n, c, 4, 1)
    flat = graph.add("Squeeze", stacked, graph.constant(np.array([3], np.int64)))
    return graph.add("Transpose", flat, perm=[0, 2, 1])


def _color_score(graph: _Graph, cover: str, classes: int, pixels: int) -> str:
    """(n, c, 1): 1 where the mean colour inside the target is the class's colour."""
    _, colors = class_maps()
    core = graph.ramp(graph.erode(cover, 5), 0.9, 1.0)
    size = graph.total(core, 2, 3)  # (n, c, 1, 1)
    flat_size = graph.add("Squeeze", size, graph.constant(np.array([3], np.int64)))
    weights = graph.add("Reshape", core, graph.constant(np.array([0, classes, pixels], np.int64)))
    image = graph.add("Reshape", "images", graph.constant(np.array([0, 3, pixels], np.int64)))
    sums = graph.add("MatMul", weights, graph.add("Transpose", image, perm=[0, 2, 1]))  # (n, c, 3)
    mean = graph.add("Div", sums, graph.add("Add", flat_size, graph.constant(_EPS)))
    distance = graph.add("Abs", graph.add("Sub", mean, graph.constant(colors[None])))
    worst = graph.add("ReduceMax", distance, axes=[2], keepdims=1)
    right = graph.ramp(worst, 1.5 * TOLERANCE, 0.5 * TOLERANCE)
    return graph.add("Mul", right, graph.ramp(flat_size, 0.0, MIN_CORE_PX))


def _padding_score(graph: _Graph, input_wh: tuple[int, int], source_wh: tuple[int, int]) -> str:
    """(n, 1, 1): 1 where the padding is in place."""
    boxes = padding_boxes(input_wh, source_wh)
    mask = np.zeros((1, 1, input_wh[1], input_wh[0]), np.float32)
    for x0, y0, x1, y1 in boxes:
        mask[..., y0:y1, x0:x1] = 1.0
    error = graph.add("Abs", graph.add("Sub", "images", graph.constant(PAD)))
    worst = graph.add("ReduceMax", graph.add("Mul", error, graph.constant(mask)), axes=[1, 2, 3], keepdims=1)
    in_place = graph.ramp(worst, 1.5 * PAD_TOLERANCE, 0.5 * PAD_TOLERANCE)
    return graph.add("Squeeze", in_place, graph.constant(np.array([3], np.int64)))
