"""The small picture that all gates look at."""

from __future__ import annotations

import cv2

from pipelines.values import U8

THUMBNAIL_HW = (96, 160)
"""Rows and columns of the small picture; presence models are made for it."""


def luma_thumbnail(y: U8) -> U8:
    """(96, 160) uint8 luma of the whole frame, without letterbox, in the range the stream has (limited or full).

    Bilinear samples without a low pass, as the presence model's card prescribes; the noise that this keeps is measured
    by the motion gate. y: (h, w) uint8, rows may be strided. Costs about 15 us at 1080p. Any thread.
    """
    thumbnail: U8 = cv2.resize(y, THUMBNAIL_HW[::-1], interpolation=cv2.INTER_LINEAR)
    return thumbnail
