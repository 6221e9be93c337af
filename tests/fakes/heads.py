"""Tiny detectors with the head layouts of real ones, frozen as exporters freeze them. Random weights, no meaning.

`network` heads depend on the picture; `told` heads answer what the test says, whatever the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
WH = (96, 64)
STRIDES = (8, 16, 32)
CLASSES = 3


class Net:
    """Collects nodes and constants of one small graph, input `images` [1, 3, h, w]."""

    def __init__(self, wh: tuple[int, int] = WH, batch: int | str = 1, opset: int = 17) -> None:
        self.wh, self.batch, self.opset = wh, batch, opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.kinds: dict[str, int] = {}
        self.rng = np.random.default_rng(7)
        self.inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, wh[1], wh[0]])]

    def const(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def ints(self, *values: int) -> str:
        return self.const(values, np.int64)

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        out = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=f"{kind}_{len(self.nodes)}", **attributes))
        return out

    def save(self, path: Path, *outputs: str, metadata: Mapping[str, str] | None = None) -> Path:
        infos = [helper.make_tensor_value_info(o, self.kinds.get(o, TensorProto.FLOAT), None) for o in outputs]
        graph = helper.make_graph(self.nodes, "net", self.inputs, infos, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        helper.set_model_props(model, dict(metadata or {}))
        onnx.save(model, str(path))
        return path

    def level(self, stride: int, channels: int) -> str:
        """A feature map [1, channels, h / stride, w / stride], weakly dependent on the picture."""
        pooled = self.op("AveragePool", "images", kernel_shape=[stride, stride], strides=[stride, stride])
        weights = self.const(self.rng.normal(0, 0.4, (channels, 3, 1, 1)))
        return self.op("Conv", pooled, weights, self.const(self.rng.normal(0, 0.4, channels)))

    def hw(self, stride: int) -> tuple[int, int]:
        return self.wh[1] // stride, self.wh[0] // stride

    def cut(self, tensor: str, axis: int, start: int, stop: int) -> str:
        return self.op("Slice", tensor, self.ints(start), self.ints(stop), self.ints(axis))

    def flat_levels(self, channels: int, scale: float = 1.0) -> str:
        """All levels as [1, channels, N], with the cell counts frozen in the Reshapes."""
        parts = []
        for stride in STRIDES:
            h, w = self.hw(stride)
            level = self.op("Mul", self.level(stride, channels), self.const(scale))
            parts.append(self.op("Reshape", level, self.ints(1, channels, h * w)))
        return self.op("Concat", *parts, axis=2)


def yolox(path: Path, wh: tuple[int, int] = WH, opset: int = 11) -> Path:
    """[1, N, 5 + C]: offsets on the grid, scores activated; input 0..255, so it is scaled down first."""
    net = Net(wh, opset=opset)
    rows = net.flat_levels(5 + CLASSES, 1 / 64)
    scores = net.op("Sigmoid", net.cut(rows, 1, 4, 5 + CLASSES))
    rows = net.op("Concat", net.cut(rows, 1, 0, 4), scores, axis=1)
    return net.save(path, net.op("Transpose", rows, output="output", perm=[0, 2, 1]))


def yolov8(path: Path, wh: tuple[int, int] = WH, metadata: Mapping[str, str] | None = None) -> Path:
    """[1, 4 + C, N]: anchors and strides are constants, as in a static export."""
    net = Net(wh)
    rows = net.flat_levels(4 + CLASSES)
    anchors, strides = [], []
    for stride in STRIDES:
        h, w = net.hw(stride)
        y, x = np.divmod(np.arange(h * w), w)
        anchors.append(np.stack([x + 0.5, y + 0.5]))
        strides.append(np.full(h * w, stride))
    center = net.op("Add", net.cut(rows, 1, 0, 2), net.const(np.concatenate(anchors, 1)[None]))
    size = net.op("Exp", net.cut(rows, 1, 2, 4))
    boxes = net.op("Mul", net.op("Concat", center, size, axis=1), net.const(np.concatenate(strides)[None]))
    scores = net.op("Sigmoid", net.cut(rows, 1, 4, 4 + CLASSES))
    return net.save(path, net.op("Concat", boxes, scores, output="output0", axis=1), metadata=metadata)


def yolov5(path: Path, wh: tuple[int, int] = WH) -> Path:
    """[1, 3 * cells, 5 + C]: per level a grid [1, 3, h, w, 2] and anchors, both frozen."""
    net = Net(wh)
    width, parts = 5 + CLASSES, []
    for stride in STRIDES:
        h, w = net.hw(stride)
        rows = net.op("Reshape", net.level(stride, 3 * width), net.ints(1, 3, width, h, w))
        rows = net.op("Sigmoid", net.op("Transpose", rows, perm=[0, 1, 3, 4, 2]))
        y, x = np.mgrid[0:h, 0:w]
        grid = np.broadcast_to(np.stack([x, y], -1) - 0.5, (1, 3, h, w, 2))
        anchors = np.broadcast_to(np.array([1, 2, 3]).reshape(1, 3, 1, 1, 1) * stride, (1, 3, h, w, 2))
        two, last = net.const(2.0), 4
        center = net.op("Add", net.op("Mul", net.cut(rows, last, 0, 2), two), net.const(grid))
        center = net.op("Mul", center, net.const(float(stride)))
        size = net.op("Mul", net.op("Pow", net.op("Mul", net.cut(rows, last, 2, 4), two), two), net.const(anchors))
        whole = net.op("Concat", center, size, net.cut(rows, last, 4, width), axis=last)
        parts.append(net.op("Reshape", whole, net.ints(1, 3 * h * w, width)))
    return net.save(path, net.op("Concat", *parts, output="output", axis=1))


def _queries(net: Net, channels: int) -> str:
    """[1, Q, channels] activated, Q = cells of stride 8 (96)."""
    h, w = net.hw(8)
    flat = net.op("Reshape", net.level(8, channels), net.ints(1, channels, h * w))
    return net.op("Sigmoid", net.op("Transpose", flat, perm=[0, 2, 1]))


def nms_free_xyxy(path: Path) -> Path:
    """[1, Q, 6]: corners px, score, class."""
    net = Net()
    rows = _queries(net, 6)
    label = net.op("Round", net.op("Mul", net.cut(rows, 2, 5, 6), net.const(float(CLASSES - 1))))
    boxes = net.op("Mul", net.cut(rows, 2, 0, 4), net.const(64.0))
    return net.save(path, net.op("Concat", boxes, net.cut(rows, 2, 4, 5), label, output="output0", axis=2))


def nms_free_ranked(path: Path) -> Path:
    """[1, Q, 6]: centre and size in 0..1, score, class."""
    net = Net()
    return net.save(path, net.op("Identity", _queries(net, 6), output="output0"))


def nms_free_cxcywh(path: Path) -> Path:
    """[1, Q, 4 + C]: normalised boxes, activated scores."""
    net = Net()
    return net.save(path, net.op("Identity", _queries(net, 4 + CLASSES), output="output0"))


def nms_free_logits(path: Path, boxes: str = "pred_boxes", logits: str = "logits") -> Path:
    """[1, Q, C] raw and [1, Q, 4] normalised."""
    net = Net()
    rows = _queries(net, 4 + CLASSES)
    scores = net.op("Sub", net.cut(rows, 2, 4, 4 + CLASSES), net.const(0.7))
    net.op("Identity", scores, output=logits)
    net.op("Identity", net.cut(rows, 2, 0, 4), output=boxes)
    return net.save(path, boxes, logits)


def nms_free_sized(path: Path) -> Path:
    """labels, boxes, scores; boxes scaled by a second input, orig_target_sizes (w, h)."""
    net = Net()
    net.inputs.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ["n", 2]))
    rows = _queries(net, 6)
    sizes = net.op("Cast", "orig_target_sizes", to=TensorProto.FLOAT)
    sizes = net.op("Unsqueeze", net.op("Concat", sizes, sizes, axis=1), net.ints(1))
    net.op("Mul", net.cut(rows, 2, 0, 4), sizes, output="boxes")
    label = net.op("Squeeze", net.cut(rows, 2, 5, 6), net.ints(2))
    net.op("Cast", net.op("Mul", label, net.const(float(CLASSES))), output="labels", to=TensorProto.INT64)
    net.kinds["labels"] = TensorProto.INT64
    net.op("Squeeze", net.cut(rows, 2, 4, 5), net.ints(2), output="scores")
    return net.save(path, "labels", "boxes", "scores")


FAMILIES: Mapping[str, Callable[..., Path]] = {
    "yolox": yolox,
    "yolov8": yolov8,
    "yolov5": yolov5,
    "nms_free_xyxy": nms_free_xyxy,
    "nms_free_ranked": nms_free_ranked,
    "nms_free_cxcywh": nms_free_cxcywh,
    "nms_free_logits": nms_free_logits,
    "nms_free_sized": nms_free_sized,
}
RESIZABLE = ("yolox", "yolov8", "yolov5")


def told(path: Path, outputs: Mapping[str, Array], wh: tuple[int, int] = WH) -> Path:
    """A detector that answers these arrays (of batch 1) for every picture of a batch."""
    net = Net(wh)
    nothing = net.op("ReduceMean", "images", axes=[1, 2, 3], keepdims=0)
    nothing = net.op("Mul", nothing, net.const(0.0))
    for name, value in outputs.items():
        zero = net.op("Reshape", nothing, net.ints(-1, *[1] * (value.ndim - 1)))
        if value.dtype == np.int64:
            zero = net.op("Cast", zero, to=TensorProto.INT64)
            net.kinds[name] = TensorProto.INT64
        net.op("Add", zero, net.const(value, value.dtype), output=name)
    return net.save(path, *outputs)
