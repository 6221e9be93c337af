"""The slot header: the envelope of one task as bytes, the same over every carrier. Pure.

Little-endian, 256 bytes, version 1:

| offset | bytes | type | field |
|-------:|------:|------|-------|
|   0 |  4 | bytes  | magic `FGSL` |
|   4 |  2 | u16    | version |
|   6 |  2 | u16    | header bytes (256) |
|   8 |  8 | u64    | epoch |
|  16 |  4 | u32    | slot |
|  20 |  4 | u32    | generation |
|  24 |  2 | u16    | task flags (TaskFlag) |
|  26 |  2 | u16    | lane flags: bit 0 = a checksum is present |
|  28 |  4 | u32    | checksum: CRC-32 of the payload bytes in use, 0 if absent |
|  32 |  8 | u64    | task |
|  40 |  8 | i64    | arrival, monotonic ns |
|  48 |  8 | i64    | deadline, monotonic ns |
|  56 |  8 | i64    | published, monotonic ns |
|  64 |  8 | u64    | payload bytes in use |
|  72 | 48 | UTF-8  | camera, NUL-padded, 1..48 bytes |
| 120 | 32 | UTF-8  | model, NUL-padded, 0..32 bytes |
| 152 |  1 | u8     | priority |
| 153 |  1 | u8     | dtype (DTYPES) |
| 154 |  1 | u8     | ndim, 0..6 |
| 155 |  1 | u8     | codec (Codec); only RAW yet |
| 156 |  1 | u8     | pixel format |
| 157 |  1 | u8     | colour range |
| 158 |  1 | u8     | colour matrix |
| 159 |  1 | u8     | 0 |
| 160 | 24 | u32[6] | shape, unused places 0 |
| 184 |  8 | u32[2] | source w, h, px |
| 192 |  8 | u32[2] | input w, h, px |
| 200 | 16 | u32[4] | content x, y, w, h in the input, px |
| 216 | 40 |        | 0 |

The header says nothing about when it may be read: that is the doorbell's part (see shm_link.py).
"""

from __future__ import annotations

import functools
import struct
from enum import IntEnum, IntFlag
from typing import NamedTuple

from pipelines.errors import LaneError
from pipelines.values import CAMERA_ID_BYTES, ColorMatrix, ColorRange, Letterbox, PixelFormat, Priority, SlotHeader

Buffer = bytearray | memoryview

MAGIC = b"FGSL"
VERSION = 1
HEADER_BYTES = 256
MODEL_NAME_BYTES = 32
MAX_NDIM = 6
DTYPES = (
    ("uint8", 1),
    ("int8", 2),
    ("uint16", 3),
    ("int16", 4),
    ("int32", 5),
    ("int64", 6),
    ("float16", 7),
    ("float32", 8),
    ("float64", 9),
    ("bool", 10),
)
_CODE_OF_DTYPE = dict(DTYPES)
_DTYPE_OF_CODE = {code: name for name, code in DTYPES}
_HAS_CHECKSUM = 1
_START = struct.Struct("<4sHHQI")
_FRONT = f"<{_START.size}sIHHIQqqqQ"
_SHAPE = struct.Struct(f"<{MAX_NDIM}I")
_REST = struct.Struct(f"<48s32s7Bx{_SHAPE.size}s8I40x")
_HEADER = struct.Struct(_FRONT + _REST.format.removeprefix("<"))
_HALVES = struct.Struct(f"{_FRONT}{_REST.size}s")


class TaskFlag(IntFlag):
    """Bits of SlotHeader.flags. The lane carries them and looks at none."""

    AUDIT = 1
    """A sample of what a gate dropped."""


class Codec(IntEnum):
    """How the payload is packed. JPEG and H264 are reserved: a reader of this version refuses them."""

    RAW = 0
    JPEG = 1
    H264 = 2


