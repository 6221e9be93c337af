"""Boxes as rows (x1, y1, x2, y2, score, class): overlap and non-maximum suppression, in numpy."""

from __future__ import annotations

import numpy as np


def overlap(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a (n, >= 4), b (m, >= 4), xyxy -> IoU (n, m), and the share of each a that each b covers (n, m)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    common = np.clip(high - low, 0, None).prod(-1)
    area_a, area_b = ((x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1]) for x in (a, b))
    return common / (area_a[:, None] + area_b[None] - common + 1e-9), common / (area_a[:, None] + 1e-9)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, >= 4) x (m, >= 4) xyxy -> (n, m)."""
    return overlap(a, b)[0]


def nms(boxes: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """(n, 6) -> the rows that no better row of their class overlaps by `threshold` or more, best first."""
    boxes = boxes[np.argsort(-boxes[:, 4])]
    keep = []
    while len(boxes):
        keep.append(boxes[0])
        boxes = boxes[1:]
        if len(boxes):
            boxes = boxes[(iou(keep[-1][None], boxes)[0] < threshold) | (boxes[:, 5] != keep[-1][5])]
    return np.array(keep).reshape(-1, 6)
