"""Other element types for a folded model: float16, and int8 with calibration. The ONNX file says them; TensorRT obeys.

Only the network between the picture and the last convolution is converted. The colour map before it and the decoding of
boxes behind it stay float32: a coordinate of 600 px has steps of half a pixel in float16.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, version_converter

from pipelines.errors import ModelError
from pipelines.values import F32, U8
from pipelines.worker.engines.folded import COLOR, PLANES
from pipelines.worker.engines.tensorrt_assert import PRECISION_KEY

_OPSET = 13
PREFIX = "framegate/in/"
"""Names of the nodes that folding put in front."""


def network_nodes(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes of the network itself: those a convolution depends on, less the folded prefix."""
    makers = {output: node for node in model.graph.node for output in node.output}
    waiting = [node for node in model.graph.node if node.op_type == "Conv"]
    found: set[str] = set()
    while waiting:
        node = waiting.pop()
        if node.name in found or node.name.startswith(PREFIX):
            continue
        found.add(node.name)
        waiting += [makers[name] for name in node.input if name in makers]
    return found


def to_float16(source: Path, target: Path) -> None:
    """Convert the network to float16. Takes seconds.

    Raises:
        ModelError: it cannot be converted; names the file.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = _prepared(source)
    inside = network_nodes(model)
    if not inside:
        raise ModelError(f"{source}: there is no convolution to convert")
    outside = [node.name for node in model.graph.node if node.name not in inside]
    try:
        converted = convert_float_to_float16(model, keep_io_types=True, op_block_list=[], node_block_list=outside)
    except Exception as error:  # onnx and onnxruntime raise what they like here
        raise ModelError(f"{source}: cannot be converted to float16: {str(error)[:200]}") from error
    _keep_float32(converted)
    _in_order(converted)
    _save(converted, target, "float16")


def to_int8(source: Path, target: Path, pictures: Iterable[tuple[U8, F32]]) -> None:
    """Quantize the convolutions to int8, symmetrically, weights per channel, by what the pictures make of them.

    Args:
        pictures: (planes (h * 3 / 2, w), color (3, 4)) of real scenes; a few hundred are usual.

    Raises:
        ModelError: it cannot be converted, or there are no pictures; names the file.
    """
    from onnxruntime import quantization as q

    model = _prepared(source)
    inside = network_nodes(model)
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv" and node.name in inside]
    reader = _Reader(pictures)
    if not reader.any:
        raise ModelError(f"{source}: int8 needs pictures to calibrate with")
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / "named.onnx"
        onnx.save(model, str(named))
        try:
            q.quantize_static(
                str(named),
                str(Path(folder) / "int8.onnx"),
                reader,
                quant_format=q.QuantFormat.QDQ,
                per_channel=True,
                activation_type=q.QuantType.QInt8,
                weight_type=q.QuantType.QInt8,
                nodes_to_quantize=convolutions,
                extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
            )
        except Exception as error:  # onnxruntime raises what it likes here
            raise ModelError(f"{source}: cannot be quantized: {str(error)[:200]}") from error
        _save(onnx.load(str(Path(folder) / "int8.onnx")), target, "int8")


class _Reader:
    """onnxruntime's CalibrationDataReader: one picture at a time."""

    def __init__(self, pictures: Iterable[tuple[U8, F32]]) -> None:
        self._all = list(pictures)
        self._rest: Iterator[tuple[U8, F32]] = iter(self._all)

    @property
    def any(self) -> bool:
        return bool(self._all)

    def get_next(self) -> dict[str, Any] | None:
        found = next(self._rest, None)
        return None if found is None else {PLANES: found[0][None], COLOR: np.asarray(found[1], np.float32)[None]}

    def rewind(self) -> None:
        self._rest = iter(self._all)


def _prepared(source: Path) -> onnx.ModelProto:
    """Of an operator set that can say int8 per channel, and every node with a name of its own.

    Raises:
        ModelError: not a folded model that can be read; names the file.
    """
    try:
        model = onnx.load(str(source))
        if next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")) < _OPSET:
            model = version_converter.convert_version(model, _OPSET)
    except Exception as error:  # onnx raises protobuf's, its own and RuntimeError
        raise ModelError(f"{source}: not a model that can be read: {str(error)[:200]}") from error
    if PLANES not in {i.name for i in model.graph.input}:
        raise ModelError(f"{source}: not a folded model (no input {PLANES}): fold it with `framegate models fold`")
    seen: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:  # exporters do not always name them
            node.name = f"{node.name or node.op_type}_{index}"
        seen.add(node.name)
    return model


def _keep_float32(model: onnx.ModelProto) -> None:
    """Let tensors that stay float32 go straight to their users. In place.

    The converter sends every input and output through float16 and back: a box would have half-pixel steps again, and
    the colour map lose its last digits.
    """
    found = [node for node in model.graph.node if node.op_type == "Cast"]
    casts = {node.output[0]: (node.input[0], helper.get_node_attr_value(node, "to")) for node in found}
    direct = {}
    for name, (source, kind) in casts.items():
        before = casts.get(source)
        if kind == TensorProto.FLOAT and before is not None and before[1] == TensorProto.FLOAT16:
            direct[name] = before[0]
    outputs = {direct.pop(o.name): o.name for o in model.graph.output if o.name in direct}
    kept = [node for node in model.graph.node if not set(node.output) & set(outputs.values())]
    for node in kept:
        _rename(node.input, direct)
        _rename(node.input, outputs)
        _rename(node.output, outputs)
    replaced = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del model.graph.node[:]
    model.graph.node.extend(replaced)


def _rename(names: Any, to: Mapping[str, str]) -> None:
    """Names of a node's inputs or outputs, in place."""
    renamed = [to.get(name, name) for name in names]
    del names[:]
    names.extend(renamed)


def _in_order(model: onnx.ModelProto) -> None:
    """Nodes after those that feed them, and no casts for nobody; the converter appends its casts at the end. In place.

    Raises:
        ModelError: something is used that nothing makes.
    """
    waiting, before = list(model.graph.node), -1
    while before != len(waiting):
        before = len(waiting)
        used = {o.name for o in model.graph.output} | {name for node in waiting for name in node.input}
        waiting = [node for node in waiting if node.op_type != "Cast" or node.output[0] in used]
    made = {""} | {i.name for i in model.graph.input} | {t.name for t in model.graph.initializer}
    ordered: list[onnx.NodeProto] = []
    while waiting:
        late = []
        for node in waiting:
            if made.issuperset(node.input):
                ordered.append(onnx.NodeProto.FromString(node.SerializeToString()))
                made.update(node.output)
            else:
                late.append(node)
        if len(late) == len(waiting):
            raise ModelError(f"the converter left {len(waiting)} nodes that nothing feeds")
        waiting = late
    del model.graph.node[:]
    model.graph.node.extend(ordered)


def _save(model: onnx.ModelProto, target: Path, precision: str) -> None:
    """The card stays; the promise is added, which a TensorRT build holds the file to."""
    kept = [p for p in model.metadata_props if p.key != PRECISION_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend([*kept, onnx.StringStringEntryProto(key=PRECISION_KEY, value=precision)])
    part = target.with_name(f".{target.name}.part")
    onnx.save(model, str(part))
    part.replace(target)