class HeaderArea:
    """Where the header of one slot lies. Made once per attach: what no task changes is worked out here."""

    __slots__ = ("_buffer", "_capacity_bytes", "_offset", "_slot", "_start")

    def __init__(self, buffer: Buffer, offset: int, epoch: int, slot: int, capacity_bytes: int) -> None:
        """capacity_bytes: room for the slot's payload; a task that claims more is refused at both ends."""
        self._buffer, self._offset, self._slot, self._capacity_bytes = buffer, offset, slot, capacity_bytes
        self._start = _START.pack(MAGIC, VERSION, HEADER_BYTES, epoch, slot)

    def pack(self, generation: int, header: SlotHeader, published_ns: int = 0, checksum: int | None = None) -> None:
        """Write a task's header. About 1 us.

        Args:
            checksum: CRC-32 of the payload bytes in use, None if the lane makes none.

        Raises:
            LaneError: a field does not fit (a camera or model name too long, a number out of range).
        """
        if header.payload_bytes > self._capacity_bytes:
            raise LaneError(f"{header.payload_bytes} bytes do not fit a slot of {self._capacity_bytes}")
        fit = header.fit
        try:
            _HEADER.pack_into(
                self._buffer,
                self._offset,
                self._start,
                generation,
                header.flags,
                0 if checksum is None else _HAS_CHECKSUM,
                checksum or 0,
                header.task,
                header.arrival_ns,
                header.deadline_ns,
                published_ns,
                header.payload_bytes,
                _name(header.camera, "camera", 1, CAMERA_ID_BYTES),
                _name(header.model, "model", 0, MODEL_NAME_BYTES),
                header.priority,
                _CODE_OF_DTYPE[header.dtype],
                len(header.shape),
                Codec.RAW,
                header.pixel_format,
                header.color_range,
                header.color_matrix,
                _shape(header.shape),
                fit.source_w,
                fit.source_h,
                fit.input_w,
                fit.input_h,
                fit.content_x,
                fit.content_y,
                fit.content_w,
                fit.content_h,
            )
        except (struct.error, KeyError) as error:
            raise LaneError(
                f"the header of task {header.task} of camera {header.camera!r} does not fit: {error}"
            ) from error

    def unpack(self, generation: int) -> tuple[SlotHeader, int | None]:
        """Read the header of the use that was announced, and the checksum (None if there is none). About 1 us.

        Raises:
            LaneError: not such a header. Names what was found.
        """
        start, found, flags, lane_flags, checksum, task, arrival_ns, deadline_ns, _, payload_bytes, raw = (
            _HALVES.unpack_from(self._buffer, self._offset)
        )
        if start != self._start or found != generation:
            raise self._refusal(start, found, generation)
        if payload_bytes > self._capacity_bytes:
            raise LaneError(f"slot {self._slot}: {payload_bytes} bytes, where {self._capacity_bytes} have room")
        try:
            camera, model, priority, fit, color_range, color_matrix, pixel_format, dtype, shape = _unpack_rest(raw)
        except ValueError as error:
            raise LaneError(f"slot {self._slot}: the header has a value this side does not know: {error}") from error
        header = SlotHeader(
            task,
            camera,
            model,
            arrival_ns,
            deadline_ns,
            priority,
            fit,
            color_range,
            color_matrix,
            payload_bytes,
            pixel_format,
            dtype,
            shape,
            flags,
        )
        return header, checksum if lane_flags & _HAS_CHECKSUM else None

    def _refusal(self, start: bytes, found: int, generation: int) -> LaneError:
        magic, version, size, epoch, slot = _START.unpack(start)
        if (magic, size) != (MAGIC, HEADER_BYTES):
            return LaneError(f"slot {self._slot} holds no header: magic {magic!r}, {size} bytes")
        if version != VERSION:
            return LaneError(f"slot {self._slot} has header version {version}; this side reads version {VERSION}")
        return LaneError(
            f"slot {self._slot} holds epoch {epoch}, slot {slot}, generation {found}; announced were "
            f"epoch {_START.unpack(self._start)[3]}, generation {generation}"
        )


class _Rest(NamedTuple):
    """The part of a header that does not change from one picture of a camera to the next."""

    camera: str
    model: str
    priority: Priority
    fit: Letterbox
    color_range: ColorRange
    color_matrix: ColorMatrix
    pixel_format: PixelFormat
    dtype: str
    shape: tuple[int, ...]


@functools.lru_cache(maxsize=1024)
def _unpack_rest(raw: bytes) -> _Rest:
    """Kept for as many cameras, as reading it costs more than all else. Raises ValueError for what is not known."""
    camera, model, priority, dtype, ndim, codec, pixel_format, color_range, color_matrix, shape, *fit = _REST.unpack(
        raw
    )
    if ndim > MAX_NDIM or codec != Codec.RAW or dtype not in _DTYPE_OF_CODE:
        raise ValueError(f"{ndim} dimensions, codec {codec}, dtype {dtype}")
    return _Rest(
        camera=camera.rstrip(b"\0").decode(),
        model=model.rstrip(b"\0").decode(),
        priority=Priority(priority),
        fit=Letterbox(*fit),
        color_range=ColorRange(color_range),
        color_matrix=ColorMatrix(color_matrix),
        pixel_format=PixelFormat(pixel_format),
        dtype=_DTYPE_OF_CODE[dtype],
        shape=_SHAPE.unpack(shape)[:ndim],
    )


@functools.lru_cache(maxsize=1024)
def _name(text: str, what: str, least: int, most: int) -> bytes:
    raw = text.encode()
    if not least <= len(raw) <= most or b"\0" in raw:
        raise LaneError(f"a {what} name is {least}..{most} bytes of UTF-8 without NUL, not {text!r}")
    return raw


@functools.lru_cache(maxsize=1024)
def _shape(shape: tuple[int, ...]) -> bytes:
    """Raises struct.error for more dimensions than MAX_NDIM, or too large a one."""
    return _SHAPE.pack(*shape, *(0,) * (MAX_NDIM - len(shape)))
