"""A task as a request, an answer out of a response, a card out of a configuration: bytes and messages only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.card import METADATA_KEY, to_json
from pipelines.color import affine
from pipelines.errors import LaneError
from pipelines.schema import open_inference_pb2 as pb
from pipelines.transport import grpc_form
from pipelines.values import PixelFormat, Priority, SlotHeader
from tests.unit.transport.values import CARD, header

PAYLOAD = bytes(range(CARD.payload_bytes))


def config(**tensors: list[int]) -> pb.ModelConfig:
    dims = {"planes": [12, 16], "color": [3, 4], "detections": [4, 6]} | tensors
    return pb.ModelConfig(
        name="tiny",
        input=[pb.ModelInput(name=name, dims=dims[name]) for name in ("planes", "color")],
        output=[pb.ModelOutput(name="detections", dims=dims["detections"])],
        parameters={METADATA_KEY: pb.ModelParameter(string_value=to_json(CARD))},
    )


def request(asked: SlotHeader, payload: bytes = PAYLOAD) -> pb.ModelInferRequest:
    return pb.ModelInferRequest.FromString(grpc_form.request(asked, memoryview(payload), CARD, "served", "3"))


@pytest.mark.parametrize(("priority", "number"), [(Priority.HIGH, 1), (Priority.NORMAL, 2), (Priority.LOW, 3)])
def test_the_parts_make_the_message_that_the_library_reads(priority: Priority, number: int) -> None:
    asked = header(77, priority=priority)
    message = request(asked, PAYLOAD + b"the rest of the slot")

    assert (message.model_name, message.model_version, message.id) == ("served", "3", "77")
    assert [(t.name, t.datatype, list(t.shape)) for t in message.inputs] == [
        ("planes", "UINT8", [1, 12, 16]),
        ("color", "FP32", [1, 3, 4]),
    ]
    color = affine(CARD, asked.color_range, asked.color_matrix)
    assert list(message.raw_input_contents) == [PAYLOAD, color.tobytes()]
    assert {key: value.WhichOneof("parameter_choice") for key, value in message.parameters.items()} == {
        "camera": "string_param",
        "priority": "int64_param",
        "task": "int64_param",
    }
    assert message.parameters["priority"].int64_param == number
    assert message.parameters["camera"].string_param == "gate-7"


@given(st.integers(0, 2**32))
def test_a_length_is_a_varint(number: int) -> None:
    """As the library writes one: here as a field of type uint64."""
    parameter = pb.InferParameter(uint64_param=number)
    assert parameter.SerializeToString()[1:] == grpc_form._varint(number)


def test_a_task_number_beyond_a_signed_one_travels_as_id_alone() -> None:
    message = request(replace(header(1), task=2**64 - 1))
    assert (message.id, "task" in message.parameters) == (str(2**64 - 1), False)


@pytest.mark.parametrize("change", [{"payload_bytes": 191}, {"pixel_format": PixelFormat.NONE}])
def test_what_is_no_picture_is_not_sent(change: dict[str, object]) -> None:
    with pytest.raises(LaneError, match="task 1 is no picture for model tiny"):
        request(replace(header(1), **change))  # type: ignore[arg-type]


def test_rows_of_a_response() -> None:
    rows = np.arange(24, dtype=np.float32)
    output = pb.ModelInferResponse.InferOutputTensor(name="detections", datatype="FP32", shape=[1, 4, 6])
    response = pb.ModelInferResponse(outputs=[output], raw_output_contents=[rows.tobytes()])
    assert grpc_form.rows(response, CARD).tolist() == rows.reshape(4, 6).tolist()


@pytest.mark.parametrize(
    ("output", "raw"),
    [
        (None, b""),
        ({"name": "boxes"}, bytes(96)),
        ({"datatype": "FP64"}, bytes(96)),
        ({"shape": [1, 5, 6]}, bytes(120)),
        ({"shape": [2, 4, 6]}, bytes(192)),
        ({}, bytes(95)),
        ({}, None),
    ],
)
def test_an_odd_answer_is_no_answer(output: dict[str, object] | None, raw: bytes | None) -> None:
    usual = {"name": "detections", "datatype": "FP32", "shape": [1, 4, 6]}
    kind = pb.ModelInferResponse.InferOutputTensor
    outputs = [] if output is None else [kind(**usual | output)]  # type: ignore[arg-type]
    with pytest.raises(LaneError, match=r"wanted: detections FP32 \[1, 4, 6\]"):
        grpc_form.rows(pb.ModelInferResponse(outputs=outputs, raw_output_contents=[] if raw is None else [raw]), CARD)


@pytest.mark.parametrize(
    "dims", [{}, {"planes": [-1, 12, 16], "color": [-1, 3, 4], "detections": [-1, 4, 6]}], ids=["batched", "dynamic"]
)
def test_the_card_of_a_configuration(dims: dict[str, list[int]]) -> None:
    """With Triton's batching, or with a batch among the dimensions."""
    assert grpc_form.card_of_config(config(**dims)) == CARD


def test_a_configuration_that_is_not_of_the_cards_model() -> None:
    with pytest.raises(LaneError, match=r"'planes': \[24, 16\].*by its card they should be"):
        grpc_form.card_of_config(config(planes=[24, 16]))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "comes without a card.*scripts.triton_repository"),
        ("{}", "lacks name"),
        (to_json(replace(CARD, name="x" * 33)), "longer than 32 bytes"),
    ],
)
def test_a_card_that_is_none(text: str, says: str) -> None:
    with pytest.raises(LaneError, match=says):
        grpc_form.card_of_text(text, "tiny")
