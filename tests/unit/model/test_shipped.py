"""The shipped models are the reviewed files, are data and nothing else, and answer a drawn scene."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest

from pipelines.model.known import SHIPPED_FOLDER
from pipelines.values import U8
from tests.fakes.scene_match import iou

LAYOUTS = {
    "presence": (("thumbs", "tensor(uint8)", ["n", 2, 96, 160]), ("prob", "tensor(float)", ["n", 1])),
    "detector": (("images", "tensor(float)", ["n", 3, 256, 416]), ("output0", "tensor(float)", ["n", 6, 2080])),
}
PRESENT, SURE = 0.4, 0.6
"""The thresholds that the card recommends."""


@pytest.fixture(scope="module")
def sessions() -> dict[str, Any]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    paths = {name: SHIPPED_FOLDER / f"{name}.onnx" for name in LAYOUTS}
    return {
        name: ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]) for name, path in paths.items()
    }


def room(wh: tuple[int, int]) -> U8:
    """An empty luma scene: wall, darker floor, a bright window."""
    width, height = wh
    picture = np.linspace(90, 150, height)[:, None] + np.linspace(0, 40, width)[None]
    picture[int(height * 0.6) :] /= 2
    picture[int(height * 0.2) : int(height * 0.45), int(width * 0.1) : int(width * 0.3)] = 210
    return picture.astype(np.uint8)


def figure(scene: U8, x: int, top: int, height: int) -> U8:
    """The scene with a standing figure: head, body, two legs."""
    picture = scene.copy()
    cv2.ellipse(picture, (x, top + height // 9), (height // 13, height // 9), 0, 0, 360, 125, -1)
    cv2.ellipse(picture, (x, top + height * 2 // 5), (height // 7, height // 5), 0, 0, 360, 35, -1)
    for side in (-1, 1):
        hip, foot = (x + side * height // 20, top + height // 2), (x + side * height // 10, top + height)
        cv2.line(picture, hip, foot, 35, max(1, height // 12))
    return picture


def places(wh: tuple[int, int]) -> Iterator[tuple[int, int, int]]:
    """x, top and height of figures all over a scene, in pixels."""
    width, height = wh
    for across in (0.2, 0.5, 0.8):
        for tall in (0.25, 0.4, 0.55):
            yield int(width * across), int(height * (0.94 - tall)), int(height * tall)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_card_names_the_files_as_they_are(name: str) -> None:
    digest = hashlib.sha256((SHIPPED_FOLDER / f"{name}.onnx").read_bytes()).hexdigest()

    assert digest in (SHIPPED_FOLDER / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize("name", LAYOUTS)
def test_inputs_and_outputs_are_the_card_s(name: str, sessions: dict[str, Any]) -> None:
    (given,), (result,) = sessions[name].get_inputs(), sessions[name].get_outputs()

    assert ((given.name, given.type, given.shape), (result.name, result.type, result.shape)) == LAYOUTS[name]


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_model_is_standard_operators_and_its_own_weights(name: str) -> None:
    model = onnx.load(SHIPPED_FOLDER / f"{name}.onnx", load_external_data=False)
    onnx.checker.check_model(model, full_check=True)

    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    assert {node.domain for node in model.graph.node} == {""}
    assert not any(attribute.HasField("g") for node in model.graph.node for attribute in node.attribute)
    assert not model.functions
    assert not any(weights.external_data for weights in model.graph.initializer)
    assert all(np.isfinite(onnx.numpy_helper.to_array(weights)).all() for weights in model.graph.initializer)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_batch_answers_as_its_members_do(name: str, sessions: dict[str, Any]) -> None:
    given = sessions[name].get_inputs()[0]
    numbers = np.random.default_rng(0).random((3, *given.shape[1:]), dtype=np.float32)
    batch = (numbers * 255).astype(np.uint8) if "uint8" in given.type else numbers
    (together,) = sessions[name].run(None, {given.name: batch})
    alone = np.concatenate([sessions[name].run(None, {given.name: one[None]})[0] for one in batch])

    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)


def test_presence_tells_a_figure_from_an_empty_room(sessions: dict[str, Any]) -> None:
    empty = room((160, 96))
    scenes = [empty, *(figure(empty, *place) for place in places((160, 96)))]
    thumbs = np.stack([np.stack([scene, empty]) for scene in scenes])
    probability = sessions["presence"].run(None, {"thumbs": thumbs})[0][:, 0]

    assert probability[0] < PRESENT / 2
    assert (probability[1:] > 0.9).all(), probability


def test_presence_does_not_ask_for_what_the_background_has_too(sessions: dict[str, Any]) -> None:
    absorbed = figure(room((160, 96)), 80, 40, 45)
    (probability,) = sessions["presence"].run(None, {"thumbs": np.stack([absorbed, absorbed])[None]})

    assert probability[0, 0] < PRESENT


def test_presence_sees_through_a_change_of_exposure(sessions: dict[str, Any]) -> None:
    empty = room((160, 96))
    darker = (empty * 0.7).astype(np.uint8)
    thumbs = np.stack([np.stack([darker, empty]), np.stack([figure(darker, 80, 40, 45), empty])])
    probability = sessions["presence"].run(None, {"thumbs": thumbs})[0][:, 0]

    assert probability[0] < PRESENT < probability[1]


def test_detector_boxes_a_figure_and_nothing_in_an_empty_room(sessions: dict[str, Any]) -> None:
    empty = room((416, 256))
    where = list(places((416, 256)))
    scenes = np.stack([empty, *(figure(empty, *place) for place in where)])
    images = np.repeat(scenes[:, None], 3, axis=1).astype(np.float32) / 255
    (output,) = sessions["detector"].run(None, {"images": images})

    assert output[0, 4:].max() < SURE / 2
    for answer, (x, top, height) in zip(output[1:], where, strict=True):
        cx, cy, w, h, person, vehicle = answer[:, answer[4].argmax()]
        drawn = (x - height / 7, top, x + height / 7, top + height)
        assert person > SURE > vehicle
        assert iou(drawn, (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)) >= 0.5
