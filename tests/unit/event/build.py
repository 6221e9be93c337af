"""Frame results and alerts for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipelines.values import (
    U8,
    Alert,
    AlertType,
    ColorMatrix,
    ColorRange,
    Detections,
    Frame,
    FrameResult,
    Timeline,
)

SECOND = 1_000_000_000
START_NS = 1000 * SECOND
WALL_MS = 1_750_000_000_000
NAMES = ("person", "car", "dog")

Found = tuple[str, float] | tuple[str, float, tuple[float, float, float, float]]


def frame(seconds: float, *found: Found, degraded: str | None = None) -> FrameResult:
    """A 1000 x 500 frame, `seconds` after the start: (class, score) or (class, score, xyxy)."""
    boxes = [f[2] if len(f) == 3 else (100.0, 100.0, 200.0, 300.0) for f in found]
    at_ns = round(seconds * SECOND)
    return FrameResult(
        camera="yard",
        task=round(seconds * 1000),
        sequence=round(seconds * 25),
        wall_ms=WALL_MS + round(seconds * 1000),
        source_wh=(1000, 500),
        detections=Detections(
            xyxy=np.array(boxes, np.float32).reshape(-1, 4),
            scores=np.array([f[1] for f in found], np.float32),
            classes=np.array([NAMES.index(f[0]) for f in found], np.int32),
        ),
        class_names=NAMES,
        model="toy",
        timeline=Timeline(arrival_ns=START_NS + at_ns, read_ns=START_NS + at_ns + 1_500_000),
        degraded=degraded,
    )


def now(seconds: float) -> int:
    """Monotonic ns, `seconds` after the start."""
    return START_NS + round(seconds * SECOND)


def kinds(alerts: Sequence[Alert]) -> list[AlertType]:
    return [alert.type for alert in alerts]


def alert(**changes: object) -> Alert:
    """A `new` alert with everything set."""
    made = Alert(
        event_id="01977420-dc00-7000-8000-000000000001",
        type=AlertType.NEW,
        camera_id="yard",
        time_ms=WALL_MS,
        started_ms=WALL_MS,
        boxes=((10.04, 20.06, 110.123, 220.0),),
        classes=("person",),
        scores=(0.912349,),
        source_wh=(1920, 1080),
        task_id="7",
        model="toy",
        timeline=Timeline(arrival_ns=START_NS, read_ns=START_NS + 1_500_000, answered_ns=START_NS + 40_123_456),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def flat_frame(
    yuv: tuple[int, int, int],
    wh: tuple[int, int],
    color_range: ColorRange,
    color_matrix: ColorMatrix,
    stride: int | None = None,
) -> Frame:
    """A picture of one colour; with a stride its luma rows lie that many bytes apart, with rubbish between."""
    width, height = wh
    half = (height + 1) // 2, (width + 1) // 2

    def plane(value: int, hw: tuple[int, int]) -> U8:
        rows = np.full((hw[0], stride or hw[1]), 255 - value, np.uint8)
        rows[:, : hw[1]] = value
        return rows[:, : hw[1]]

    return Frame(
        sequence=0,
        pts_ns=0,
        arrival_ns=START_NS,
        is_keyframe=True,
        y=plane(yuv[0], (height, width)),
        u=plane(yuv[1], half),
        v=plane(yuv[2], half),
        color_range=color_range,
        color_matrix=color_matrix,
    )
