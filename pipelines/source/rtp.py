"""RTP packets to access units of H.264 and H.265, in Annex B. Pure.

An access unit ends with the marker bit, so it is given out the moment its last packet is there; a receiver that waits
for the next picture's start would hold each one for a frame time. Cameras that set the bit where no picture ends are
noticed, and from then on the change of timestamp ends one.

Sources: RFC 3550 5.1, RFC 6184 5 (single, STAP-A, FU-A), RFC 7798 4.4 (single, AP, FU).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct

_HEAD = Struct(">BBHI")
_INNER = Struct(">BBHI4xHB")
"""The same with what a packet inside a fragmented NAL unit begins with."""
_HEAD_BYTES = 12
_START = b"\x00\x00\x00\x01"
_PADDING, _EXTENSION, _SOURCES, _VERSION, _RTP = 0x20, 0x10, 0x0F, 0xC0, 0x80
_MOST_BYTES = 32 * 1024 * 1024
"""No picture of any level is larger."""


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One picture's packets, joined."""

    data: bytearray
    rtp_time: int
    """32 bits, in the stream's clock."""
    is_key: bool
    """It holds a random access picture, or says that decoding may start here."""
    held: bool
    """Its end was known only by the next one's beginning, a frame time later."""


class Depacketizer:
    """One stream's. One thread; half a microsecond per RTP packet within a fragmented NAL unit, some two for any other.
    Bound: one access unit."""

    def __init__(self, codec: str, payload_type: int) -> None:
        """codec: FFmpeg's name, h264 or hevc."""
        self._take = self._h264 if codec == "h264" else self._h265
        self._payload_type = payload_type
        self._unit = bytearray()
        self._rtp_time: int | None = None
        self._sequence: int | None = None
        self._picture = self._key = self._fragment = False
        """Of the access unit: it has a slice; it is a key; a fragmented NAL unit is under way, and wanted."""
        self._inner: tuple[int, int] | None = None
        """What the packets between the first and the last of that NAL unit begin with."""
        self._inner_bytes, self._last_mask = (2, 0) if codec == "h264" else (3, 0xFF)
        self._ended: int | None = None
        """Timestamp of the access unit that a marker ended last."""
        self.markers = True
        """Markers are where pictures end."""
        self.lost = 0
        """RTP packets missing, by their numbers."""
        self.broken = 0
        """RTP packets that are none, or whose payload is of no kind known here."""

    def push_all(self, data: memoryview, spans: Iterable[tuple[int, int]]) -> list[AccessUnit]:
        """Take RTP packets that lie in `data`, each from its first byte to behind its last.

        Returns what they completed. Most packets lie within a fragmented NAL unit, and differ in their number alone.
        """
        out: list[AccessUnit] = []
        unpack, plain, skip = _INNER.unpack_from, self._payload_type, _HEAD_BYTES + self._inner_bytes
        for start, end in spans:
            if self._inner is not None and end - start > skip + 1 and len(self._unit) < _MOST_BYTES:
                first, second, sequence, rtp_time, head, last = unpack(data, start)
                if (
                    sequence == self._sequence
                    and first == _RTP
                    and second == plain
                    and rtp_time == self._rtp_time
                    and (head, last & self._last_mask) == self._inner
                ):
                    self._sequence = (sequence + 1) & 0xFFFF
                    if self._fragment:
                        self._unit += data[start + skip : end]
                    continue
            out += self.push(data[start:end])
        return out

    def push(self, data: memoryview) -> list[AccessUnit]:
        """Take one RTP packet; returns what it completed: nothing, one access unit, rarely two."""
        if len(data) < _HEAD_BYTES:
            self.broken += 1
            return []
        first, second, sequence, rtp_time = _HEAD.unpack_from(data)
        if first & _VERSION != _RTP or second & 0x7F != self._payload_type:
            self.broken += first & _VERSION != _RTP
            return []
        out: list[AccessUnit] = []
        if rtp_time != self._rtp_time:
            if self._picture:
                out.append(self._end(held=True))
            self._rtp_time = rtp_time
        elif rtp_time == self._ended and self.markers:
            self.markers = False
        if self._sequence is not None and sequence != self._sequence:
            self.lost += (sequence - self._sequence) & 0xFFFF
            self._fragment, self._inner = False, None
        self._sequence = (sequence + 1) & 0xFFFF
        payload = data[_HEAD_BYTES:] if first == _RTP else _payload(data, first)
        if len(payload) > 2 and len(self._unit) < _MOST_BYTES:
            self._take(payload)
        else:
            self.broken += 1
        if second & 0x80 and self.markers and self._picture:
            out.append(self._end(held=False))
        return out

    def _end(self, held: bool) -> AccessUnit:
        assert self._rtp_time is not None
        unit = AccessUnit(self._unit, self._rtp_time, self._key, held)
        self._ended = self._rtp_time
        self._unit = bytearray()
        self._picture = self._key = self._fragment = False
        self._inner = None
        return unit

    # --- H.264 -----------------------------------------------------------------------------------------------------

    def _h264(self, payload: memoryview) -> None:
        kind = payload[0] & 0x1F
        if kind == 28:
            self._h264_fragment(payload)
        elif kind == 24:
            at = 1
            while at + 2 < len(payload):
                end = at + 2 + (payload[at] << 8 | payload[at + 1])
                self._h264_unit(payload[at + 2 : end])
                at = end
        elif 1 <= kind <= 23:
            self._h264_unit(payload)
        else:
            self.broken += 1

    def _h264_unit(self, unit: memoryview) -> None:
        if len(unit) and self._h264_kind(unit[0] & 0x1F, unit[1] if len(unit) > 1 else 0):
            self._unit += _START
            self._unit += unit

    def _h264_fragment(self, payload: memoryview) -> None:
        head = payload[1]
        self._inner = None
        if head & 0x80:
            self._inner = payload[0] << 8 | head & 0x1F, 0
            self._fragment = self._h264_kind(head & 0x1F, payload[2])
            if self._fragment:
                self._unit += _START
                self._unit.append(payload[0] & 0xE0 | head & 0x1F)
        if self._fragment:
            self._unit += payload[2:]

    def _h264_kind(self, kind: int, second: int) -> bool:
        """Note what a NAL unit means for its access unit. False: filler, which is dropped here."""
        if kind <= 5:
            self._picture = True
            self._key = self._key or kind == 5
        elif kind == 6:
            self._key = self._key or second == 6  # SEI: recovery point
        return kind != 12

    # --- H.265 -----------------------------------------------------------------------------------------------------

    def _h265(self, payload: memoryview) -> None:
        kind = payload[0] >> 1 & 0x3F
        if kind == 49:
            self._h265_fragment(payload)
        elif kind == 48:
            at = 2
            while at + 2 < len(payload):
                end = at + 2 + (payload[at] << 8 | payload[at + 1])
                self._h265_unit(payload[at + 2 : end])
                at = end
        elif kind < 48:
            self._h265_unit(payload)
        else:
            self.broken += 1

    def _h265_unit(self, unit: memoryview) -> None:
        if len(unit) > 2 and self._h265_kind(unit[0] >> 1 & 0x3F, unit[2]):
            self._unit += _START
            self._unit += unit

    def _h265_fragment(self, payload: memoryview) -> None:
        head = payload[2]
        self._inner = None
        if head & 0x80:
            self._inner = payload[0] << 8 | payload[1], head & 0x3F
            self._fragment = len(payload) > 3 and self._h265_kind(head & 0x3F, payload[3])
            if self._fragment:
                self._unit += _START
                self._unit.append(payload[0] & 0x81 | (head & 0x3F) << 1)
                self._unit.append(payload[1])
        if self._fragment:
            self._unit += payload[3:]

    def _h265_kind(self, kind: int, third: int) -> bool:
        if kind < 32:
            self._picture = True
            self._key = self._key or 16 <= kind <= 23
        elif kind == 39:
            self._key = self._key or third == 6
        return kind != 38


def _payload(data: memoryview, first: int) -> memoryview:
    """Behind contributing sources and extension, without padding; empty where the packet contradicts itself."""
    at = _HEAD_BYTES + 4 * (first & _SOURCES)
    if first & _EXTENSION and at + 4 <= len(data):
        at += 4 + 4 * (data[at + 2] << 8 | data[at + 3])
    end = len(data) - (data[-1] if first & _PADDING else 0)
    return data[at : max(at, end)]
