"""Protobuf messages to requests, and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipelines.schema import open_inference_pb2 as pb
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
    WantedOutput,
    input_specs,
    output_specs,
)

_Parameters = Mapping[str, pb.InferParameter]
_TYPES = {"UINT8": pb.TYPE_UINT8, "FP32": pb.TYPE_FP32}


def parse(message: pb.ModelInferRequest, deadline_ns: int | None, now_ns: int, peer: str) -> InferRequest:
    """A request as the service takes it. Its raw tensors are copied once.

    Args:
        deadline_ns: The call's, monotonic; the `timeout` parameter (Triton's, us) may make it earlier.
        peer: Stands for the camera where the client names none.

    Raises:
        RequestError: parameters or contents that say nothing sensible.
    """
    parameters = message.parameters
    timeout_us = integer(parameters, "timeout")
    if timeout_us:
        own_ns = now_ns + timeout_us * 1000
        deadline_ns = own_ns if deadline_ns is None else min(deadline_ns, own_ns)
    return InferRequest(
        model=message.model_name,
        version=message.model_version,
        id=message.id,
        inputs=_inputs(message),
        outputs=[WantedOutput(output.name, _shared(output.parameters)) for output in message.outputs],
        deadline_ns=deadline_ns,
        priority=integer(parameters, "priority"),
        camera=parameters["camera"].string_param if "camera" in parameters else peer,
        task=integer(parameters, "task"),
    )


def respond(response: InferResponse) -> pb.ModelInferResponse:
    """The answer; its tensor raw, or in the client's region."""
    shape = response.detections.shape
    output = pb.ModelInferResponse.InferOutputTensor(name=DETECTIONS, datatype="FP32", shape=shape)
    answer = pb.ModelInferResponse(
        model_name=response.model, model_version=response.version, id=response.id, outputs=[output]
    )
    if response.shared is None:
        answer.raw_output_contents.append(response.detections.astype("<f4", copy=False).tobytes())
        return answer
    place = answer.outputs[0].parameters
    place["shared_memory_region"].string_param = response.shared.region
    place["shared_memory_byte_size"].int64_param = response.shared.byte_size
    place["shared_memory_offset"].int64_param = response.shared.offset
    return answer


def metadata(name: str, card: ModelCard) -> pb.ModelMetadataResponse:
    """The model's tensors, and its card among the properties."""
    kind = pb.ModelMetadataResponse.TensorMetadata
    return pb.ModelMetadataResponse(
        name=name,
        versions=[VERSION],
        platform=PLATFORM,
        inputs=[kind(name=s.name, datatype=s.datatype, shape=s.shape) for s in input_specs(card)],
        outputs=[kind(name=s.name, datatype=s.datatype, shape=s.shape) for s in output_specs(card)],
        properties=card_properties(card),
    )


def config(name: str, card: ModelCard, max_batch: int) -> pb.ModelConfig:
    """Triton's model configuration: what it would be for the same file there, the card among its parameters."""
    inputs = [pb.ModelInput(name=s.name, data_type=_TYPES[s.datatype], dims=s.shape[1:]) for s in input_specs(card)]
    outputs = [pb.ModelOutput(name=s.name, data_type=_TYPES[s.datatype], dims=s.shape[1:]) for s in output_specs(card)]
    return pb.ModelConfig(
        name=name,
        platform=PLATFORM,
        backend=BACKEND,
        max_batch_size=max_batch,
        input=inputs,
        output=outputs,
        parameters={key: pb.ModelParameter(string_value=value) for key, value in card_properties(card).items()},
    )


def integer(parameters: _Parameters, key: str) -> int:
    """A parameter that is a number, whichever way it was sent; 0 without it. Raises RequestError if it is none."""
    if key not in parameters:
        return 0
    given = parameters[key]
    match given.WhichOneof("parameter_choice"):
        case "int64_param":
            number = given.int64_param
        case "uint64_param":
            number = given.uint64_param
        case "string_param" if given.string_param.isdecimal():
            number = int(given.string_param)
        case _:
            raise RequestError(Code.INVALID_ARGUMENT, f"parameter {key} is not a whole number")
    if not 0 <= number < 2**63:
        raise RequestError(Code.INVALID_ARGUMENT, f"parameter {key} is {number}: out of range")
    return number


def _inputs(message: pb.ModelInferRequest) -> list[InputTensor]:
    raw = iter(message.raw_input_contents)
    has_raw = bool(message.raw_input_contents)
    inputs = []
    for tensor in message.inputs:
        data: bytes | SharedRange | None = _shared(tensor.parameters)
        if data is None and has_raw:
            data = next(raw, None)
        elif data is None:
            data = _contents(tensor)
        if data is None:
            raise RequestError(Code.INVALID_ARGUMENT, f"input {tensor.name} has no raw_input_contents of its own")
        inputs.append(InputTensor(tensor.name, tensor.datatype, tuple(tensor.shape), data))
    if next(raw, None) is not None:
        raise RequestError(Code.INVALID_ARGUMENT, "there are more raw_input_contents than inputs without a region")
    return inputs


def _contents(tensor: pb.ModelInferRequest.InferInputTensor) -> bytes:
    values = {"UINT8": tensor.contents.uint_contents, "FP32": tensor.contents.fp32_contents}.get(tensor.datatype)
    if values is None:
        raise RequestError(
            Code.INVALID_ARGUMENT, f"input {tensor.name}: {tensor.datatype} is no datatype of this model"
        )
    try:
        return np.array(values, np.dtype(DTYPES[tensor.datatype])).tobytes()
    except OverflowError as error:
        raise RequestError(Code.INVALID_ARGUMENT, f"input {tensor.name}: {error}") from error


def _shared(parameters: _Parameters) -> SharedRange | None:
    """Where a tensor lies, if in shared memory."""
    if "shared_memory_region" not in parameters:
        return None
    size, offset = integer(parameters, "shared_memory_byte_size"), integer(parameters, "shared_memory_offset")
    return SharedRange(parameters["shared_memory_region"].string_param, offset, size)
