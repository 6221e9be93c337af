"""How much arithmetic a model is: from its convolutions and matrix products, the rest is small beside them."""

from __future__ import annotations

from math import prod
from pathlib import Path

import onnx


def count_flops(path: Path) -> int:
    """Floating-point operations of one picture; a multiplication and an addition are two."""
    model = onnx.shape_inference.infer_shapes(_batch_of_one(onnx.load(str(path))))
    shapes = {v.name: _sides(v) for v in [*model.graph.value_info, *model.graph.output, *model.graph.input]}
    shapes |= {t.name: list(t.dims) for t in model.graph.initializer}
    total = 0
    for node in model.graph.node:
        out = shapes.get(node.output[0], [])
        if node.op_type == "Conv":
            total += 2 * prod(out) * prod(shapes[node.input[1]][1:])
        elif node.op_type in ("MatMul", "Gemm"):
            total += 2 * prod(out) * shapes.get(node.input[0], [1])[-1]
    return total


def _batch_of_one(model: onnx.ModelProto) -> onnx.ModelProto:
    for tensor in [*model.graph.input, *model.graph.output]:
        tensor.type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]
    return model


def _sides(info: onnx.ValueInfoProto) -> list[int]:
    return [max(d.dim_value, 1) for d in info.type.tensor_type.shape.dim]
