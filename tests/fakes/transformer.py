"""A small vision transformer put together with onnx.helper: patches, attention, a class token's head. Random weights.

    pixels  float32 (batch, 3, side, side), 0..255   ->   logits  float32 (batch, classes)

Normalised inside (pixels - mean) / std. The batch is dynamic, in the graph's own words (Shape, Expand), as exporters
write it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save_transformer(
    path: Path, side: int = 64, width: int = 48, blocks: int = 2, heads: int = 3, classes: int = 10
) -> Path:
    """Write the model; patches are 16 x 16 px."""
    net = _Net()
    net.add(
        "Div", net.add("Sub", "pixels", net.constant(np.full((1, 3, 1, 1), 120.0))), net.constant(60.0), name="norm"
    )
    net.add("Conv", "norm", net.weights(width, 3, 16, 16), name="patches", strides=[16, 16])
    flat = net.add("Reshape", "patches", net.ints(0, width, -1))
    tokens = net.add("Transpose", flat, perm=[0, 2, 1], name="tokens")
    batch = net.add("Slice", net.add("Shape", "pixels"), net.ints(0), net.ints(1))
    target = net.add("Concat", batch, net.ints(1, width), axis=0)
    token = net.add("Expand", net.weights(1, 1, width), target)
    whole = net.add("Concat", token, tokens, axis=1)
    state = net.add("Add", whole, net.weights(1, (side // 16) ** 2 + 1, width), name="embedded")
    for block in range(blocks):
        state = _block(net, state, width, heads, f"block{block}")
    first = net.add("Gather", net.normal(state, width), net.constant(np.array(0, np.int64), np.int64), axis=1)
    net.add("Gemm", first, net.weights(width, classes), net.weights(classes), output="logits", name="logits")
    graph = helper.make_graph(
        net.nodes,
        "vit",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, side, side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])],
        net.constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


class _Net:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(5)

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def weights(self, *shape: int) -> str:
        return self.constant(self._random.normal(0, 1 / np.sqrt(np.prod(shape[:-1]) + 1), shape))

    def add(self, op: str, *inputs: str, name: str = "", output: str = "", **attributes: Any) -> str:
        """A node and its one output, both of the same name."""
        name = name or f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output or name], name=name, **attributes))
        return output or name

    def normal(self, state: str, width: int) -> str:
        return self.add("LayerNormalization", state, self.constant(np.ones(width)), self.constant(np.zeros(width)))


def _block(net: _Net, state: str, width: int, heads: int, name: str) -> str:
    size = width // heads
    inner = net.normal(state, width)
    split = []
    for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
        part = net.add("MatMul", inner, net.weights(width, width))
        part = net.add("Reshape", part, net.ints(0, -1, heads, size))
        split.append(net.add("Transpose", part, perm=order))
    scores = net.add("Div", net.add("MatMul", split[0], split[1]), net.constant(float(np.sqrt(size))))
    mixed = net.add("MatMul", net.add("Softmax", scores, axis=-1), split[2])
    joined = net.add("Reshape", net.add("Transpose", mixed, perm=[0, 2, 1, 3]), net.ints(0, -1, width))
    state = net.add("Add", state, net.add("MatMul", joined, net.weights(width, width)))
    wide = net.add("Relu", net.add("MatMul", net.normal(state, width), net.weights(width, 4 * width)))
    return net.add("Add", state, net.add("MatMul", wide, net.weights(4 * width, width)), name=name)
