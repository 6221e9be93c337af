"""Small H.264 and H.265 clips in many dialects, and what FFmpeg itself reads in their slice headers."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import cast

import av
import av.logging
import cv2
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.video.stream import VideoStream

_WIDTH, _HEIGHT = 192, 128
_FPS = 25


@dataclass(frozen=True)
class Dialect:
    """How to encode. params: x264's or x265's own."""

    codec: str
    params: str
    preset: str = "superfast"
    pixel_format: str = "yuv420p"
    profile: str = ""
    length_prefixed: bool = False
    frames: int = 14


@dataclass(frozen=True)
class Encoded:
    codec: str
    extradata: bytes
    packets: tuple[bytes, ...]
    keys: tuple[bool, ...]
    """As the demuxer says."""
    headers: tuple[str, ...]
    """Per packet, FFmpeg's trace of all headers: a bit position, a name, the bits, "= value" in each line."""


@cache
def encoded(dialect: Dialect) -> Encoded:
    """Encode and demux again. Cached: the same dialect costs once."""
    file = io.BytesIO()
    muxer = "mp4" if dialect.length_prefixed else dialect.codec
    with av.open(file, "w", format=muxer) as container:
        stream = _stream(container, dialect)
        for index, picture in enumerate(_pictures(dialect.frames)):
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p").reformat(format=dialect.pixel_format)
            frame.pts, frame.time_base = index, Fraction(1, _FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    return _demuxed(file)


def _stream(container: av.container.OutputContainer, dialect: Dialect) -> VideoStream:
    encoder = {"h264": "libx264", "hevc": "libx265"}[dialect.codec]
    quiet = ":log-level=none:pools=none:frame-threads=1" if dialect.codec == "hevc" else ":threads=1"
    options = {"preset": dialect.preset, f"{encoder[3:]}-params": dialect.params + quiet}
    if dialect.profile:
        options["profile"] = dialect.profile
    stream = cast(VideoStream, container.add_stream(encoder, rate=_FPS, options=options))
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = _WIDTH, _HEIGHT, dialect.pixel_format
    context.time_base = Fraction(1, _FPS)
    return stream


def _pictures(n: int) -> Iterator[np.ndarray]:
    """(h * 3 / 2, w) uint8 I420: a soft texture that fades (weights are of use), noise, a thing that moves."""
    rng = np.random.default_rng(5)
    ground = cv2.GaussianBlur(rng.normal(128, 300, (_HEIGHT * 3 // 2, _WIDTH)).astype(np.float32), (0, 0), 5)
    for index in range(n):
        picture = ground * (1 - 0.03 * (index % 7)) + rng.normal(0, 3, ground.shape)
        picture[30:70, 9 * index % 150 : 9 * index % 150 + 40] += 70
        yield np.clip(picture, 16, 235).astype(np.uint8)


def _demuxed(file: io.BytesIO) -> Encoded:
    with av.open(file, "r") as container:
        stream = container.streams.video[0]
        level = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            with av.logging.Capture() as log:  # the filter's opening traces the extradata
                tracer = BitStreamFilterContext("trace_headers", in_stream=stream)
            packets, keys, headers = [], [], []
            beginning = _text(log)
            for packet in container.demux(stream):
                if packet.size:
                    packets.append(bytes(packet))
                    keys.append(packet.is_keyframe)
                    with av.logging.Capture() as log:
                        tracer.filter(packet)
                    headers.append(beginning + _text(log))
                    beginning = ""
        finally:
            av.logging.set_level(level)
        extradata = bytes(stream.codec_context.extradata or b"")
        return Encoded(stream.codec_context.name, extradata, tuple(packets), tuple(keys), tuple(headers))


def _text(log: list[tuple[int, str, str]]) -> str:
    return "".join(message.rstrip("\n") + "\n" for _, _, message in log)


def values(headers: str, name: str) -> list[int]:
    """All values of one field in a packet's trace, in order."""
    return [int(value) for value in re.findall(rf"\b{re.escape(name)}\s+[01]* = (-?\d+)", headers)]


def start_codes_to_lengths(packet: bytes, length_bytes: int = 4) -> bytes:
    """Annex B to length prefixes."""
    units = [unit.rstrip(b"\x00") for unit in packet.split(b"\x00\x00\x01")]
    return b"".join(len(unit).to_bytes(length_bytes, "big") + unit for unit in units if unit)
