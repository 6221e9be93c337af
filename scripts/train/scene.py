"""Things that are neither person nor vehicle: clutter, invented rooms, patches. Luma or RGB pictures, uint8."""

from __future__ import annotations

import cv2
import numpy as np

from augment import Rng


def clutter(rng: Rng, pictures: list[np.ndarray], source: np.ndarray, n: int) -> None:
    """Draw the same n still shapes into each luma picture, in place: flat, or textured with `source`."""
    height, width = pictures[0].shape[:2]
    for _ in range(n):
        mask = _shape(rng, height, width)
        if rng.random() < 0.35:
            value = cv2.convertScaleAbs(source, alpha=float(rng.uniform(0.4, 1.6)), beta=float(rng.uniform(-30, 40)))
        else:
            value = np.full((height, width), rng.uniform(0, 255), np.uint8)
        for picture in pictures:
            np.copyto(picture, value, where=mask > 0)


def _shape(rng: Rng, height: int, width: int) -> np.ndarray:
    """(height, width) uint8 mask of one box, frame, ellipse, bar or polygon."""
    mask = np.zeros((height, width), np.uint8)
    kind = rng.random()
    x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
    h = int(np.exp(rng.uniform(np.log(0.04), np.log(0.7))) * height)
    w = int(max(2, min(width, h * np.exp(rng.uniform(-2.0, 1.0)))))
    if kind < 0.45:
        line = -1 if rng.random() < 0.7 else int(rng.integers(1, 5))
        cv2.rectangle(mask, (x - w // 2, y - h // 2), (x + w // 2, y + h // 2), 255, line)
    elif kind < 0.6:
        axes = (max(1, w // 2), max(1, h // 2))
        cv2.ellipse(mask, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
    elif kind < 0.8:
        end = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        cv2.line(mask, (x, y), end, 255, int(rng.integers(1, 6)))
    else:
        corners = np.stack([x + rng.integers(-w, w + 1, 5), y + rng.integers(-h, h + 1, 5)], 1)
        cv2.fillPoly(mask, [corners.astype(np.int32)], 255)
    return mask


def invented(rng: Rng, hw: tuple[int, int]) -> np.ndarray:
    """(h, w) luma of a place that does not exist: wall and floor gradients with 1/f noise."""
    height, width = hw
    horizon = int(rng.uniform(-0.2, 1.0) * height)
    wall, floor = rng.uniform(10, 245, 2), rng.uniform(10, 245, 2)
    across = np.linspace(0, 1, width, dtype=np.float32)[None]
    above = np.arange(height)[:, None] < horizon
    wall_row, floor_row = (ends[0] + (ends[1] - ends[0]) * across for ends in (wall, floor))
    picture = np.where(above, wall_row, floor_row).astype(np.float32)
    for k in (4, 10, 32, 96):
        noise = rng.normal(0, rng.uniform(0, 14), (max(2, k * height // width), k)).astype(np.float32)
        picture += cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(picture, 0, 255).astype(np.uint8)


def patch(rng: Rng, picture: np.ndarray, source: np.ndarray, least: float = 0.02, most: float = 0.3) -> None:
    """Paste an irregular piece of `source`, in place: something that changed and is not asked for.

    least, most: its height as a share of the picture's.
    """
    height, width = picture.shape[:2]
    h = int(max(3, np.exp(rng.uniform(np.log(least), np.log(most))) * height))
    w = int(max(3, min(width - 1, h * np.exp(rng.uniform(-0.8, 0.8)))))
    sy, sx = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    y, x = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    mask = np.zeros((h, w), np.float32)
    corners = rng.integers(3, 7)
    cv2.fillPoly(mask, [np.stack([rng.integers(0, w, corners), rng.integers(0, h, corners)], 1).astype(np.int32)], 1.0)
    mask = mask if picture.ndim == 2 else mask[..., None]
    under = picture[y : y + h, x : x + w].astype(np.float32)
    piece = source[sy : sy + h, sx : sx + w].astype(np.float32) * rng.uniform(0.5, 1.5)
    picture[y : y + h, x : x + w] = np.clip(under + (piece - under) * mask, 0, 255)
