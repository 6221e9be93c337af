"""The hand-built detector is exact on a right picture and blind on a wrong one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from pipelines.values import ColorMatrix, ColorRange
from tests.fakes.detector import build_detector, class_maps, padding_boxes
from tests.fakes.scene import CLASS_NAMES, Scene, clip, truth_of
from tests.fakes.scene_paint import CLASSES, Painter, Rectangle
from tests.tools.fakes import reference
from tests.tools.fakes.reference import Reading

SPACES = [(r, m) for r in (ColorRange.LIMITED, ColorRange.FULL) for m in (ColorMatrix.BT601, ColorMatrix.BT709)]
NUMBERS = range(20, 200, 30)


def painted(scene: Scene) -> list[Any]:
    painter = Painter(scene.wh, scene.color_range, scene.matrix, scene.noise_sigma, scene.seed)
    return [
        painter.paint(n, [Rectangle(CLASSES[box.class_name], box.xyxy) for box in truth_of(scene, n)]) for n in NUMBERS
    ]


def wrong_range(scene: Scene) -> Reading:
    other = ColorRange.FULL if scene.color_range is ColorRange.LIMITED else ColorRange.LIMITED
    return Reading(other, scene.matrix)


def wrong_matrix(scene: Scene) -> Reading:
    other = ColorMatrix.BT709 if scene.matrix is ColorMatrix.BT601 else ColorMatrix.BT601
    return Reading(scene.color_range, other)


@pytest.mark.parametrize(("color_range", "matrix"), SPACES)
def test_every_color_mistake_blinds_it(color_range: ColorRange, matrix: ColorMatrix) -> None:
    """Range, matrix, channel order, chroma order: seeded one at a time into a reading that finds everything."""
    scene = Scene(color_range=color_range, matrix=matrix)
    pictures = painted(scene)
    right = Reading.right(scene)

    assert reference.run(scene, right, NUMBERS, pictures).perfect == 1.0
    for wrong in (
        wrong_range(scene),
        wrong_matrix(scene),
        replace(right, channels=(2, 1, 0)),
        replace(right, swap_chroma=True),
    ):
        assert reference.run(scene, wrong, NUMBERS, pictures).matched == 0, wrong


@pytest.mark.parametrize(
    "mistake",
    [{"anchor": "top_left"}, {"pad": 0.0}, {"pad": 128.0}, {"stretch": True}, {"restore_offset_px": 10}],
    ids=str,
)
def test_every_letterbox_mistake_loses_the_targets(mistake: dict[str, Any]) -> None:
    """Also those that the way back would cancel: a wrong anchor or stretch still maps back to the right boxes."""
    scene = Scene()

    agreement = reference.run(scene, replace(Reading.right(scene), **mistake), NUMBERS, painted(scene))

    assert agreement.required > 10
    assert agreement.recall < 0.1


@pytest.mark.parametrize(
    "scene",
    [
        Scene(seconds=2, b_frames=2, color_range=ColorRange.FULL, matrix=ColorMatrix.BT601, noise_sigma=4),
        Scene(seconds=2, codec="hevc", b_frames=2),
        Scene(seconds=2, width=360, height=640, color_range=ColorRange.FULL, bitrate_bps=800_000),
        Scene(seconds=2, width=480, height=360, codec="hevc", matrix=ColorMatrix.BT601),
    ],
    ids=["h264-601-full-b", "hevc-b", "portrait-cbr", "hevc-4:3"],
)
def test_encoded_scenes_are_found_exactly(scene: Scene) -> None:
    """After a real encoder, noise and a resize, every target is there with IoU >= 0.8, and nothing else."""
    agreement = reference.run(scene, Reading.right(scene), range(scene.frames), reference.decoded(clip(scene).path))

    assert agreement.required > 60
    assert agreement.perfect >= 0.99, agreement.misses


def test_batch_is_dynamic_and_cells_are_those_of_a_yolov8() -> None:
    session = ort.InferenceSession(build_detector((640, 384)).SerializeToString(), providers=["CPUExecutionProvider"])
    image = np.full((3, 3, 384, 640), 0.3, np.float32)
    colors = list(CLASSES.values())
    image[1, :, 100:150, 200:280] = np.array(colors[2], np.float32)[:, None, None]

    (output,) = session.run(["output0"], {"images": image})

    assert output.shape == (3, 4 + len(CLASSES), 80 * 48 + 40 * 24 + 20 * 12)
    assert not output[0, 4:].any()
    assert not output[2, 4:].any()
    assert output[1, 4:].max(1).tolist() == pytest.approx([0, 0, 1, 0])
    assert output[1, :4, 2] == pytest.approx([240, 125, 80, 50], abs=0.05)


def test_classes_do_not_answer_for_each_other() -> None:
    """The linear maps: 1 on the diagonal, well under the ramp's foot elsewhere, 0 on grey."""
    weights, colors = class_maps()

    response = weights @ colors.T

    assert np.diag(response) == pytest.approx(np.ones(len(CLASS_NAMES)), abs=1e-5)
    assert (response - np.diag(np.diag(response))).max() < 0.2
    assert weights.sum(1) == pytest.approx(np.zeros(len(CLASS_NAMES)), abs=1e-5)


def test_padding_boxes_leave_room_for_rounding() -> None:
    assert padding_boxes((416, 256), (1920, 1080)) == [(0, 0, 416, 8), (0, 248, 416, 256)]
    assert padding_boxes((416, 256), (1440, 1080)) == [(0, 0, 34, 256), (382, 0, 416, 256)]
    assert padding_boxes((640, 360), (1920, 1080)) == []
