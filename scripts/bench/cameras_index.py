"""A picture's number in its clip, written into the clip when it is encoded: truth that survives any server.

SEI user_data_unregistered with a UUID of its own, so that a server which stamps send times (tests/fakes/sei.py) leaves
it alone. The number is eight hexadecimal digits: no byte of it is ever zero, so nothing needs escaping. Pure.
"""

from __future__ import annotations

import re

UUID = b"framegate-bench\x01"
_DIGITS = 8
_PREFIX = {"h264": b"\x06", "hevc": b"\x4e\x01"}
_FIRST_SLICE = {
    "h264": re.compile(rb"\x00?\x00\x00\x01[\x01\x21\x41\x61\x05\x25\x45\x65]"),
    "hevc": re.compile(rb"\x00?\x00\x00\x01[\x00\x02\x04\x06\x08\x0a\x0c\x0e\x10\x12\x20\x22\x24\x26\x28\x2a]"),
}
"""Start code and NAL header of H.264 types 1 and 5; H.265 types 0-9 and 16-21 (layer 0)."""


def insert(access_unit: bytes, codec: str, index: int) -> bytes:
    """The access unit (start codes) with the number before its first slice.

    Raises:
        ValueError: it holds no slice.
    """
    found = _FIRST_SLICE[codec].search(access_unit)
    if found is None:
        raise ValueError("an access unit without a slice")
    message = bytes([5, len(UUID) + _DIGITS]) + UUID + b"%08x" % index + b"\x80"
    return access_unit[: found.start()] + b"\x00\x00\x00\x01" + _PREFIX[codec] + message + access_unit[found.start() :]


def read(packet: bytes) -> int | None:
    """The number, in any framing and either codec; None if it carries none."""
    at = packet.find(UUID)
    digits = packet[at + len(UUID) : at + len(UUID) + _DIGITS]
    return int(digits, 16) if at >= 0 and len(digits) == _DIGITS else None
