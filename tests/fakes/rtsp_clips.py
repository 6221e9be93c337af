"""Small clips whose pictures carry their own number as bars of black and white: a frame says which one it is."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pipelines.values import U8

BITS = 8
_QUIET = {"x265-params": "log-level=none"}


def picture(index: int, width: int, height: int) -> U8:
    """(height * 3 / 2, width) I420 with the bits of `index` as vertical bars, least significant at the left."""
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    for bit in range(BITS):
        planes[:height, bit * width // BITS : (bit + 1) * width // BITS] = 200 if index >> bit & 1 else 40
    return planes


def number(y: U8) -> int:
    """The number a picture carries."""
    height, width = y.shape
    middles = [y[height // 2, (2 * bit + 1) * width // (2 * BITS)] for bit in range(BITS)]
    return sum(1 << bit for bit, value in enumerate(middles) if value > 120)


def write_clip(
    path: Path,
    codec: str = "libx264",
    count: int = 50,
    wh: tuple[int, int] = (128, 96),
    pix_fmt: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    fps: int = 25,
) -> Path:
    """Encode `count` numbered pictures. The container follows the suffix."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options={**_QUIET, **(options or {})})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = wh
        stream.pix_fmt = pix_fmt
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(picture(index, *wh), "yuv420p")
            if pix_fmt != "yuv420p":
                frame = frame.reformat(format=pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
