"""DeepStream's minimal message schema, for consumers that read it already.

`{"version": "4.0", "id", "@timestamp", "sensorId", "objects": ["id|left|top|right|bottom|label|#|...|confidence"]}`;
after the `#` stand the attributes DeepStream knows for the object (six for a vehicle, five for a person, all empty
here), then the confidence. Source: nvmsgconv, payload type "minimal", in NVIDIA's DeepStream SDK documentation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime

from pipelines.sink.encoding import Encoder
from pipelines.values import Alert, CameraHealth, FrameResult

_UNTRACKED = 2**64 - 1
"""DeepStream's id of an object that no tracker follows."""

Box = tuple[float, float, float, float]


class DeepStreamEncoder:
    """Alerts and results in DeepStream's schema. It has no word for camera health: that stays as `own` encodes it."""

    def __init__(self, own: Encoder) -> None:
        self._own = own

    def alert(self, alert: Alert, /) -> bytes:
        objects = (
            _object(name, box, score) for name, box, score in zip(alert.classes, alert.boxes, alert.scores, strict=True)
        )
        return _message(alert.task_id, alert.time_ms, alert.camera_id, objects)

    def result(self, result: FrameResult, /) -> bytes:
        found = result.detections
        objects = (
            _object(result.class_names[index], (x0, y0, x1, y1), score)
            for index, (x0, y0, x1, y1), score in zip(
                found.classes.tolist(), found.xyxy.tolist(), found.scores.tolist(), strict=True
            )
        )
        return _message(str(result.task), result.wall_ms, result.camera, objects)

    def health(self, health: CameraHealth, /) -> bytes:
        return self._own.health(health)


def _message(frame_id: str, time_ms: int, camera_id: str, objects: Iterable[str]) -> bytes:
    moment = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    message = {
        "version": "4.0",
        "id": frame_id,
        "@timestamp": moment.replace("+00:00", "Z"),
        "sensorId": camera_id,
        "objects": list(objects),
    }
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def _object(name: str, box: Box, score: float) -> str:
    """box: xyxy in source px. A `|` in a class name would split the field: it becomes `_`."""
    label = name.replace("|", "_")
    empty = "|" * (5 if name.lower() == "person" else 6)
    corners = "|".join(f"{corner:g}" for corner in (round(c, 1) for c in box))
    return f"{_UNTRACKED}|{corners}|{label}|#{empty}|{score:.4g}"
