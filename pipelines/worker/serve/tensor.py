"""Requests and responses without a wire, and whether a request fits a model. Pure.

What is served is the folded model itself (docs/models.md):

| tensor       | datatype | shape           |                                                          |
|--------------|----------|-----------------|----------------------------------------------------------|
| `planes`     | UINT8    | (b, h * 3/2, w) | I420 of the network's size: Y, then U, then V            |
| `color`      | FP32     | (b, 3, 4)       | from (Y, U, V) to the network's input: pipelines/color.py|
| `detections` | FP32     | (b, top_k, 6)   | rows of values.Answer: x0 y0 x1 y1 score class           |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.color import affine
from pipelines.values import F32, U8, ColorMatrix, ColorRange, ModelCard
from pipelines.worker.serve.status import Code, RequestError

PLANES, COLOR, DETECTIONS = "planes", "color", "detections"
DTYPES: Mapping[str, npt.DTypeLike] = {"UINT8": np.uint8, "FP32": np.float32}
"""The protocol's names of what the models take and give; all little-endian on the wire."""
VERSION = "1"
"""Each model has this one version."""

_TOLERANCE = 1e-3
_COLORS = tuple(
    (color_range, matrix)
    for color_range in (ColorRange.LIMITED, ColorRange.FULL)
    for matrix in (ColorMatrix.BT601, ColorMatrix.BT709)
)


@dataclass(frozen=True, slots=True)
class SharedRange:
    """Bytes in a registered region."""

    region: str
    offset: int
    byte_size: int


@dataclass(frozen=True, slots=True, eq=False)
class InputTensor:
    """One input. `data`: its elements, row-major, little-endian; or where they lie."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes | memoryview | SharedRange


@dataclass(frozen=True, slots=True)
class WantedOutput:
    """An output asked for by name. `shared`: write it there, and not into the response."""

    name: str
    shared: SharedRange | None = None


@dataclass(frozen=True, slots=True, eq=False)
class InferRequest:
    """One inference, as any wire brings it."""

    model: str
    version: str
    id: str
    inputs: Sequence[InputTensor]
    outputs: Sequence[WantedOutput] = ()
    """Empty: all, in the response."""
    deadline_ns: int | None = None
    """Monotonic, of this host; None: the client named none."""
    priority: int = 0
    """Triton's: 1 is served first; 0: the model's usual one."""
    camera: str = ""
    """Whose picture it is, for fairness; empty: the client's address stands for it."""
    task: int = 0
    """The client's own number, for its and our records."""


@dataclass(frozen=True, slots=True, eq=False)
class InferResponse:
    """detections: (b, top_k, 6) float32. `shared`: it lies there already."""

    model: str
    version: str
    id: str
    detections: F32
    shared: SharedRange | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One network input. planes: (payload_bytes,) uint8."""

    planes: U8
    color_range: ColorRange
    color_matrix: ColorMatrix


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor of a model. -1: the batch."""

    name: str
    datatype: str
    shape: tuple[int, ...]


def input_specs(card: ModelCard) -> tuple[TensorSpec, ...]:
    planes = TensorSpec(PLANES, "UINT8", (-1, card.input_h * 3 // 2, card.input_w))
    return planes, TensorSpec(COLOR, "FP32", (-1, 3, 4))


def output_specs(card: ModelCard) -> tuple[TensorSpec, ...]:
    return (TensorSpec(DETECTIONS, "FP32", (-1, card.top_k, 6)),)


def pictures(inputs: Sequence[InputTensor], card: ModelCard, max_batch: int) -> tuple[Picture, ...]:
    """The pictures of a request whose data is at hand.

    Raises:
        RequestError: names, datatypes, shapes or bytes do not fit the model, or a colour map is not one of its own.
    """
    given = {tensor.name: tensor for tensor in inputs}
    specs = input_specs(card)
    if len(given) != len(inputs) or set(given) != {spec.name for spec in specs}:
        names = ", ".join(tensor.name for tensor in inputs) or "none"
        raise _wrong(f"model {card.name} wants the inputs {PLANES} and {COLOR}, each once; given: {names}")
    planes, color = (_array(given[spec.name], spec, max_batch) for spec in specs)
    if len(planes) != len(color):
        raise _wrong(f"{len(planes)} pictures in {PLANES}, and {len(color)} in {COLOR}")
    known = {key: affine(card, *key) for key in _COLORS}
    return tuple(Picture(one.ravel(), *_color(map_, known, card)) for one, map_ in zip(planes, color, strict=True))


def check_outputs(outputs: Sequence[WantedOutput], card: ModelCard) -> None:
    """Raises RequestError if an output is asked for that the model does not have, or one twice."""
    names = [output.name for output in outputs]
    if names not in ([], [DETECTIONS]):
        raise _wrong(f"model {card.name} has the output {DETECTIONS}; asked for: {', '.join(names)}")


def _array(tensor: InputTensor, spec: TensorSpec, max_batch: int) -> npt.NDArray[Any]:
    if tensor.datatype != spec.datatype:
        raise _wrong(f"input {spec.name} is {spec.datatype}, not {tensor.datatype}")
    shape = tensor.shape
    if len(shape) != len(spec.shape) or shape[1:] != spec.shape[1:] or not 1 <= shape[0] <= max_batch:
        want = ", ".join(map(str, spec.shape[1:]))
        raise _wrong(f"input {spec.name} has shape {list(shape)}; wanted: [b, {want}], b of 1..{max_batch}")
    assert not isinstance(tensor.data, SharedRange)
    dtype = np.dtype(DTYPES[spec.datatype]).newbyteorder("<")
    size = int(np.prod(shape)) * dtype.itemsize
    if len(tensor.data) != size:
        raise _wrong(f"input {spec.name}: {len(tensor.data)} bytes, where shape {list(shape)} has {size}")
    return np.frombuffer(tensor.data, dtype).reshape(shape)


def _color(
    given: F32, known: Mapping[tuple[ColorRange, ColorMatrix], F32], card: ModelCard
) -> tuple[ColorRange, ColorMatrix]:
    """Which range and matrix this map is of. They differ from each other by 10 % and more."""
    for key, matrix in known.items():
        slack = _TOLERANCE * float(np.abs(matrix[:, :3]).max())
        if np.allclose(given, matrix, rtol=_TOLERANCE, atol=slack):
            return key
    reason = (
        f"a map in {COLOR} is none of model {card.name}: BT.601 or BT.709, limited or full range (docs/protocol.md)"
    )
    raise _wrong(reason)


def _wrong(message: str) -> RequestError:
    return RequestError(Code.INVALID_ARGUMENT, message)
