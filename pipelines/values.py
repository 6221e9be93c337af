"""The values that cross steps: frozen, slotted, without behaviour of their own.

Clock: every `*_ns` is `time.monotonic_ns()` of the host it was taken on, unless the name says `wall`.
Boxes: `xyxy`, float32, corners x0 y0 x1 y1, in pixels of the picture the docstring names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum
from typing import Any, TypeVar, dataclass_transform

import numpy as np
import numpy.typing as npt

from pipelines.outcome import FAILED_CODES as FAILED_CODES
from pipelines.outcome import AnswerCode as AnswerCode
from pipelines.outcome import Cause as Cause
from pipelines.outcome import Outcome as Outcome

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
Boxes = npt.NDArray[np.float32]
"""(n, 4) float32, xyxy."""

CAMERA_ID_BYTES = 48
"""A camera id is 1..48 bytes of UTF-8: it travels in the slot header."""

_Class = TypeVar("_Class")


@dataclass_transform(frozen_default=True)
def quick_value(*, eq: bool = True) -> Callable[[type[_Class]], type[_Class]]:
    """A frozen, slotted dataclass of which every task makes some. Frozen is what the type checker sees to.

    A class that is frozen at run time sets each field by a call: three times the cost of making one.
    """
    return dataclass(slots=True, eq=eq)


class Priority(IntEnum):
    """Class of a camera's tasks. Higher is served first; each class has reserved slots."""

    LOW = 0
    NORMAL = 1
    HIGH = 2


class Action(Enum):
    """What a packet gate wants done with a packet."""

    DECODE = "decode"
    """Awake. Without a decoder, one is brought up from what the gate has kept."""
    GLANCE = "glance"
    """Asleep, but decode this key frame alone: the heartbeat."""
    SLEEP = "sleep"
    """Asleep: not decoded, and kept."""


class PixelFormat(IntEnum):
    """Layout of a payload. NONE: the payload is a plain tensor of the header's dtype and shape."""

    NONE = 0
    I420 = 1
    """Planes Y (h, w), U (h/2, w/2), V (h/2, w/2), rows contiguous, uint8: h * w * 3 / 2 bytes."""


class ColorRange(IntEnum):
    UNSPECIFIED = 0
    LIMITED = 1
    FULL = 2


class ColorMatrix(IntEnum):
    UNSPECIFIED = 0
    BT601 = 1
    BT709 = 2


class CameraState(StrEnum):
    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"
    """Connected, but nothing usable arrives: silent, slow drip, or packets that never decode."""
    BACKOFF = "backoff"
    """Waiting before the next attempt."""
    ENDED = "ended"
    """A file source reached its end."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What the demuxer knows about an opened stream. Sizes are 0 until known."""

    codec: str
    """FFmpeg's name: h264, hevc, ..."""
    width_px: int
    height_px: int
    fps: float
    """Nominal frame rate, 0.0 if the stream does not say."""
    extradata: bytes = b""
    """Parameter sets as the demuxer has them: Annex B, avcC or hvcC."""


