"""Encodes painted pictures to mp4 with PyAV: H.264 or H.265, tagged or not, stamped with frame numbers."""

from __future__ import annotations

import io
from collections.abc import Iterable
from fractions import Fraction
from typing import Protocol, cast

import av
import numpy as np
from av.stream import Stream
from av.video.stream import VideoStream

from pipelines.values import U8, ColorMatrix, ColorRange
from tests.fakes import sei

_ENCODERS = {"h264": "libx264", "hevc": "libx265"}
_TIME_BASE = Fraction(1, 90_000)
_SMPTE170M, _BT709 = 6, 1
"""ISO/IEC 23091-2 code points, as in FFmpeg's AVColorSpace, AVColorPrimaries and AVColorTransferCharacteristic."""


class Recipe(Protocol):
    """The part of a scene that the encoder needs (see scene.Scene)."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def fps(self) -> int: ...
    @property
    def codec(self) -> str: ...
    @property
    def color_range(self) -> ColorRange: ...
    @property
    def matrix(self) -> ColorMatrix: ...
    @property
    def tagged(self) -> bool: ...
    @property
    def b_frames(self) -> int: ...
    @property
    def gop(self) -> int: ...
    @property
    def crf(self) -> int: ...
    @property
    def bitrate_bps(self) -> int | None: ...


def encode(recipe: Recipe, pictures: Iterable[U8]) -> bytes:
    """An mp4 file of the pictures, (h * 3 / 2, w) uint8 I420 each."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = cast(
            VideoStream, container.add_stream(_ENCODERS[recipe.codec], rate=recipe.fps, options=options(recipe))
        )
        _configure(stream, recipe)
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="yuv420p")
            frame.pts, frame.time_base = index * _TIME_BASE.denominator // recipe.fps, _TIME_BASE
            frame.color_range, frame.colorspace = stream.codec_context.color_range, stream.codec_context.colorspace
            for packet in stream.encode(frame):
                container.mux(_stamped(packet, recipe))
        for packet in stream.encode(None):
            container.mux(_stamped(packet, recipe))
    return file.getvalue()


def options(recipe: Recipe) -> dict[str, str]:
    """FFmpeg options of the encoder. Key frames stand exactly every `gop` frames, all GOPs closed."""
    if recipe.codec == "hevc":
        params = f"keyint={recipe.gop}:min-keyint={recipe.gop}:scenecut=0:open-gop=0:bframes={recipe.b_frames}"
        params += ":log-level=none:info=0:pools=none:frame-threads=1:repeat-headers=0"
        if recipe.bitrate_bps:
            kbps = recipe.bitrate_bps // 1000
            params += f":bitrate={kbps}:vbv-maxrate={kbps}:vbv-bufsize={kbps}:strict-cbr=1"
        else:
            params += f":crf={recipe.crf}"
        return {"preset": "ultrafast", "x265-params": params}
    params = f"keyint={recipe.gop}:min-keyint={recipe.gop}:scenecut=0:bframes={recipe.b_frames}:b-adapt=0:threads=1"
    if recipe.bitrate_bps:
        kbps = recipe.bitrate_bps // 1000
        params += f":bitrate={kbps}:vbv-maxrate={kbps}:vbv-bufsize={kbps}:nal-hrd=cbr"
    else:
        params += f":crf={recipe.crf}"
    return {"preset": "superfast", "x264-params": params}


def _configure(stream: VideoStream, recipe: Recipe) -> None:
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = recipe.width, recipe.height, "yuv420p"
    context.time_base = _TIME_BASE
    context.max_b_frames, context.gop_size = recipe.b_frames, recipe.gop
    if recipe.tagged:
        code = _BT709 if recipe.matrix is ColorMatrix.BT709 else _SMPTE170M
        context.colorspace = context.color_primaries = context.color_trc = code
        context.color_range = 2 if recipe.color_range is ColorRange.FULL else 1


def _stamped(packet: av.Packet[VideoStream], recipe: Recipe) -> av.Packet[Stream]:
    """The packet with its frame number (in order of display) and capture time in it."""
    seconds = Fraction(cast(int, packet.pts)) * packet.time_base
    stamped = av.Packet(sei.insert(bytes(packet), recipe.codec, round(seconds * recipe.fps), round(seconds * 10**9)))
    stamped.stream, stamped.time_base = packet.stream, packet.time_base
    stamped.pts, stamped.dts, stamped.duration = packet.pts, packet.dts, packet.duration
    stamped.is_keyframe = packet.is_keyframe
    return stamped
