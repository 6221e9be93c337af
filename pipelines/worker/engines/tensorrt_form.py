"""A folded model in the form that TensorRT can read: the same arithmetic, another order of the first nodes.

TensorRT knows uint8 at a network's edge only, and has a cast for it and nothing else. The folded model slices the byte
planes first and casts each slice; here all planes are cast once and the slices work on float32, which TensorRT fuses.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from pipelines.errors import ModelError
from pipelines.worker.engines.folded import PLANES

_FLOAT_PLANES = "framegate/trt/planes"


def for_tensorrt(path: Path) -> onnx.ModelProto:
    """The rewritten model. External data is taken in.

    Raises:
        ModelError: not ONNX, or not a folded model; names the file.
    """
    try:
        model = onnx.load(str(path))
    except Exception as error:  # onnx raises protobuf's, its own and OSError
        raise ModelError(f"{path}: not a model that can be read: {str(error)[:200]}") from error
    if PLANES not in {i.name for i in model.graph.input}:
        raise ModelError(f"{path}: not a folded model (no input {PLANES}): fold it with `framegate models fold`")
    cast_first(model)
    return model


def cast_first(model: onnx.ModelProto) -> None:
    """Cast the byte planes to float32 before anything else touches them. In place; does nothing the second time."""
    users = [node for node in model.graph.node if PLANES in node.input]
    if [node.op_type for node in users] == ["Cast"]:
        return
    for node in users:
        names = [_FLOAT_PLANES if name == PLANES else name for name in node.input]
        del node.input[:]
        node.input.extend(names)
    cast = helper.make_node("Cast", [PLANES], [_FLOAT_PLANES], name="framegate/trt/node_0_Cast", to=TensorProto.FLOAT)
    model.graph.node.insert(0, cast)
