"""Whether a request fits the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.color import affine
from pipelines.values import ColorMatrix, ColorRange, ModelCard
from pipelines.worker.serve.status import Code, RequestError
from pipelines.worker.serve.tensor import InputTensor, WantedOutput, check_outputs, pictures
from tests.fakes.lane import CARD
from tests.unit.worker.serve.running import PLANES_SHAPE, colors, inputs, planes

RANGES = st.sampled_from([ColorRange.LIMITED, ColorRange.FULL])
MATRICES = st.sampled_from([ColorMatrix.BT601, ColorMatrix.BT709])
CARDS = st.builds(
    lambda order, std, scale: replace(CARD, channel_order=order, std=std, scale=scale),
    st.sampled_from(["rgb", "bgr"]),
    st.sampled_from([(1.0, 1.0, 1.0), (0.229, 0.224, 0.225)]),
    st.sampled_from([1.0, 1 / 255]),
)


@given(CARDS, RANGES, MATRICES)
def test_a_colour_map_is_known_by_its_numbers(card: ModelCard, color_range: ColorRange, matrix: ColorMatrix) -> None:
    """Also after it went through somebody's decimal text."""
    rounded = np.array([[f"{value:.5g}" for value in row] for row in affine(card, color_range, matrix)], np.float32)
    tensors = [inputs()[0], InputTensor("color", "FP32", (1, 3, 4), rounded.tobytes())]

    (picture,) = pictures(tensors, card, 1)

    assert (picture.color_range, picture.color_matrix) == (color_range, matrix)


def test_one_batch_may_mix_colour_maps() -> None:
    mixed = np.concatenate([colors(1, ColorMatrix.BT601), colors(1, ColorMatrix.BT709)])
    data = bytes(range(256)) * 6
    tensors = [
        InputTensor("color", "FP32", (2, 3, 4), mixed.tobytes()),
        InputTensor("planes", "UINT8", (2, *PLANES_SHAPE), data),
    ]

    first, second = pictures(tensors, CARD, 4)

    assert (first.color_matrix, second.color_matrix) == (ColorMatrix.BT601, ColorMatrix.BT709)
    assert first.planes.tobytes() + second.planes.tobytes() == data
    assert first.planes.shape == (CARD.payload_bytes,)
    assert not first.planes.flags.writeable


@pytest.mark.parametrize(
    ("planes_change", "says"),
    [
        ({"datatype": "FP32"}, "is UINT8, not FP32"),
        ({"shape": (1, 16, 32)}, r"shape \[1, 16, 32\]; wanted: \[b, 24, 32\]"),
        ({"shape": (24, 32)}, r"shape \[24, 32\]"),
        ({"shape": (0, 24, 32), "data": b""}, "b of 1..4"),
        ({"shape": (5, 24, 32), "data": planes(5)}, "b of 1..4"),
        ({"shape": (-1, 24, 32)}, "b of 1..4"),
        ({"data": planes()[1:]}, "767 bytes, where shape .* has 768"),
        ({"shape": (2, 24, 32), "data": planes(2)}, "2 pictures in planes, and 1 in color"),
        ({"name": "plane"}, "given: plane, color"),
        ({"name": "color", "datatype": "FP32"}, "given: color, color"),
    ],
)
def test_what_does_not_fit_is_an_invalid_argument(planes_change: dict[str, object], says: str) -> None:
    first, second = inputs()
    with pytest.raises(RequestError, match=says) as refusal:
        pictures([replace(first, **planes_change), second], CARD, 4)  # type: ignore[arg-type]
    assert refusal.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("value", [0.0, 1.0, float("nan"), float("inf")])
def test_a_colour_map_of_nobody_is_refused(value: float) -> None:
    wrong = InputTensor("color", "FP32", (1, 3, 4), np.full((1, 3, 4), value, np.float32).tobytes())
    with pytest.raises(RequestError, match=r"BT\.601 or BT\.709"):
        pictures([inputs()[0], wrong], CARD, 4)


def test_no_inputs_at_all() -> None:
    with pytest.raises(RequestError, match="given: none"):
        pictures([], CARD, 4)


@pytest.mark.parametrize("names", [["boxes"], ["detections", "detections"]])
def test_an_output_that_the_model_does_not_have(names: list[str]) -> None:
    with pytest.raises(RequestError, match="has the output detections"):
        check_outputs([WantedOutput(name) for name in names], CARD)
