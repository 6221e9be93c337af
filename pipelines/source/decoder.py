"""Packets to pictures, with FFmpeg's decoders, matched by identity.

`copy_opaque` makes FFmpeg hand each packet's `opaque` on to the frame made from it; position says nothing, as with
B-frames the output belongs to an earlier packet. What stays inside is bounded: see `_overtaken`.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

import av
from av.codec.context import Flags, ThreadType
from pydantic import BaseModel, Field

from pipelines.errors import SourceError
from pipelines.source.clock import to_ns
from pipelines.source.nal import only_parameter_sets
from pipelines.source.planes import color_tags, planes
from pipelines.values import Cause, ColorMatrix, ColorRange, Frame, Packet, Undecodable

MAX_DELAY = 17
"""Packets that may be inside: 16 pictures of reordering (H.264 A.3.1, H.265 A.4.1) and the current one."""
_JUMP_NS = 1_000_000_000


class DecoderOptions(BaseModel, frozen=True, extra="forbid"):
    """What to believe of a stream's pictures."""

    color_range: ColorRange = Field(
        default=ColorRange.UNSPECIFIED,
        description="0: as the stream says; 1: limited; 2: full. For cameras that tag their range wrongly.",
    )
    color_matrix: ColorMatrix = Field(
        default=ColorMatrix.UNSPECIFIED,
        description="0: as the stream says; 1: BT.601; 2: BT.709. For cameras that tag their matrix wrongly.",
    )
    deblock: Literal["all", "key", "none"] = Field(
        default="all",
        description="H.264, H.265: which pictures are smoothed at block edges. Only key frames saves a fifth of the "
        "decoder's time, but what is left out adds up until the next one: not for groups of more than some seconds.",
    )


@dataclass(frozen=True, slots=True)
class DecoderStatistics:
    """Counters of one decoder since it was made."""

    packets: int
    frames: int
    converted: int
    """Frames that were not 8-bit 4:2:0 and cost a conversion: 10-bit, 4:2:2, 4:4:4, grey, NV12."""
    undecodable: int


_SKIPPED_FILTER = {"all": "default", "key": "nokey", "none": "all"}
"""FFmpeg's words for what is left out."""


class _Tag:
    """Identity of one packet. A fresh object each: PyAV keeps opaques by address, an interned int would be shared."""

    __slots__ = ("sequence",)

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence


