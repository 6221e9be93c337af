"""What leaves the system, as JSON: alerts, one frame's detections, a camera's health. Schemas: configs/schema/.

Every record names its schema and version in `schema`. Within a version fields may be added, never changed or removed:
consumers ignore what they do not know. Boxes are rounded to 0.1 px, scores to 1e-4, times to 1 us.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from pipelines.event.sighting import class_names
from pipelines.values import Alert, AlertType, CameraHealth, FrameResult, Timeline

ALERT_SCHEMA = "framegate.alert/1"
DETECTIONS_SCHEMA = "framegate.detections/1"
HEALTH_SCHEMA = "framegate.health/1"

DATA_URI = "data:image/jpeg;base64,"
"""How an inline snapshot begins; anything else is a path."""

STAGES = ("read", "decoded", "gated", "published", "taken", "started", "finished", "answered")
"""Fields of `Timeline` after the arrival, without their unit."""


class JsonEncoder:
    """Records as compact UTF-8 JSON without a newline. Stateless; any thread. 10-20 us a record."""

    content_type = "application/json"

    def alert(self, alert: Alert) -> bytes:
        return _dump(alert_record(alert))

    def result(self, result: FrameResult) -> bytes:
        return _dump(detections_record(result))

    def health(self, health: CameraHealth) -> bytes:
        return _dump(health_record(health))


def alert_record(alert: Alert) -> dict[str, Any]:
    """An alert as plain JSON values. `reason` stands in `end` only, `snapshot` where one was taken."""
    record: dict[str, Any] = {
        "schema": ALERT_SCHEMA,
        "event_id": alert.event_id,
        "type": alert.type.value,
        "camera_id": alert.camera_id,
        "time": alert.time_ms,
        "started": alert.started_ms,
        "boxes": [[round(c, 1) for c in box] for box in alert.boxes],
        "classes": list(alert.classes),
        "scores": [round(score, 4) for score in alert.scores],
        "source_size": list(alert.source_wh),
        "task_id": alert.task_id,
        "model": alert.model,
        "degraded": alert.degraded,
        "source": alert.source,
        "timeline_ms": timeline_ms(alert.timeline),
    }
    if alert.type is AlertType.END:
        record["reason"] = alert.reason
    if alert.snapshot is not None:
        record["snapshot"] = alert.snapshot
    return record


def detections_record(result: FrameResult) -> dict[str, Any]:
    """One frame's detections as plain JSON values."""
    found = result.detections
    return {
        "schema": DETECTIONS_SCHEMA,
        "camera_id": result.camera,
        "time": result.wall_ms,
        "frame": result.sequence,
        "boxes": np.round(found.xyxy.astype(np.float64), 1).tolist(),
        "classes": class_names(result),
        "scores": np.round(found.scores.astype(np.float64), 4).tolist(),
        "source_size": list(result.source_wh),
        "task_id": str(result.task),
        "model": result.model,
        "degraded": result.degraded,
        "source": result.source,
        "lane": result.lane,
        "timeline_ms": timeline_ms(result.timeline),
    }


def health_record(health: CameraHealth) -> dict[str, Any]:
    """A camera's state as plain JSON values."""
    return {
        "schema": HEALTH_SCHEMA,
        "camera_id": health.camera_id,
        "time": health.time_ms,
        "state": health.state.value,
        "picture": health.picture.value if health.picture else None,
        "reason": health.reason,
    }


def timeline_ms(timeline: Timeline) -> dict[str, float]:
    """Milliseconds from the frame's arrival to each stage it passed; empty if it has no arrival."""
    if not timeline.arrival_ns:
        return {}
    passed = ((stage, getattr(timeline, stage + "_ns")) for stage in STAGES)
    return {stage: round((at_ns - timeline.arrival_ns) / 1e6, 3) for stage, at_ns in passed if at_ns}


def _dump(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
