from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AlertType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALERT_TYPE_UNSPECIFIED: _ClassVar[AlertType]
    ALERT_TYPE_NEW: _ClassVar[AlertType]
    ALERT_TYPE_UPDATE: _ClassVar[AlertType]
    ALERT_TYPE_END: _ClassVar[AlertType]
ALERT_TYPE_UNSPECIFIED: AlertType
ALERT_TYPE_NEW: AlertType
ALERT_TYPE_UPDATE: AlertType
ALERT_TYPE_END: AlertType

class SubscribeRequest(_message.Message):
    __slots__ = ("cameras", "classes", "since_ms")
    CAMERAS_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    cameras: _containers.RepeatedScalarFieldContainer[str]
    classes: _containers.RepeatedScalarFieldContainer[str]
    since_ms: int
    def __init__(self, cameras: _Optional[_Iterable[str]] = ..., classes: _Optional[_Iterable[str]] = ..., since_ms: _Optional[int] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("x0", "y0", "x1", "y1")
    X0_FIELD_NUMBER: _ClassVar[int]
    Y0_FIELD_NUMBER: _ClassVar[int]
    X1_FIELD_NUMBER: _ClassVar[int]
    Y1_FIELD_NUMBER: _ClassVar[int]
    x0: float
    y0: float
    x1: float
    y1: float
    def __init__(self, x0: _Optional[float] = ..., y0: _Optional[float] = ..., x1: _Optional[float] = ..., y1: _Optional[float] = ...) -> None: ...

class Detection(_message.Message):
    __slots__ = ("box", "class_name", "score")
    BOX_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    box: Box
    class_name: str
    score: float
    def __init__(self, box: _Optional[_Union[Box, _Mapping[str, object]]] = ..., class_name: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class Timeline(_message.Message):
    __slots__ = ("read_ms", "decoded_ms", "gated_ms", "published_ms", "taken_ms", "started_ms", "finished_ms", "answered_ms")
    READ_MS_FIELD_NUMBER: _ClassVar[int]
    DECODED_MS_FIELD_NUMBER: _ClassVar[int]
    GATED_MS_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_MS_FIELD_NUMBER: _ClassVar[int]
    TAKEN_MS_FIELD_NUMBER: _ClassVar[int]
    STARTED_MS_FIELD_NUMBER: _ClassVar[int]
    FINISHED_MS_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_MS_FIELD_NUMBER: _ClassVar[int]
    read_ms: float
    decoded_ms: float
    gated_ms: float
    published_ms: float
    taken_ms: float
    started_ms: float
    finished_ms: float
    answered_ms: float
    def __init__(self, read_ms: _Optional[float] = ..., decoded_ms: _Optional[float] = ..., gated_ms: _Optional[float] = ..., published_ms: _Optional[float] = ..., taken_ms: _Optional[float] = ..., started_ms: _Optional[float] = ..., finished_ms: _Optional[float] = ..., answered_ms: _Optional[float] = ...) -> None: ...

class Alert(_message.Message):
    __slots__ = ("event_id", "type", "camera_id", "time_ms", "started_ms", "detections", "source_width_px", "source_height_px", "task_id", "model", "degraded", "source", "timeline", "reason", "snapshot_path", "snapshot_jpeg")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    STARTED_MS_FIELD_NUMBER: _ClassVar[int]
    DETECTIONS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    SOURCE_HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_PATH_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_JPEG_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    type: AlertType
    camera_id: str
    time_ms: int
    started_ms: int
    detections: _containers.RepeatedCompositeFieldContainer[Detection]
    source_width_px: int
    source_height_px: int
    task_id: str
    model: str
    degraded: str
    source: str
    timeline: Timeline
    reason: str
    snapshot_path: str
    snapshot_jpeg: bytes
    def __init__(self, event_id: _Optional[str] = ..., type: _Optional[_Union[AlertType, str]] = ..., camera_id: _Optional[str] = ..., time_ms: _Optional[int] = ..., started_ms: _Optional[int] = ..., detections: _Optional[_Iterable[_Union[Detection, _Mapping[str, object]]]] = ..., source_width_px: _Optional[int] = ..., source_height_px: _Optional[int] = ..., task_id: _Optional[str] = ..., model: _Optional[str] = ..., degraded: _Optional[str] = ..., source: _Optional[str] = ..., timeline: _Optional[_Union[Timeline, _Mapping[str, object]]] = ..., reason: _Optional[str] = ..., snapshot_path: _Optional[str] = ..., snapshot_jpeg: _Optional[bytes] = ...) -> None: ...

class FrameDetections(_message.Message):
    __slots__ = ("camera_id", "time_ms", "frame", "detections", "source_width_px", "source_height_px", "task_id", "model", "degraded", "source", "timeline", "lane")
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    DETECTIONS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    SOURCE_HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    camera_id: str
    time_ms: int
    frame: int
    detections: _containers.RepeatedCompositeFieldContainer[Detection]
    source_width_px: int
    source_height_px: int
    task_id: str
    model: str
    degraded: str
    source: str
    timeline: Timeline
    lane: str
    def __init__(self, camera_id: _Optional[str] = ..., time_ms: _Optional[int] = ..., frame: _Optional[int] = ..., detections: _Optional[_Iterable[_Union[Detection, _Mapping[str, object]]]] = ..., source_width_px: _Optional[int] = ..., source_height_px: _Optional[int] = ..., task_id: _Optional[str] = ..., model: _Optional[str] = ..., degraded: _Optional[str] = ..., source: _Optional[str] = ..., timeline: _Optional[_Union[Timeline, _Mapping[str, object]]] = ..., lane: _Optional[str] = ...) -> None: ...

class CameraHealth(_message.Message):
    __slots__ = ("camera_id", "time_ms", "state", "picture", "reason")
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    camera_id: str
    time_ms: int
    state: str
    picture: str
    reason: str
    def __init__(self, camera_id: _Optional[str] = ..., time_ms: _Optional[int] = ..., state: _Optional[str] = ..., picture: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