class AvDecoder:
    """One camera's decoder, one thread. Decodes in the calling thread, without the GIL.

    A change of resolution or pixel format inside the stream needs no care: each frame brings its own size.
    """

    def __init__(self, like: av.VideoCodecContext, options: DecoderOptions | None = None) -> None:
        """like: the demuxer's context of the stream, which is left alone; it says codec, parameter sets and size."""
        self._options = options or DecoderOptions()
        self._name = like.name
        self._extradata = like.extradata
        self._codec: av.VideoCodecContext | None = _open(like, self._options.deblock)
        self._inside: dict[int, Packet] = {}
        """Given and not come back, in the order given. Bound: MAX_DELAY."""
        self._sound = False
        """A whole key frame was decoded: from here on damage is concealed, before it nothing can be right."""
        self._interlaced: deque[int] = deque(maxlen=MAX_DELAY)
        """Packets that came out as interlaced pictures: the one after each may hold its second field."""
        self._packets = self._frames = self._converted = self._undecodable = 0

    def decode(self, packet: Packet) -> list[Frame | Undecodable]:
        """Give one packet. Returns what came out, in presentation order, and what never will."""
        self._packets += 1
        self._inside[packet.sequence] = packet
        try:
            pictures = self._context().decode(_tagged(packet))
        except av.FFmpegError:
            return [self._give_up(packet, Cause.CORRUPT), *self._overtaken(None)]
        out = self._collect(pictures)
        if not pictures and packet.sequence in self._inside and self._only_parameter_sets(packet):
            out.append(self._give_up(packet, Cause.PARAMETER_SETS))
        return out

    def flush(self) -> list[Frame | Undecodable]:
        """All that is still inside, as frames where possible. The decoder may be used on afterwards."""
        out: list[Frame | Undecodable] = []
        if self._inside:
            codec = self._context()
            with contextlib.suppress(av.FFmpegError):  # what does not come out now is flushed below
                out = self._collect(codec.decode(None))
            codec.flush_buffers()
        return [*out, *(self._give_up(packet, Cause.FLUSHED) for packet in list(self._inside.values()))]

    def close(self) -> None:
        """Free the decoder. Frames it gave stay valid. Packets still inside do not come back: flush first."""
        self._codec = None
        self._inside.clear()

    def statistics(self) -> DecoderStatistics:
        return DecoderStatistics(self._packets, self._frames, self._converted, self._undecodable)

    def _context(self) -> av.VideoCodecContext:
        if self._codec is None:
            raise SourceError("the decoder is closed")
        return self._codec

    def _collect(self, pictures: Iterable[av.VideoFrame]) -> list[Frame | Undecodable]:
        out: list[Frame | Undecodable] = []
        newest_ns: int | None = None
        for picture in pictures:
            tag = picture.opaque
            sequence = tag.sequence if isinstance(tag, _Tag) else picture.pts
            packet = None if sequence is None else self._inside.get(sequence)
            if packet is None:
                continue  # a second picture of one packet, or one already given up: it has had its outcome
            if picture.interlaced_frame:
                self._interlaced.append(packet.sequence)
            shown_ns = _shown(packet)
            newest_ns = shown_ns if newest_ns is None else max(newest_ns, shown_ns or newest_ns)
            out.append(self._frame(picture, packet))
        return [*out, *self._overtaken(newest_ns)]

    def _frame(self, picture: av.VideoFrame, packet: Packet) -> Frame | Undecodable:
        if picture.is_corrupt:
            return self._give_up(packet, Cause.CONCEALED if self._sound else Cause.CORRUPT)
        del self._inside[packet.sequence]
        self._sound = self._sound or packet.is_keyframe
        y, u, v, converted = planes(picture)
        self._frames += 1
        self._converted += converted
        color_range, matrix = color_tags(picture)
        return Frame(
            sequence=packet.sequence,
            pts_ns=packet.pts_ns,
            arrival_ns=packet.arrival_ns,
            is_keyframe=packet.is_keyframe,
            y=y,
            u=u,
            v=v,
            color_range=self._options.color_range or color_range,
            color_matrix=self._options.color_matrix or matrix,
        )

    def _overtaken(self, newest_ns: int | None) -> list[Undecodable]:
        """Packets whose picture will not come: one that is shown later came out, or more are inside than can wait."""
        lost = [p for p in self._inside.values() if _before(_shown(p), newest_ns)]
        spare = len(self._inside) - len(lost) - MAX_DELAY
        if spare > 0:
            lost += [p for p in self._inside.values() if p not in lost][:spare]
        return [
            self._give_up(packet, Cause.SECOND_FIELD if packet.sequence - 1 in self._interlaced else Cause.NEVER_OUTPUT)
            for packet in lost
        ]

    def _give_up(self, packet: Packet, cause: Cause) -> Undecodable:
        del self._inside[packet.sequence]
        self._undecodable += 1
        if cause is Cause.CORRUPT and self._only_parameter_sets(packet):
            cause = Cause.PARAMETER_SETS
        return Undecodable(packet.sequence, cause)

    def _only_parameter_sets(self, packet: Packet) -> bool:
        return only_parameter_sets(self._name, bytes(packet.handle), self._extradata)


def _tagged(packet: Packet) -> av.Packet[av.VideoStream]:
    """FFmpeg's packet, of which a picture can tell that it is made of it.

    Where we make it, its pts is the sequence: objects that FFmpeg holds for us would be freed in the midst of decoding,
    each with the interpreter lock.
    """
    if not isinstance(packet.handle, bytearray):
        packet.handle.opaque = _Tag(packet.sequence)
        return cast("av.Packet[av.VideoStream]", packet.handle)
    made = cast("av.Packet[av.VideoStream]", av.Packet(len(packet.handle)))  # with room for reading over its end
    memoryview(made)[:] = packet.handle
    made.pts = packet.sequence
    return made


def _shown(packet: Packet) -> int | None:
    """FFmpeg's own pts: `pts_ns` may have been made up from the order of the packets where the stream has none."""
    if isinstance(packet.handle, bytearray):
        return packet.pts_ns
    return to_ns(packet.handle.pts, packet.handle.time_base)


def _before(pts_ns: int | None, newest_ns: int | None) -> bool:
    """Shown before what came out. Further apart than reordering explains is a jump of the stream's clock: wait."""
    return pts_ns is not None and newest_ns is not None and 0 < newest_ns - pts_ns < _JUMP_NS


def _open(like: av.VideoCodecContext, deblock: str) -> av.VideoCodecContext:
    """A context with one thread: slice and frame threads deadlock among many decoders, and add latency."""
    codec = cast(av.VideoCodecContext, av.CodecContext.create(like.codec, "r"))
    codec.extradata = like.extradata
    if like.pix_fmt:  # MPEG-4's cousins and raw video do not say this in band
        codec.width, codec.height, codec.pix_fmt = like.width, like.height, like.pix_fmt
    codec.options = {"skip_loop_filter": _SKIPPED_FILTER[deblock]}
    codec.thread_count = 1
    codec.thread_type = ThreadType.NONE
    codec.flags |= Flags.copy_opaque | Flags.output_corrupt
    return codec
