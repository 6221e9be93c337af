"""Is there a picture in this packet? Reads NAL headers of H.264 and H.265, in Annex B or length-prefixed form.

Sources: ITU-T H.264 table 7-1 (types 1..5 are slices), H.265 table 7-1 (types 0..31 are slices), ISO/IEC 14496-15.
Called only for packets that gave no picture: it walks the packet in Python.
"""

from __future__ import annotations

from collections.abc import Iterator

_START = b"\x00\x00\x01"


def has_picture(codec: str, payload: bytes, extradata: bytes | None) -> bool:
    """False only if the packet surely holds no slice: parameter sets, SEI, delimiters.

    Args:
        codec: FFmpeg's name. Other codecs than h264 and hevc: always True.
        payload: The packet.
        extradata: The stream's, which says how NAL units are delimited.
    """
    if codec == "h264":
        return any(1 <= (header & 0x1F) <= 5 for header in _headers(payload, _length_bytes(extradata, 4)))
    if codec == "hevc":
        return any((header >> 1 & 0x3F) < 32 for header in _headers(payload, _length_bytes(extradata, 21)))
    return True


def _length_bytes(extradata: bytes | None, at: int) -> int:
    """Size of the length prefix, 0 for Annex B. avcC and hvcC start with version 1 and hold size - 1 in byte `at`."""
    if extradata is None or len(extradata) <= at or extradata[0] != 1:
        return 0
    return (extradata[at] & 3) + 1


def _headers(payload: bytes, length_bytes: int) -> Iterator[int]:
    """First byte of each NAL unit."""
    if length_bytes == 0:
        at = payload.find(_START)
        while 0 <= at < len(payload) - 3:
            yield payload[at + 3]
            at = payload.find(_START, at + 3)
        return
    at = 0
    while at + length_bytes < len(payload):
        yield payload[at + length_bytes]
        at += length_bytes + int.from_bytes(payload[at : at + length_bytes], "big")
