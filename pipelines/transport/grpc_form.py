"""A task as an inference request, an answer out of a response, a card out of a model's configuration. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
import numpy as np

from pipelines.card import METADATA_KEY, from_json
from pipelines.color import affine
from pipelines.errors import LaneError, ModelError
from pipelines.schema import open_inference_pb2 as pb
from pipelines.transport.layout import MODEL_NAME_BYTES
from pipelines.values import F32, AnswerCode, ModelCard, PixelFormat, Priority, SlotHeader

PLANES, COLOR, DETECTIONS = "planes", "color", "detections"
"""The folded model's inputs and output."""
_PRIORITY = {Priority.HIGH: 1, Priority.NORMAL: 2, Priority.LOW: 3}
"""Triton's: 1 is served first."""
_RAW_TAG = b"\x3a"
"""Field 7 (raw_input_contents), length-delimited."""

CODES = {
    grpc.StatusCode.DEADLINE_EXCEEDED: AnswerCode.LATE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: AnswerCode.LATE,
    grpc.StatusCode.INVALID_ARGUMENT: AnswerCode.BAD_INPUT,
    grpc.StatusCode.INTERNAL: AnswerCode.ENGINE_FAILED,
    grpc.StatusCode.UNKNOWN: AnswerCode.ENGINE_FAILED,
}
"""What a status says about one task. Any other says something about the server, and the lane is given up."""


def request(header: SlotHeader, payload: memoryview, card: ModelCard, model: str, version: str) -> bytes:
    """A serialised ModelInferRequest. The payload is copied once.

    A message may be put together from parts: parsers join its fields, and repeated ones keep their order (protobuf.dev,
    "Encoding"). So only the small part goes through the library, which would copy the payload three times.

    Raises:
        LaneError: the task is not a picture of this model; a bug of the caller.
    """
    if header.pixel_format is not PixelFormat.I420 or header.payload_bytes != card.payload_bytes:
        raise LaneError(f"task {header.task} is no picture for model {card.name}: {header.payload_bytes} bytes")
    kind = pb.ModelInferRequest.InferInputTensor
    head = pb.ModelInferRequest(
        model_name=model,
        model_version=version,
        id=str(header.task),
        inputs=[
            kind(name=PLANES, datatype="UINT8", shape=(1, card.input_h * 3 // 2, card.input_w)),
            kind(name=COLOR, datatype="FP32", shape=(1, 3, 4)),
        ],
        outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name=DETECTIONS)],
    )
    head.parameters["camera"].string_param = header.camera
    head.parameters["priority"].int64_param = _PRIORITY[header.priority]
    if header.task < 2**63:
        head.parameters["task"].int64_param = header.task
    color = affine(card, header.color_range, header.color_matrix).astype("<f4", copy=False).tobytes()
    return b"".join([head.SerializeToString(), *_raw(payload[: header.payload_bytes]), *_raw(memoryview(color))])


def rows(response: pb.ModelInferResponse, card: ModelCard) -> F32:
    """(top_k, 6) float32, as in Answer.

    Raises:
        LaneError: it is not the answer to one picture by this model.
    """
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=False):
        fits = list(output.shape) == [1, card.top_k, 6] and len(raw) == card.top_k * 24
        if output.name == DETECTIONS and output.datatype == "FP32" and fits:
            return np.frombuffer(raw, "<f4").astype(np.float32, copy=False).reshape(card.top_k, 6)
    found = ", ".join(f"{o.name} {o.datatype} {list(o.shape)}" for o in response.outputs) or "nothing"
    raise LaneError(f"the server answered {found}; wanted: {DETECTIONS} FP32 [1, {card.top_k}, 6], raw")


def card_of_config(config: pb.ModelConfig) -> ModelCard:
    """The model's card from its configuration's parameters, checked against its tensors.

    Raises:
        LaneError: none there, it cannot be read, or the model is not the folded one that it describes.
    """
    text = config.parameters[METADATA_KEY].string_value if METADATA_KEY in config.parameters else ""
    card = card_of_text(text, config.name)
    given = {i.name: list(i.dims) for i in config.input} | {o.name: list(o.dims) for o in config.output}
    batched = {PLANES: [card.input_h * 3 // 2, card.input_w], COLOR: [3, 4], DETECTIONS: [card.top_k, 6]}
    if given not in (batched, {name: [-1, *dims] for name, dims in batched.items()}):
        raise LaneError(f"model {config.name} has the tensors {given}; by its card they should be {batched}")
    return card


def card_of_text(text: str, model: str) -> ModelCard:
    """Raises LaneError: no card, or one that cannot be used here."""
    if not text:
        raise LaneError(
            f"model {model} comes without a card: put it on the server with `python -m scripts.triton_repository`, "
            f"which writes the parameter {METADATA_KEY}"
        )
    try:
        card = from_json(text)
    except ModelError as error:
        raise LaneError(f"model {model}: {error}") from error
    if len(card.name.encode()) > MODEL_NAME_BYTES:
        raise LaneError(f"the model name {card.name!r} is longer than {MODEL_NAME_BYTES} bytes: give it a shorter one")
    return card


def _raw(data: memoryview) -> Iterable[bytes | memoryview]:
    return _RAW_TAG, _varint(data.nbytes), data


def _varint(number: int) -> bytes:
    """Base 128, least significant group first (protobuf.dev, "Encoding")."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
