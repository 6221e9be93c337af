"""Frame number and time in SEI user_data_unregistered, H.264 and H.265: how tests know which frame they look at.

Sources: ITU-T H.264 7.3.1, 7.3.2.3, D.1.7; ITU-T H.265 7.3.1, 7.3.2.4, D.2.7. Pure; knows no encoder and no socket.
An access unit may be framed with start codes (Annex B: RTP, .h264) or with 4-byte lengths (mp4, Matroska).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator

UUID = bytes.fromhex("f7a3c1d94be85e2696d1b83c5a97e4f2")
"""Names our payload. It has no zero byte, so emulation prevention never changes it and a plain search finds it."""

_BODY = struct.Struct(">QQ")
_PREFIX = {"h264": b"\x06", "hevc": b"\x4e\x01"}
"""NAL header of an SEI: H.264 type 6; H.265 type 39 (prefix SEI), layer 0, temporal id 0."""
_START_CODE = re.compile(rb"\x00{2,}\x01")


def read(packet: bytes | memoryview) -> tuple[int, int] | None:
    """(frame_number, time_ns) of an access unit in any framing and of either codec, or None if it carries no stamp."""
    data = bytes(packet)
    at = data.find(UUID)
    if at < 0:
        return None
    start = at + len(UUID)
    body = _unescape(data[start : start + _BODY.size * 3 // 2])[: _BODY.size]
    if len(body) < _BODY.size:
        return None
    frame_number, time_ns = _BODY.unpack(body)
    return frame_number, time_ns


def insert(access_unit: bytes | memoryview, codec: str, frame_number: int, time_ns: int) -> bytes:
    """The access unit with our stamp before its first slice, in the framing it came in. An older stamp is replaced.

    codec: "h264" or "hevc". Both numbers: 0 .. 2**64 - 1.
    """
    data = bytes(access_unit)
    units = _split_lengths(data)
    annex_b = units is None
    if units is None:
        units = list(_split_start_codes(data))
    units = [unit for unit in units if UUID not in unit]
    first_slice = next((i for i, unit in enumerate(units) if _is_slice(unit, codec)), len(units))
    units.insert(first_slice, nal(codec, frame_number, time_ns))
    return _join(units, annex_b=annex_b)


def nal(codec: str, frame_number: int, time_ns: int) -> bytes:
    """One SEI NAL unit without start code or length."""
    payload = UUID + _BODY.pack(frame_number, time_ns)
    message = bytes([5, len(payload)]) + payload + b"\x80"
    return _PREFIX[codec] + _escape(message)


def _is_slice(unit: bytes, codec: str) -> bool:
    if codec == "hevc":
        return (unit[0] >> 1) & 0x3F < 32
    return 1 <= unit[0] & 0x1F <= 5


def _split_lengths(data: bytes) -> list[bytes] | None:
    """NAL units of a 4-byte length framing, or None if the lengths do not tile the data exactly.

    Tried before the start codes: a length of 256..511 looks like one, a start code never tiles.
    """
    units = []
    at = 0
    while at + 4 < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        units.append(data[at + 4 : at + 4 + size])
        at += 4 + size
        if size == 0:
            return None
    return units if units and at == len(data) else None


def _split_start_codes(data: bytes) -> Iterator[bytes]:
    codes = list(_START_CODE.finditer(data))
    ends = [code.start() for code in codes[1:]] + [len(data)]
    for code, end in zip(codes, ends, strict=True):
        unit = data[code.end() : end].rstrip(b"\x00")
        if unit:
            yield unit


def _join(units: Iterable[bytes], *, annex_b: bool) -> bytes:
    return b"".join((b"\x00\x00\x00\x01" if annex_b else len(unit).to_bytes(4, "big")) + unit for unit in units)


def _escape(payload: bytes) -> bytes:
    """Emulation prevention: no 00 00 followed by 00..03 may stand inside a NAL unit."""
    out = bytearray()
    zeros = 0
    for byte in payload:
        if zeros == 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


def _unescape(payload: bytes) -> bytes:
    out = bytearray()
    zeros = 0
    for byte in payload:
        if zeros == 2 and byte == 3:
            zeros = 0
            continue
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)
