"""Reading and extending ONNX graphs: the few operations that folding needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper, version_converter

from pipelines.errors import ModelError
from pipelines.model.runtime import first_line

Array = npt.NDArray[Any]
MIN_OPSET = 11
"""Older files are raised to RAISED_OPSET: what we add needs Clip with inputs and GatherElements."""
RAISED_OPSET = 13


def load(path: Path) -> onnx.ModelProto:
    """Read a model with its external data, constants as initializers, opset 11 or newer.

    Raises:
        ModelError: not there, not ONNX, or of a version that cannot be converted.
    """
    try:
        model = onnx.load(str(path))
        if opset(model) < MIN_OPSET:
            model = version_converter.convert_version(model, RAISED_OPSET)
    except Exception as error:  # onnx raises protobuf's, its own and RuntimeError
        raise ModelError(f"{path}: not a model that can be read: {first_line(error)}") from error
    lift_constants(model)
    return model


def opset(model: onnx.ModelProto) -> int:
    """Version of the default operator set."""
    return next((int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)


def lift_constants(model: onnx.ModelProto) -> None:
    """Turn Constant nodes into initializers and drop initializers from the inputs, so that there is one place to look.

    In place. Top level only: subgraphs keep theirs.
    """
    graph = model.graph
    kept = []
    for node in graph.node:
        value = next((a for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            tensor = onnx.TensorProto()
            tensor.CopyFrom(value.t)
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
        else:
            kept.append(node)
    if len(kept) != len(graph.node):
        replace(graph.node, kept)
    names = {t.name for t in graph.initializer}
    replace(graph.input, [i for i in graph.input if i.name not in names])


def replace(field: Any, items: list[Any]) -> None:
    """Give a repeated protobuf field new items. They may come from the field itself."""
    copies = [type(item).FromString(item.SerializeToString()) for item in items]
    del field[:]
    field.extend(copies)


def constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    return {t.name: t for t in graph.initializer}


def shape_of(info: onnx.ValueInfoProto) -> list[int | None]:
    """Sides of a tensor; None where not a fixed positive number."""
    return [d.dim_value or None for d in info.type.tensor_type.shape.dim]


def metadata(model: onnx.ModelProto) -> Mapping[str, str]:
    return {p.key: p.value for p in model.metadata_props}


class Builder:
    """Appends nodes and constants with names of their own. Tensors are named by strings, as in ONNX."""

    def __init__(self, opset_version: int, part: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._opset, self._part = opset_version, f"framegate/{part}"

    def constant(self, value: Array) -> str:
        name = f"{self._part}/constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def ints(self, *values: int) -> str:
        """(n,) int64: a shape, or the bounds of a slice."""
        return self.constant(np.array(values, np.int64))

    def add(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """One node with one output; returns the output's name."""
        return self.add_many(op, inputs, (output or f"{self._part}/{op}_{len(self.nodes)}",), **attributes)[0]

    def add_many(
        self, op: str, inputs: tuple[str, ...], outputs: tuple[str, ...], **attributes: Any
    ) -> tuple[str, ...]:
        name = f"{self._part}/node_{len(self.nodes)}_{op}"
        self.nodes.append(helper.make_node(op, list(inputs), list(outputs), name=name, **attributes))
        return outputs

    def cut(self, tensor: str, axis: int, start: int, stop: int) -> str:
        """tensor[..., start:stop, ...] on one axis."""
        return self.add("Slice", tensor, self.ints(start), self.ints(stop), self.ints(axis))

    def reshape(self, tensor: str, *shape: int) -> str:
        """0 keeps a side, -1 is what is left."""
        return self.add("Reshape", tensor, self.ints(*shape))

    def reduce_max(self, tensor: str, axis: int) -> str:
        """Maximum over one axis, which goes away. The axes moved from attribute to input in opset 18."""
        if self._opset >= 18:
            return self.add("ReduceMax", tensor, self.ints(axis), keepdims=0)
        return self.add("ReduceMax", tensor, axes=[axis], keepdims=0)
