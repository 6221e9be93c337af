"""The small picture that all gates look at."""

from __future__ import annotations

import cv2

from pipelines.values import U8

WIDTH_PX, HEIGHT_PX = 160, 96


def luma_thumbnail(y: U8) -> U8:
    """(96, 160) uint8 luma of the whole frame, without letterbox, in the range the stream has (limited or full).

    The presence model was trained on exactly this resize (bilinear samples without a low pass), and on both ranges; the
    motion gate measures its noise. y: (h, w) uint8, rows may be strided. Costs about 15 us at 1080p. Any thread.
    """
    thumbnail: U8 = cv2.resize(y, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_LINEAR)
    return thumbnail
