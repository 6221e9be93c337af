"""Records for the sinks' tests, and the plainest encoder that tells them apart."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from pipelines.values import (
    Alert,
    AlertType,
    CameraHealth,
    CameraState,
    Detections,
    FrameResult,
    Timeline,
)


def alert(
    number: int = 0,
    camera: str = "door",
    type: AlertType = AlertType.NEW,
    classes: Sequence[str] = ("person",),
    event_id: str | None = None,
) -> Alert:
    """An alert whose `task_id` is its number, so that order and loss can be read off."""
    return Alert(
        event_id=event_id or f"{camera}-{number}",
        type=type,
        camera_id=camera,
        time_ms=1_700_000_000_000 + number,
        started_ms=1_700_000_000_000,
        boxes=tuple((10.0, 20.0, 30.0 + i, 40.0) for i in range(len(classes))),
        classes=tuple(classes),
        scores=tuple(0.9 for _ in classes),
        source_wh=(1920, 1080),
        task_id=str(number),
        model="fake",
    )


def result(number: int = 0, camera: str = "door") -> FrameResult:
    """A frame result with one person."""
    return FrameResult(
        camera=camera,
        task=number,
        sequence=number,
        wall_ms=1_700_000_000_000 + number,
        source_wh=(1920, 1080),
        detections=Detections(
            xyxy=np.array([[1.0, 2.0, 3.5, 4.0]], np.float32),
            scores=np.array([0.75], np.float32),
            classes=np.array([1], np.int32),
        ),
        class_names=("car", "person"),
        model="fake",
        timeline=Timeline(),
    )


def health(camera: str = "door", state: CameraState = CameraState.LIVE) -> CameraHealth:
    return CameraHealth(camera_id=camera, state=state, time_ms=1_700_000_000_000)


class PlainEncoder:
    """JSON with just enough in it; `padding` makes every alert that many bytes longer."""

    def __init__(self, padding: int = 0) -> None:
        self._padding = padding

    def alert(self, a: Alert) -> bytes:
        record = {"event_id": a.event_id, "type": a.type, "camera_id": a.camera_id, "task_id": a.task_id}
        return json.dumps(record | ({"padding": "x" * self._padding} if self._padding else {})).encode()

    def result(self, r: FrameResult) -> bytes:
        return json.dumps({"camera_id": r.camera, "task": r.task}).encode()

    def health(self, h: CameraHealth) -> bytes:
        return json.dumps({"camera_id": h.camera_id, "state": h.state}).encode()
