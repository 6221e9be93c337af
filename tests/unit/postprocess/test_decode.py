"""From an answer's rows to detections in source pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.postprocess.decode import detect
from pipelines.postprocess.restore import to_source
from pipelines.preprocess.letterbox import fit
from pipelines.values import ModelCard

CARD = ModelCard("m", "yolov8", 416, 256, ("person", "vehicle"), nms_iou=0.5)
FIT = fit((1920, 1080), (416, 256))


def test_boxes_come_back_in_source_pixels() -> None:
    rows = np.zeros((100, 6), np.float32)
    rows[0] = [0, 10, 416, 244, 0.9, 1]
    rows[1] = [208, 127, 312, 244, 0.6, 0]

    found = detect(rows, FIT, CARD, 0.5)

    assert found.xyxy.tolist() == [[0, 0, 1920, 1080], [960, 540, 1440, 1080]]
    assert found.scores.tolist() == pytest.approx([0.9, 0.6])
    assert found.classes.tolist() == [1, 0]
    assert [str(a.dtype) for a in (found.xyxy, found.scores, found.classes)] == ["float32", "float32", "int32"]


def test_no_rows_no_detections() -> None:
    for rows in (np.zeros((0, 6), np.float32), np.zeros((100, 6), np.float32)):
        found = detect(rows, FIT, CARD, 0.0)

        assert len(found) == 0
        assert found.xyxy.shape == (0, 4)


def test_boxes_are_clipped_and_those_in_the_padding_vanish() -> None:
    rows = np.array([[-5, -5, 20, 20, 0.9, 0], [50, 0, 100, 9, 0.8, 0], [30, 30, 20, 20, 0.7, 0]], np.float32)

    found = detect(rows, FIT, CARD, 0.1)

    assert found.xyxy.shape == (1, 4)
    assert found.xyxy[0, :2].tolist() == [0, 0]


def test_an_nms_free_model_is_taken_at_its_word() -> None:
    rows = np.array([[10, 20, 50, 60, 0.9, 0], [10, 20, 50, 60, 0.8, 0]], np.float32)

    assert len(detect(rows, FIT, CARD, 0.1)) == 1
    assert len(detect(rows, FIT, replace(CARD, nms_free=True), 0.1)) == 2


def test_only_wanted_classes_are_detected() -> None:
    rows = np.array([[10, 20, 50, 60, 0.9, 0], [10, 20, 50, 60, 0.8, 1]], np.float32)

    assert detect(rows, FIT, CARD, 0.1, wanted={1}).classes.tolist() == [1]


def test_restoring_nothing_gives_nothing() -> None:
    assert to_source(np.zeros((0, 4), np.float32), FIT).shape == (0, 4)


def test_each_axis_has_its_own_scale() -> None:
    """1000x300 into 416x256: 124.8 rows become 124, so the vertical scale is another one."""
    box = fit((1000, 300), (416, 256))

    restored = to_source(np.array([[0, box.content_y, 416, box.content_y + box.content_h]], np.float32), box)

    assert box.content_h == 124
    assert restored.tolist() == [[0, 0, 1000, 300]]
