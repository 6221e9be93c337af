"""Recognising heads from the shapes of public models."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.errors import ModelError
from pipelines.model.recognise import recognise, settle_unit

CASES: dict[str, tuple[dict[str, tuple[int, ...]], tuple[int, int], int]] = {
    "yolox": ({"output": (1, 3549, 85)}, (416, 416), 80),
    "yolox one class": ({"output": (1, 8400, 6)}, (640, 640), 1),
    "yolov8": ({"output0": (1, 84, 8400)}, (640, 640), 80),
    "yolov8 two strides": ({"output0": (1, 6, 2080)}, (416, 256), 2),
    "yolov8 more classes than cells": ({"output0": (1, 604, 525)}, (160, 160), 600),
    "yolov5": ({"output0": (1, 25200, 85)}, (640, 640), 80),
    "yolov5 side outputs": ({"output": (1, 25200, 85), "345": (1, 3, 80, 80, 85)}, (640, 640), 80),
    "nms_free_xyxy": ({"output0": (1, 300, 6)}, (640, 640), 0),
    "nms_free_cxcywh": ({"output0": (1, 300, 84)}, (640, 640), 80),
    "nms_free_logits": ({"dets": (1, 300, 4), "labels": (1, 300, 91)}, (560, 560), 91),
    "nms_free_logits hf": ({"logits": (1, 300, 80), "pred_boxes": (1, 300, 4)}, (640, 640), 80),
    "nms_free_sized": ({"labels": (1, 300), "boxes": (1, 300, 4), "scores": (1, 300)}, (640, 640), 0),
}


@pytest.mark.parametrize("case", CASES)
def test_public_heads(case: str) -> None:
    shapes, wh, classes = CASES[case]

    head = recognise(shapes, wh)

    assert head.name == case.split()[0]
    assert head.classes == classes


def test_a_person_may_say_what_shapes_cannot() -> None:
    assert recognise({"output": (1, 3549, 85)}, (416, 416), "yolox_decoded").name == "yolox_decoded"
    assert recognise({"output": (1, 300, 6)}, (640, 640), "nms_free_cxcywh").classes == 2


def test_centres_in_0_to_1_are_told_from_corners_in_px() -> None:
    head = recognise({"output": (1, 300, 6)}, (640, 640))
    unit = np.full((300, 4), 0.5, np.float32)

    assert settle_unit(head, unit).name == "nms_free_ranked"
    assert settle_unit(head, unit, "nms_free_xyxy").name == "nms_free_xyxy"
    assert settle_unit(head, unit * 4).name == "nms_free_xyxy"
    assert settle_unit(head, unit * 0).name == "nms_free_xyxy"


@pytest.mark.parametrize(
    ("shapes", "family"),
    [
        ({"prob": (1, 1000)}, None),
        ({"output": (1, 5000, 4)}, None),
        ({"output": (1, 84, 8400)}, "yolox"),
        ({"output": (1, 84, 8400)}, "yolov5"),
        ({"output": (1, 300, 84)}, "nms_free_xyxy"),
        ({"dets": (1, 300, 4), "labels": (1, 300, 91)}, "yolov8"),
        ({"masks": (1, 32, 160, 160)}, None),
    ],
)
def test_what_does_not_fit_is_refused_with_its_shapes(shapes: dict[str, tuple[int, ...]], family: str | None) -> None:
    with pytest.raises(ModelError, match=str(next(iter(shapes)))):
        recognise(shapes, (640, 640), family)
