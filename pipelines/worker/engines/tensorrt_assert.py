"""Is it the engine that was asked for? Inputs, outputs and element types, before and after the build."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import onnx

from pipelines.errors import ModelError
from pipelines.values import ModelCard
from pipelines.worker.engines.folded import COLOR, DETECTIONS, PLANES
from pipelines.worker.engines.tensorrt_library import Library
from pipelines.worker.engines.tensorrt_plan import Tensor

PRECISION_KEY = "framegate.precision"
"""In an ONNX file's metadata: the element type its author converted it to. Absent: what the file has."""
_COMPUTE = ("CONVOLUTION", "MATRIX_MULTIPLY", "DECONVOLUTION")
_NUMPY = {"FLOAT": "float32", "HALF": "float16", "UINT8": "uint8", "INT8": "int8", "INT32": "int32", "INT64": "int64"}


def expected_tensors(card: ModelCard) -> tuple[Tensor, ...]:
    """What a folded model has, by name; the batch is -1."""
    return (
        Tensor(COLOR, "input", "float32", (-1, 3, 4)),
        Tensor(DETECTIONS, "output", "float32", (-1, card.top_k, 6)),
        Tensor(PLANES, "input", "uint8", (-1, card.input_h * 3 // 2, card.input_w)),
    )


def check_tensors(found: Sequence[Tensor], card: ModelCard) -> None:
    """Compare with the card.

    Raises:
        ModelError: a tensor is missing, too many, or of another type or shape; names it.
    """
    wanted = {t.name: t for t in expected_tensors(card)}
    have = {t.name: t for t in found}
    wrong = [
        f"{n}: {have.get(n)}, not {wanted.get(n)}" for n in sorted({*wanted, *have}) if have.get(n) != wanted.get(n)
    ]
    if wrong:
        raise ModelError(f"{card.name}: the engine's tensors are not the card's: {'; '.join(wrong)}")


def network_tensors(network: Any) -> tuple[Tensor, ...]:
    """Of a parsed, strongly typed network: the types that its engine will have."""
    edges = [("input", network.get_input(i)) for i in range(network.num_inputs)]
    edges += [("output", network.get_output(i)) for i in range(network.num_outputs)]
    return tuple(sorted((_tensor(t.name, mode, t.dtype, t.shape) for mode, t in edges), key=lambda t: t.name))


def engine_tensors(library: Library, engine: Any) -> tuple[Tensor, ...]:
    """Of an engine that was loaded on its device."""
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    inputs = library.trt.TensorIOMode.INPUT
    return tuple(
        _tensor(
            name,
            "input" if engine.get_tensor_mode(name) == inputs else "output",
            engine.get_tensor_dtype(name),
            engine.get_tensor_shape(name),
        )
        for name in sorted(names)
    )


def network_precision(network: Any) -> dict[str, int]:
    """{numpy's type: layers of convolution and matrix product that compute in it}.

    A strongly typed network computes in the type it says; behind a dequantizing layer, a product is computed in int8.
    """
    counts: Counter[str] = Counter()
    made_by: dict[str, str] = {}
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        made_by.update({layer.get_output(i).name: layer.type.name for i in range(layer.num_outputs)})
        if layer.type.name in _COMPUTE:
            dtype = layer.get_output(0).dtype.name
            counts["int8" if made_by.get(layer.get_input(0).name) == "DEQUANTIZE" else _NUMPY.get(dtype, dtype)] += 1
    return dict(counts)


def promised_precision(model: onnx.ModelProto) -> str:
    """What the file's author says it was converted to; empty if nothing."""
    return next((p.value for p in model.metadata_props if p.key == PRECISION_KEY), "")


def check_precision(found: Mapping[str, int], promised: str) -> None:
    """See that nothing fell back to float32 silently.

    Raises:
        ModelError: a layer computes in another type than the file promises; names types and counts.
    """
    others = {kind: n for kind, n in found.items() if kind != promised}
    if promised and others:
        raise ModelError(f"the file promises {promised}, but layers compute in other types too: {dict(found)}")


def _tensor(name: str, mode: str, dtype: Any, shape: Any) -> Tensor:
    return Tensor(name, mode, _NUMPY.get(dtype.name, dtype.name), tuple(int(side) for side in shape))
