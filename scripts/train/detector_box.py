"""From a picture to the detector's input, and from its output to boxes: the usual YOLOv8 steps, in numpy."""

from __future__ import annotations

import cv2
import numpy as np

from box import nms

HEIGHT, WIDTH = 256, 416
STRIDES = (8, 16)
CELLS = [(HEIGHT // s, WIDTH // s) for s in STRIDES]
PAD = 114


def letterbox(rgb: np.ndarray) -> tuple[np.ndarray, float, int, int]:
    """(h, w, 3) uint8 RGB -> (3, 256, 416) float32 0..1, scale, pad x, pad y."""
    height, width = rgb.shape[:2]
    scale = min(WIDTH / width, HEIGHT / height)
    w, h = round(width * scale), round(height * scale)
    x, y = (WIDTH - w) // 2, (HEIGHT - h) // 2
    out = np.full((HEIGHT, WIDTH, 3), PAD, np.uint8)
    out[y : y + h, x : x + w] = cv2.resize(rgb, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return np.ascontiguousarray(out.transpose(2, 0, 1)).astype(np.float32) / 255, scale, x, y


def boxes_of(output: np.ndarray, least: float = 0.05, threshold: float = 0.5) -> np.ndarray:
    """(6, cells) -> boxes (n, 6) in input pixels: best class, score above `least`, NMS per class."""
    best, kind = output[4:].max(0), output[4:].argmax(0)
    some = best > least
    cx, cy, w, h = output[:4, some]
    rows = np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, best[some], kind[some]], 1)
    return nms(rows, threshold)
