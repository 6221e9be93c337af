"""The records of payload.py as Protobuf (configs/schema/framegate.proto), typed and small."""

from __future__ import annotations

import base64

from pipelines.event.payload import DATA_URI, timeline_ms
from pipelines.event.sighting import class_names
from pipelines.schema import framegate_pb2 as pb
from pipelines.values import Alert, AlertType, CameraHealth, FrameResult, Timeline

_TYPES = {
    AlertType.NEW: pb.ALERT_TYPE_NEW,
    AlertType.UPDATE: pb.ALERT_TYPE_UPDATE,
    AlertType.END: pb.ALERT_TYPE_END,
}


class ProtobufEncoder:
    """Records as serialised messages `Alert`, `FrameDetections`, `CameraHealth`. Stateless; any thread."""

    content_type = "application/x-protobuf"

    def alert(self, alert: Alert) -> bytes:
        message = pb.Alert(
            event_id=alert.event_id,
            type=_TYPES[alert.type],
            camera_id=alert.camera_id,
            time_ms=alert.time_ms,
            started_ms=alert.started_ms,
            detections=map(_detection, alert.boxes, alert.classes, alert.scores),
            source_width_px=alert.source_wh[0],
            source_height_px=alert.source_wh[1],
            task_id=alert.task_id,
            model=alert.model,
            degraded=alert.degraded or "",
            source=alert.source,
            timeline=_timeline(alert.timeline),
            reason=alert.reason,
        )
        if alert.snapshot is not None and alert.snapshot.startswith(DATA_URI):
            message.snapshot_jpeg = base64.b64decode(alert.snapshot.removeprefix(DATA_URI))
        elif alert.snapshot is not None:
            message.snapshot_path = alert.snapshot
        return message.SerializeToString()

    def result(self, result: FrameResult) -> bytes:
        found = result.detections
        return pb.FrameDetections(
            camera_id=result.camera,
            time_ms=result.wall_ms,
            frame=result.sequence,
            detections=map(_detection, found.xyxy.tolist(), class_names(result), found.scores.tolist()),
            source_width_px=result.source_wh[0],
            source_height_px=result.source_wh[1],
            task_id=str(result.task),
            model=result.model,
            degraded=result.degraded or "",
            source=result.source,
            timeline=_timeline(result.timeline),
            lane=result.lane,
        ).SerializeToString()

    def health(self, health: CameraHealth) -> bytes:
        return pb.CameraHealth(
            camera_id=health.camera_id,
            time_ms=health.time_ms,
            state=health.state.value,
            picture=health.picture.value if health.picture else "",
            reason=health.reason,
        ).SerializeToString()


def _detection(box: tuple[float, float, float, float] | list[float], name: str, score: float) -> pb.Detection:
    x0, y0, x1, y1 = (round(c, 1) for c in box)
    return pb.Detection(box=pb.Box(x0=x0, y0=y0, x1=x1, y1=y1), class_name=name, score=round(score, 4))


def _timeline(timeline: Timeline) -> pb.Timeline:
    return pb.Timeline(**{f"{stage}_ms": at_ms for stage, at_ms in timeline_ms(timeline).items()})
