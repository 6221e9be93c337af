"""A decoder's picture as 8-bit 4:2:0 numpy planes, without a copy where the layout already is so."""

from __future__ import annotations

from functools import lru_cache

import av
import numpy as np

from pipelines.values import U8, ColorMatrix, ColorRange

_PLANAR_420 = {"yuv420p", "yuvj420p"}
_GREY = {"gray", "gray8"}
_GREY_CHROMA = 128
# AVColorRange and AVColorSpace, ITU-T H.273 numbers.
_RANGE = {1: ColorRange.LIMITED, 2: ColorRange.FULL}
_MATRIX = {1: ColorMatrix.BT709, 5: ColorMatrix.BT601, 6: ColorMatrix.BT601}


def color_tags(frame: av.VideoFrame) -> tuple[ColorRange, ColorMatrix]:
    """What the stream says of its colours. FFmpeg's yuvj formats and its grey mean full range in themselves."""
    full = frame.format.name.startswith(("yuvj", "gray"))
    color_range = ColorRange.FULL if full else _RANGE.get(frame.color_range, ColorRange.UNSPECIFIED)
    return color_range, _MATRIX.get(frame.colorspace, ColorMatrix.UNSPECIFIED)


def planes(frame: av.VideoFrame) -> tuple[U8, U8, U8, bool]:
    """Y, U, V and whether the picture had to be converted.

    Returns:
        y (h, w), u and v (ceil(h/2), ceil(w/2)), uint8, read-only views with the decoder's line stride. Each holds the
        AVFrame alive. Grey pictures share one constant chroma plane.
    """
    name = frame.format.name
    if name in _PLANAR_420:
        return _view(frame, 0), _view(frame, 1), _view(frame, 2), False
    if name in _GREY:
        chroma = _neutral((frame.height + 1) // 2, (frame.width + 1) // 2)
        return _view(frame, 0), chroma, chroma, True
    # Source and target range are the same, else swscale would stretch full range to limited behind the tag's back.
    full = color_tags(frame)[0] is ColorRange.FULL
    out = frame.reformat(format="yuv420p", src_color_range=1 + full, dst_color_range=1 + full)
    return _view(out, 0), _view(out, 1), _view(out, 2), True


def _view(frame: av.VideoFrame, index: int) -> U8:
    plane = frame.planes[index]
    rows: U8 = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    rows.flags.writeable = False  # the decoder still predicts from these pixels
    return rows[:, : plane.width]


@lru_cache(maxsize=16)
def _neutral(height: int, width: int) -> U8:
    chroma = np.full((height, width), _GREY_CHROMA, np.uint8)
    chroma.flags.writeable = False
    return chroma
