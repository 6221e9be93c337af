"""HTTP bodies to requests, and back: JSON, with Triton's binary tensor extension. Pure.

Binary: the header `Inference-Header-Content-Length` says how long the JSON is; the tensors follow it in the order of
the inputs that have the parameter `binary_data_size`. Answers are binary where the output asks for it (`binary_data`)
or the request does for all (`binary_data_output`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.values import ModelCard
from pipelines.worker.serve.service import BACKEND, PLATFORM, card_properties
from pipelines.worker.serve.status import Code, RequestError
from pipelines.worker.serve.tensor import (
    DETECTIONS,
    DTYPES,
    VERSION,
    InferRequest,
    InferResponse,
    InputTensor,
    SharedRange,
    TensorSpec,
    WantedOutput,
    input_specs,
    output_specs,
)

LENGTH_HEADER = "Inference-Header-Content-Length"


@dataclass(frozen=True, slots=True, eq=False)
class ParsedBody:
    """A request, and how its answer is wanted."""

    request: InferRequest
    binary: bool


def parse(model: str, version: str, body: bytes, json_bytes: int | None, now_ns: int, peer: str) -> ParsedBody:
    """A request as the service takes it. Costs a millisecond for each 10,000 numbers in JSON; binary ones cost nothing.

    Args:
        json_bytes: What LENGTH_HEADER says; None without it.
        peer: Stands for the camera where the client names none.

    Raises:
        RequestError: it cannot be read.
    """
    if json_bytes is not None and not 0 < json_bytes <= len(body):
        raise _wrong(f"{LENGTH_HEADER} is {json_bytes}, the body has {len(body)} bytes")
    document = _object(_loads(body[:json_bytes]), "the body")
    parameters = _object(document.get("parameters", {}), "parameters")
    outputs = [_object(one, "an output") for one in _list(document.get("outputs", []), "outputs")]
    timeout_us = _integer(parameters, "timeout")
    request = InferRequest(
        model=model,
        version=version,
        id=str(document.get("id", "")),
        inputs=_inputs(document, memoryview(body)[len(body) if json_bytes is None else json_bytes :]),
        outputs=[WantedOutput(str(one.get("name")), _shared(_parameters(one))) for one in outputs],
        deadline_ns=now_ns + timeout_us * 1000 if timeout_us else None,
        priority=_integer(parameters, "priority"),
        camera=str(parameters.get("camera", peer)),
        task=_integer(parameters, "task"),
    )
    default = parameters.get("binary_data_output", False)
    return ParsedBody(request, any(_parameters(one).get("binary_data", default) for one in outputs or [{}]))


def respond(response: InferResponse, binary: bool) -> tuple[bytes, int | None]:
    """(body, what LENGTH_HEADER says or None)."""
    output: dict[str, Any] = {"name": DETECTIONS, "datatype": "FP32", "shape": list(response.detections.shape)}
    answer = {"model_name": response.model, "model_version": response.version, "id": response.id, "outputs": [output]}
    if response.shared is not None:
        output["parameters"] = {
            "shared_memory_region": response.shared.region,
            "shared_memory_byte_size": response.shared.byte_size,
            "shared_memory_offset": response.shared.offset,
        }
    elif binary:
        data = response.detections.astype("<f4", copy=False).tobytes()
        output["parameters"] = {"binary_data_size": len(data)}
        head = json.dumps(answer).encode()
        return head + data, len(head)
    else:
        output["data"] = response.detections.ravel().tolist()
    return json.dumps(answer).encode(), None


def metadata(name: str, card: ModelCard) -> dict[str, Any]:
    return {
        "name": name,
        "versions": [VERSION],
        "platform": PLATFORM,
        "inputs": [_spec(spec) for spec in input_specs(card)],
        "outputs": [_spec(spec) for spec in output_specs(card)],
        "properties": dict(card_properties(card)),
    }


def config(name: str, card: ModelCard, max_batch: int) -> dict[str, Any]:
    """Triton's model configuration, as JSON."""
    return {
        "name": name,
        "platform": PLATFORM,
        "backend": BACKEND,
        "max_batch_size": max_batch,
        "input": [_config_spec(spec) for spec in input_specs(card)],
        "output": [_config_spec(spec) for spec in output_specs(card)],
        "parameters": {key: {"string_value": value} for key, value in card_properties(card).items()},
    }


def _spec(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _config_spec(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "data_type": f"TYPE_{spec.datatype}", "dims": list(spec.shape[1:])}


def _inputs(document: Mapping[str, Any], tail: memoryview) -> list[InputTensor]:
    inputs = []
    for one in _list(document.get("inputs"), "inputs"):
        tensor = _object(one, "an input")
        name, datatype = str(tensor.get("name")), str(tensor.get("datatype"))
        shape = tuple(_list(tensor.get("shape"), f"the shape of {name}"))
        if not all(isinstance(size, int) for size in shape):
            raise _wrong(f"the shape of {name} is {list(shape)}: whole numbers are wanted")
        parameters = _parameters(tensor)
        data: bytes | memoryview | SharedRange | None = _shared(parameters)
        if data is None and "binary_data_size" in parameters:
            size = _integer(parameters, "binary_data_size")
            if size > len(tail):
                raise _wrong(f"input {name}: binary_data_size is {size}, and {len(tail)} bytes are left")
            data, tail = tail[:size], tail[size:]
        elif data is None:
            data = _numbers(name, datatype, tensor.get("data"))
        inputs.append(InputTensor(name, datatype, shape, data))
    if len(tail):
        raise _wrong(f"{len(tail)} bytes after the last binary tensor")
    return inputs


def _numbers(name: str, datatype: str, data: object) -> bytes:
    """Nested or flat, both are row-major."""
    if datatype not in DTYPES:
        raise _wrong(f"input {name}: {datatype} is no datatype of this model")
    try:
        values = np.asarray(_list(data, f"the data of {name}"))
        if values.size and (values.dtype.kind not in "iuf" or (datatype == "UINT8" and values.dtype.kind == "f")):
            raise _wrong(f"input {name}: its data are not numbers of {datatype}")
        if datatype == "UINT8" and values.size and not 0 <= values.min() <= values.max() <= 255:
            raise _wrong(f"input {name}: a value is not 0..255")
        return values.astype(np.dtype(DTYPES[datatype])).tobytes()
    except ValueError as error:  # rows of different length
        raise _wrong(f"input {name}: {error}") from error


def _shared(parameters: Mapping[str, Any]) -> SharedRange | None:
    if "shared_memory_region" not in parameters:
        return None
    size, offset = _integer(parameters, "shared_memory_byte_size"), _integer(parameters, "shared_memory_offset")
    return SharedRange(str(parameters["shared_memory_region"]), offset, size)


def _parameters(tensor: Mapping[str, Any]) -> Mapping[str, Any]:
    return _object(tensor.get("parameters", {}), "parameters")


def _integer(parameters: Mapping[str, Any], key: str) -> int:
    value = parameters.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise _wrong(f"parameter {key} is {value!r}: a whole number is wanted")
    return value


def _loads(text: bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(f"not JSON: {error}") from error


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(f"{what} is not a JSON object")
    return value


def _list(value: object, what: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise _wrong(f"{what} is not a JSON array")
    return value


def _wrong(message: str) -> RequestError:
    return RequestError(Code.INVALID_ARGUMENT, message)
