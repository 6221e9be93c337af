"""ONNX operators in torch: those of folded detectors, with the attributes that they use.

Each takes the node and its inputs and returns its outputs. Shapes and bounds are host tensors of integers.
Source: the operators' definitions in ONNX, opset 11 to 18.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
import torch
from onnx import helper
from torch.nn import functional

Node = Callable[[onnx.NodeProto, list[Any]], list[Any]]
_TYPES = {
    onnx.TensorProto.FLOAT: torch.float32,
    onnx.TensorProto.FLOAT16: torch.float16,
    onnx.TensorProto.INT64: torch.int64,
    onnx.TensorProto.INT32: torch.int32,
    onnx.TensorProto.BOOL: torch.bool,
    onnx.TensorProto.UINT8: torch.uint8,
}


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    found = next((a for a in node.attribute if a.name == name), None)
    return default if found is None else helper.get_attribute_value(found)


def numbers(value: Any) -> list[int]:
    return [int(v) for v in value.reshape(-1).tolist()]


def conv(node: onnx.NodeProto, x: list[Any]) -> list[Any]:
    pads = attribute(node, "pads", [0, 0, 0, 0])
    if pads[:2] != pads[2:]:
        x[0], pads = functional.pad(x[0], [pads[1], pads[3], pads[0], pads[2]]), [0, 0]
    return [
        functional.conv2d(
            *x,
            stride=attribute(node, "strides", [1, 1]),
            padding=list(pads[:2]),
            dilation=attribute(node, "dilations", [1, 1]),
            groups=attribute(node, "group", 1),
        )
    ]


def cut(node: onnx.NodeProto, x: list[Any]) -> list[Any]:
    out, starts, ends = x[0], numbers(x[1]), numbers(x[2])
    axes = numbers(x[3]) if len(x) > 3 and x[3] is not None else list(range(len(starts)))
    steps = numbers(x[4]) if len(x) > 4 and x[4] is not None else [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index: list[Any] = [slice(None)] * out.dim()
        index[axis] = slice(start, min(end, out.shape[axis]), step)
        out = out[tuple(index)]
    return [out]


def reshape(node: onnx.NodeProto, x: list[Any]) -> list[Any]:
    shape = [x[0].shape[i] if side == 0 else side for i, side in enumerate(numbers(x[1]))]
    return [x[0].reshape(shape)]


def resize(node: onnx.NodeProto, x: list[Any]) -> list[Any]:
    mode = attribute(node, "mode", b"nearest").decode()
    if mode != "nearest":
        raise NotImplementedError(f"Resize {mode}")
    if len(x) > 3 and x[3] is not None:
        size = numbers(x[3])[2:]
    else:
        size = [int(side * scale) for side, scale in zip(x[0].shape[2:], x[2].tolist()[2:], strict=True)]
    return [functional.interpolate(x[0], size=size, mode="nearest")]


def max_pool(node: onnx.NodeProto, x: list[Any]) -> list[Any]:
    pads = attribute(node, "pads", [0, 0, 0, 0])
    if pads[:2] != pads[2:]:
        x[0], pads = functional.pad(x[0], [pads[1], pads[3], pads[0], pads[2]], value=-3e38), [0, 0]
    kernel = attribute(node, "kernel_shape")
    return [functional.max_pool2d(x[0], kernel, attribute(node, "strides", [1, 1]), list(pads[:2]))]


def top_k(node: onnx.NodeProto, x: list[Any]) -> list[Any]:
    values, index = torch.topk(x[0], numbers(x[1])[0], dim=attribute(node, "axis", -1))
    return [values, index]


def split(node: onnx.NodeProto, x: list[Any]) -> list[Any]:
    axis = attribute(node, "axis", 0)
    sizes = numbers(x[1]) if len(x) > 1 else x[0].shape[axis] // len(node.output)
    return list(torch.split(x[0], sizes, dim=axis))


def reduce_max(node: onnx.NodeProto, x: list[Any]) -> list[Any]:
    axes = numbers(x[1]) if len(x) > 1 else attribute(node, "axes")
    return [torch.amax(x[0], dim=list(axes), keepdim=bool(attribute(node, "keepdims", 1)))]


def gather(node: onnx.NodeProto, x: list[Any]) -> list[Any]:
    axis, index = attribute(node, "axis", 0), x[1].to(x[0].device)
    picked = torch.index_select(x[0], axis, index.reshape(-1))
    return [picked.reshape(*x[0].shape[:axis], *index.shape, *x[0].shape[axis + 1 :])]


def concat(node: onnx.NodeProto, x: list[Any]) -> list[Any]:
    return [torch.cat(x, dim=attribute(node, "axis"))]


def same_place(x: list[Any]) -> list[Any]:
    """Constants of one number stay on the host, whose arithmetic with device tensors torch allows; others move."""
    place = next((v.device for v in x if v.device.type != "cpu"), x[0].device)
    return [v.to(place) for v in x]


NODES: dict[str, Node] = {
    "Conv": conv,
    "Slice": cut,
    "Reshape": reshape,
    "Resize": resize,
    "MaxPool": max_pool,
    "TopK": top_k,
    "Split": split,
    "ReduceMax": reduce_max,
    "Gather": gather,
    "Concat": concat,
    "Add": lambda _, x: [torch.add(*same_place(x))],
    "Sub": lambda _, x: [torch.sub(*same_place(x))],
    "Mul": lambda _, x: [torch.mul(*same_place(x))],
    "Div": lambda _, x: [torch.div(*same_place(x))],
    "Max": lambda _, x: [torch.maximum(*same_place(x))],
    "Min": lambda _, x: [torch.minimum(*same_place(x))],
    "Exp": lambda _, x: [torch.exp(x[0])],
    "Relu": lambda _, x: [torch.relu(x[0])],
    "Sigmoid": lambda _, x: [torch.sigmoid(x[0])],
    "Softmax": lambda n, x: [torch.softmax(x[0], dim=attribute(n, "axis", -1))],
    "MatMul": lambda _, x: [torch.matmul(*x)],
    "Clip": lambda _, x: [torch.clamp(x[0], x[1].item(), x[2].item())],
    "Cast": lambda n, x: [x[0].to(_TYPES[attribute(n, "to")])],
    "Transpose": lambda n, x: [x[0].permute(*attribute(n, "perm"))],
    "ArgMax": lambda n, x: [torch.argmax(x[0], dim=attribute(n, "axis", 0), keepdim=bool(attribute(n, "keepdims", 1)))],
    "GatherElements": lambda n, x: [torch.gather(x[0], attribute(n, "axis", 0), x[1])],
    "Shape": lambda _, x: [torch.tensor(x[0].shape)],
    "Identity": lambda _, x: [x[0]],
}