@quick_value(eq=False)
class Packet:
    """One demuxed video packet, not decoded. `sequence` numbers it in its camera's ledger.

    `handle` is the demuxer's own object or, where there is none, the bytes: most are never decoded, and an object of
    FFmpeg's costs a copy and the interpreter lock twice. Either supports the buffer protocol, and
    `memoryview(packet.handle)` is the payload without a copy; beyond that only the decoder of the same source knows it.
    """

    sequence: int
    size_bytes: int
    is_keyframe: bool
    pts_ns: int | None
    """Presentation time in the stream's own clock, unwrapped; None if the stream gives none."""
    arrival_ns: int
    """When it reached the machine: demuxer return minus the pump's own lag (DESIGN 7)."""
    handle: Any


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded picture as 8-bit 4:2:0 planes. The planes are views; they hold the decoder's buffer alive.

    y: (h, w) uint8; u, v: (ceil(h/2), ceil(w/2)) uint8. Rows may be strided; columns are contiguous.
    """

    sequence: int
    """Of the packet it came from, by identity (copy_opaque), never by position."""
    pts_ns: int | None
    arrival_ns: int
    is_keyframe: bool
    y: U8
    u: U8
    v: U8
    color_range: ColorRange
    color_matrix: ColorMatrix

    @property
    def wh(self) -> tuple[int, int]:
        """(width, height) in source pixels."""
        return self.y.shape[1], self.y.shape[0]


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A packet the decoder will never turn into a frame."""

    sequence: int
    cause: Cause


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a source picture sits in the network input; the inverse travels with the frame.

    Horizontal and vertical scale differ by a rounding to even sizes, so both are derived from these integers.
    """

    source_w: int
    source_h: int
    input_w: int
    input_h: int
    content_x: int
    content_y: int
    content_w: int
    content_h: int


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What one needs to know to feed a folded detector and read its answer. Travels in the ONNX metadata.

    The DPU learns it from the worker at attach; nothing else about the model reaches the DPU.
    """

    name: str
    family: str
    """yolox, yolov8, yolov5, nms_free_*: how the head was decoded when it was folded."""
    input_w: int
    input_h: int
    classes: tuple[str, ...]
    anchor: str = "center"
    """Where the letterbox puts the picture: "center" or "top_left"."""
    pad_rgb: tuple[int, int, int] = (114, 114, 114)
    channel_order: str = "rgb"
    """Order the original model wants: "rgb" or "bgr"."""
    scale: float = 1 / 255
    """network input = scale * RGB(0..255) + offset, per channel in channel_order."""
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Divides after scale and offset: network input = (scale * RGB + offset) / std."""
    top_k: int = 100
    """Rows of an answer, best first."""
    score_threshold: float = 0.25
    """Advice: the threshold the card's author recommends."""
    nms_iou: float = 0.5
    nms_free: bool = False
    sha256: str = ""
    """Of the original model file."""
    licence: str = ""
    tensor_bytes: int = 0
    """Not 0: the middle part of a split model. A payload is what crosses to it, so many bytes, and an answer's rows are
    what crosses back; `sha256` is that of its split.json."""

    @property
    def payload_bytes(self) -> int:
        """Bytes of one I420 network input, or of what crosses to the middle part."""
        return self.tensor_bytes or self.input_w * self.input_h * 3 // 2


@quick_value()
class SlotHeader:
    """The envelope of one task: all that the worker is told beside the payload. Byte table in transport/layout.py."""

    task: int
    camera: str
    model: str
    arrival_ns: int
    deadline_ns: int
    priority: Priority
    fit: Letterbox
    color_range: ColorRange
    color_matrix: ColorMatrix
    payload_bytes: int
    pixel_format: PixelFormat = PixelFormat.I420
    dtype: str = "uint8"
    shape: tuple[int, ...] = ()
    flags: int = 0


@quick_value(eq=False)
class Answer:
    """A worker's answer to one task. `rows` is a copy; it owns its memory.

    rows: (k, 6) float32: x0 y0 x1 y1 in network-input pixels, score, class; best first. Unused rows have score 0.
    """

    task: int
    code: AnswerCode
    rows: F32
    taken_ns: int = 0
    started_ns: int = 0
    finished_ns: int = 0
    payload: U8 | None = None
    """Of a task that the worker failed: a copy of its picture, made before the slot was free again."""
    lane: str = ""
    """Who answered, and by what way: WORKER/CARRIER; empty before transport/workers.py has seen it."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Boxes of one frame, structure of arrays, best first.

    xyxy: (n, 4) float32, source px. scores: (n,) float32. classes: (n,) int32, index into the model card's names.
    """

    xyxy: Boxes
    scores: F32
    classes: I32

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, slots=True)
class Timeline:
    """When one task passed each stage, monotonic ns; 0 = did not pass there. Fields stand in order of time."""

    arrival_ns: int = 0
    read_ns: int = 0
    """The demuxer returned the packet."""
    decoded_ns: int = 0
    gated_ns: int = 0
    """All gates said go on."""
    published_ns: int = 0
    taken_ns: int = 0
    started_ns: int = 0
    finished_ns: int = 0
    answered_ns: int = 0
    """The answer was read on the DPU."""


