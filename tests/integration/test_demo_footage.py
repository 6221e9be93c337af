"""The shipped models see the demo's footage: otherwise the demo would show an empty table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import onnxruntime as ort
import pytest

import pipelines.model
from pipelines.values import U8
from scripts.footage.film import Film, make
from tests.fakes.scene_match import iou

SHIPPED = Path(pipelines.model.__file__).parent / "shipped"
CLASSES = ("person", "vehicle")
SCORE = 0.6
PRESENCE = 0.4


def session(name: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(SHIPPED / name, options, providers=["CPUExecutionProvider"])


def detect(model: ort.InferenceSession, rgb: U8) -> Iterator[tuple[str, tuple[float, ...]]]:
    """(class, xyxy in source px) above SCORE, without suppression. 960x540 into 416x256: scale 0.4333, 11 px above."""
    image = np.full((256, 416, 3), 114, np.uint8)
    image[11:245] = cv2.resize(rgb, (416, 234))
    (output,) = model.run(None, {"images": image.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)})
    for column in output[0].T[output[0, 4:].max(0) >= SCORE]:
        cx, cy, w, h = column[:4] - (0, 11, 0, 0)
        xyxy = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]) * (960 / 416)
        yield CLASSES[int(column[4:].argmax())], tuple(xyxy.tolist())


def luma(frame: av.VideoFrame) -> U8:
    plane = frame.planes[0]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


@pytest.mark.parametrize("variant", range(4))
def test_the_shipped_models_see_who_crosses_and_nothing_else(tmp_path: Path, variant: int) -> None:
    path = make(tmp_path / "clip.mp4", Film(variant=variant, fps=3))
    truth: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    detector, presence = session("detector.onnx"), session("presence.onnx")
    targets = found = occupied = passed = empty = false_boxes = false_passes = 0
    background: U8 | None = None

    with av.open(str(path)) as container:
        for frame, boxes in zip(container.decode(video=0), truth["frames"], strict=True):
            thumbnail = cv2.resize(luma(frame), (160, 96))
            background = thumbnail if background is None else background
            (probability,) = presence.run(None, {"thumbs": np.stack([thumbnail, background])[None]})[0].ravel()
            seen = list(detect(detector, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)))
            wanted = [box for box in boxes if box["visible"] >= 0.5]
            targets += len(wanted)
            found += sum(any(kind == box["class"] and iou(box["xyxy"], b) >= 0.5 for kind, b in seen) for box in wanted)
            occupied += bool(wanted)
            passed += bool(wanted and probability >= PRESENCE)
            empty += not boxes
            false_boxes += len(seen) if not boxes else 0
            false_passes += not boxes and probability >= PRESENCE

    assert targets >= 15
    assert empty >= 25
    assert found / targets >= 0.85
    assert passed / occupied >= 0.95
    assert (false_boxes, false_passes) == (0, 0)
