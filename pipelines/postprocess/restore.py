"""From network-input pixels back to the camera's own."""

from __future__ import annotations

import numpy as np

from pipelines.values import Boxes, Letterbox


def to_source(xyxy: Boxes, fit: Letterbox) -> Boxes:
    """Map boxes from network-input pixels back to source pixels.

    Args:
        xyxy: (n, 4) float32, corners x0 y0 x1 y1, network-input px. n may be 0.
        fit: The very Letterbox the frame was resized with.

    Returns:
        (n, 4) float32, source px, clipped to the source frame.
    """
    origin = np.array([fit.content_x, fit.content_y] * 2, np.float64)
    scale = np.array([fit.source_w / fit.content_w, fit.source_h / fit.content_h] * 2)
    limit = np.array([fit.source_w, fit.source_h] * 2, np.float64)
    restored: Boxes = np.clip((xyxy - origin) * scale, 0.0, limit).astype(np.float32)
    return restored
