"""A frame's planes as a BGR picture for people, with its boxes drawn. Pure; OpenCV only."""

from __future__ import annotations

from zlib import crc32

import cv2
import numpy as np

from pipelines.color import resolve, yuv_to_rgb
from pipelines.values import U8, Alert, Frame

Color = tuple[int, int, int]

_PALETTE: tuple[Color, ...] = (
    (60, 76, 231),
    (15, 196, 241),
    (113, 204, 46),
    (219, 152, 52),
    (182, 89, 155),
    (34, 126, 230),
    (156, 188, 26),
    (180, 105, 255),
)
"""BGR. A class keeps its colour from picture to picture and from process to process."""


def to_bgr(frame: Frame, max_width_px: int) -> U8:
    """Colour picture of a frame, its own range and matrix honoured, not wider than asked and never enlarged.

    The planes are shrunk before the conversion, which is what makes it cheap. Luma is averaged over its area
    (people look at edges), chroma is interpolated.

    Returns:
        (h, w, 3) uint8, BGR.
    """
    wh = fitted(frame.wh, max_width_px)
    y = frame.y if wh == frame.wh else cv2.resize(frame.y, wh, interpolation=cv2.INTER_AREA)
    u, v = (cv2.resize(plane, wh, interpolation=cv2.INTER_LINEAR) for plane in (frame.u, frame.v))
    to_rgb = yuv_to_rgb(*resolve(frame.color_range, frame.color_matrix, frame.wh[1]))
    bgr: U8 = cv2.transform(cv2.merge([y, u, v]), to_rgb[::-1])
    return bgr


def fitted(wh: tuple[int, int], max_width_px: int) -> tuple[int, int]:
    """(width, height) not wider than `max_width_px`, ratio kept."""
    width, height = wh
    if width <= max_width_px:
        return wh
    return max_width_px, max(1, round(height * max_width_px / width))


def annotate(bgr: U8, alert: Alert) -> None:
    """Draw an alert's boxes, classes and scores into a (h, w, 3) picture of its frame, in place."""
    height, width = bgr.shape[:2]
    scale = np.array([width / alert.source_wh[0], height / alert.source_wh[1]] * 2)
    thickness = max(1, round(width / 640))
    for box, name, score in zip(alert.boxes, alert.classes, alert.scores, strict=True):
        x0, y0, x1, y1 = np.rint(np.asarray(box) * scale).astype(int).tolist()
        color = _PALETTE[crc32(name.encode()) % len(_PALETTE)]
        cv2.rectangle(bgr, (x0, y0), (x1, y1), color, thickness)
        _label(bgr, f"{name} {score:.2f}", (x0, y0), color, thickness)


def _label(bgr: U8, text: str, corner: tuple[int, int], color: Color, thickness: int) -> None:
    """Text on a ground of its box's colour, above the box, or inside where there is no room above."""
    size = 0.45 * thickness
    (text_w, text_h), baseline = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thickness)
    high = text_h + baseline + 2
    x = min(max(corner[0], 0), max(bgr.shape[1] - text_w, 0))
    top = corner[1] - high if corner[1] >= high else max(corner[1], 0)
    cv2.rectangle(bgr, (x, top), (x + text_w, top + high), color, cv2.FILLED)
    cv2.putText(bgr, text, (x, top + text_h + 1), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), thickness, cv2.LINE_AA)


def jpeg(bgr: U8, quality: int) -> bytes:
    """Compress a picture. Raises ValueError if OpenCV will not (an empty picture, wider than 65,500 px)."""
    try:
        done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error as error:
        raise ValueError(f"cannot compress a picture of {bgr.shape}: {error.err}") from error
    if not done:
        raise ValueError(f"cannot compress a picture of {bgr.shape}")
    return bytes(data)
