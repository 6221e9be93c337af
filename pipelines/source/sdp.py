"""What an RTSP camera says of its video: the first H.264 or H.265 stream of a session description. Pure.

Sources: RFC 8866 (SDP), RFC 6184 8.2 (H.264), RFC 7798 7.2 (H.265), RFC 2326 C.1 (control URLs).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

CODECS = {"H264": "h264", "H265": "hevc"}
"""Encoding names, and FFmpeg's for them."""
_START = b"\x00\x00\x00\x01"
_SETS = {"h264": ("sprop-parameter-sets",), "hevc": ("sprop-vps", "sprop-sps", "sprop-pps")}


@dataclass(frozen=True, slots=True)
class Video:
    """One video stream, as described."""

    codec: str
    """FFmpeg's name."""
    payload_type: int
    clock_hz: int
    control: str
    """URL, absolute or relative to the session's; may be empty."""
    fps: float
    """0: not said."""
    parameter_sets: bytes
    """Annex B; may be empty: then they come with the pictures."""
    fmtp: Mapping[str, str]


@dataclass(slots=True)
class _Section:
    media: list[str]
    lines: list[tuple[str, str]]


def first_video(text: str) -> Video | None:
    """The first H.264 or H.265 stream over plain RTP; None: there is none that this reader can take."""
    plain = (s for s in _sections(text) if len(s.media) >= 4 and s.media[0] == "video" and s.media[2] == "RTP/AVP")
    return next((video for section in plain if (video := _video(section)) is not None), None)


def _sections(text: str) -> Iterator[_Section]:
    section: _Section | None = None
    for line in text.splitlines():
        kind, _, value = line.strip().partition("=")
        if kind == "m":
            if section is not None:
                yield section
            section = _Section(value.split(), [])
        elif kind == "a" and section is not None:
            name, _, rest = value.partition(":")
            section.lines.append((name.strip(), rest.strip()))
    if section is not None:
        yield section


def _video(section: _Section) -> Video | None:
    payload_type = section.media[3]
    maps = {pt: name for pt, _, name in (_first(rest) for key, rest in section.lines if key == "rtpmap")}
    fmtps = {pt: rest for pt, _, rest in (_first(rest) for key, rest in section.lines if key == "fmtp")}
    name, _, clock = maps.get(payload_type, "").partition("/")
    codec = CODECS.get(name.upper())
    fmtp = dict(_parameters(fmtps.get(payload_type, "")))
    if codec is None or not payload_type.isdecimal() or not _plain(fmtp):
        return None
    values = dict(section.lines)
    sets = b"".join(_units(fmtp.get(key, "")) for key in _SETS[codec])
    clock_hz = int(clock) if clock.isdecimal() and int(clock) > 0 else 90_000
    return Video(
        codec, int(payload_type), clock_hz, values.get("control", ""), _number(values.get("framerate", "")), sets, fmtp
    )


def _plain(fmtp: Mapping[str, str]) -> bool:
    """Pictures in decoding order, without the numbers that interleaving adds."""
    return fmtp.get("packetization-mode", "0") in ("0", "1") and fmtp.get("sprop-max-don-diff", "0") == "0"


def _first(text: str) -> tuple[str, str, str]:
    return text.partition(" ")


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    for item in text.split(";"):
        key, equals, value = item.strip().partition("=")
        if equals:
            yield key.strip().lower(), value.strip()


def _units(text: str) -> bytes:
    """Base64 NAL units, comma-separated, as Annex B. What is no base64 is left out: sets come in the stream as well."""
    out = b""
    for item in filter(None, text.split(",")):
        try:
            out += _START + base64.b64decode(item + "=" * (-len(item) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
    return out


def _number(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0