@dataclass(frozen=True, slots=True)
class AuditTag:
    """A frame that a gate dropped and that is looked at anyway."""

    sequence: int
    """Its number in the audit's ledger."""
    gate: Outcome
    """Who dropped it: asleep, still or empty; that is its outcome in the camera's ledger."""


@dataclass(frozen=True, slots=True, eq=False)
class TaskContext:
    """What the DPU remembers of a task while the worker has it.

    Bound: one per slot, and those that presence answers on their way to the event loop. `frame` is kept only where a
    snapshot may be wanted, so at most so many pictures live.
    """

    task: int
    camera: str
    sequence: int
    fit: Letterbox
    timeline: Timeline
    time_ns: int
    """Scene time (gate/sceneclock.py): the clock's for a live camera, media time for a file read fast."""
    wall_ms: int
    """Wall clock of the arrival, milliseconds since the epoch: for payloads only."""
    presence: float = 1.0
    frame: Frame | None = None
    audit: AuditTag | None = None
    """Set: the task is the audit's, and `sequence` has its outcome already."""
    against: Outcome | None = None
    """Set: only the heartbeat let it pass; the gate that would have dropped it."""
    present: bool | None = None
    """What the presence model says at this camera's threshold; None: it was not asked."""
    header: SlotHeader | None = None
    """As it was published; None: it was not."""
    payload: U8 | None = None
    """View of the slot it was published in; nothing else is written there before an answer of the lane's."""
    to_worker: bool = True
    """False: published for the DPU's own detector."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """One frame's detections in source pixels, ready for episodes and sinks."""

    camera: str
    task: int
    sequence: int
    wall_ms: int
    source_wh: tuple[int, int]
    detections: Detections
    class_names: tuple[str, ...]
    """The model's class names; `detections.classes` indexes them."""
    model: str
    timeline: Timeline
    score_threshold: float = 0.5
    """What the model's card recommends."""
    time_ns: int = 0
    """Scene time (see TaskContext); 0: that of the timeline's arrival."""
    degraded: str | None = None
    """None: a worker answered; "detector", "presence": the DPU's own did."""
    present: bool = True
    """Where presence alone answered: it sees somebody."""
    source: str = "gate"
    """"gate", or "audit" when the audit found it."""
    frame: Frame | None = None
    lane: str = ""
    """Which worker answered, and by what way: WORKER/CARRIER; empty: none did."""


class AlertType(StrEnum):
    NEW = "new"
    UPDATE = "update"
    END = "end"


@dataclass(frozen=True, slots=True)
class Alert:
    """One record of an episode; `new`, `update` and `end` share `event_id`.

    boxes: xyxy in source pixels, one per class and score. The wire form is event/payload.py.
    """

    event_id: str
    type: AlertType
    camera_id: str
    time_ms: int
    """Wall clock of the frame's arrival."""
    started_ms: int
    boxes: tuple[tuple[float, float, float, float], ...]
    classes: tuple[str, ...]
    scores: tuple[float, ...]
    source_wh: tuple[int, int]
    task_id: str
    model: str
    timeline: Timeline = field(default_factory=Timeline)
    degraded: str | None = None
    source: str = "gate"
    snapshot: str | None = None
    """Path of a JPEG file, or its base64 text as a data URI when inline (see SnapshotOptions)."""
    reason: str = ""
    """Why an `end` came: "gone", or what the tracker was told when it was closed. Empty for `new` and `update`."""


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """A change of a camera's state, or of what its picture is worth."""

    camera_id: str
    state: CameraState
    time_ms: int
    reason: str = ""
    """For people; URLs redacted."""
    picture: Cause | None = None
    """black, white, frozen, covered; None when the picture is sound."""
