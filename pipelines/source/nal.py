"""Is there any picture in this packet? Reads NAL headers of H.264 and H.265, in Annex B or length-prefixed form.

Sources: ITU-T H.264 table 7-1, ITU-T H.265 table 7-1, ISO/IEC 14496-15.
Called only for packets that gave no picture: it walks the packet in Python.
"""

from __future__ import annotations

from collections.abc import Iterator

_START = b"\x00\x00\x01"
_H264_NO_PICTURE = {6, 7, 8, 9, 10, 11, 12, 13, 15}
"""SEI, SPS, PPS, delimiter, ends, filler, SPS extension, subset SPS."""
_HEVC_NO_PICTURE = set(range(32, 41))
"""VPS, SPS, PPS, delimiter, ends, filler, SEI."""


def only_parameter_sets(codec: str, payload: bytes, extradata: bytes | None) -> bool:
    """True if the packet surely holds no slice: parameter sets, SEI, delimiters, and nothing broken.

    Args:
        codec: FFmpeg's name. Other codecs than h264 and hevc: always False.
        payload: The packet.
        extradata: The stream's, which says how NAL units are delimited.
    """
    if codec == "h264":
        types = {header & 0x1F for header in _headers(payload, _length_bytes(extradata, 4))}
        return bool(types) and types <= _H264_NO_PICTURE
    if codec == "hevc":
        types = {header >> 1 & 0x3F for header in _headers(payload, _length_bytes(extradata, 21))}
        return bool(types) and types <= _HEVC_NO_PICTURE
    return False


def _length_bytes(extradata: bytes | None, at: int) -> int:
    """Size of the length prefix, 0 for Annex B. avcC and hvcC start with version 1 and hold size - 1 in byte `at`."""
    if extradata is None or len(extradata) <= at or extradata[0] != 1:
        return 0
    return (extradata[at] & 3) + 1


def _headers(payload: bytes, length_bytes: int) -> Iterator[int]:
    """First byte of each NAL unit; 0, which is no type of either codec's above, where the packet is broken."""
    if length_bytes == 0:
        at = payload.find(_START)
        while 0 <= at < len(payload) - 3:
            yield payload[at + 3]
            at = payload.find(_START, at + 3)
        return
    at = 0
    while at < len(payload):
        end = at + length_bytes + int.from_bytes(payload[at : at + length_bytes], "big")
        yield payload[at + length_bytes] if at + length_bytes < end <= len(payload) else 0
        at = end
