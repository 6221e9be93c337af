"""The usual way, in plain numpy: RGB from planes, and the decoding of each head.

What a folded model is checked against. Written apart from prefix.py and suffix.py on purpose: a mistake would have to
be made twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.color import affine
from pipelines.model.grid import Grid
from pipelines.model.recognise import Head
from pipelines.values import F32, U8, ColorMatrix, ColorRange, ModelCard

Array = npt.NDArray[Any]


def synthetic_planes(wh: tuple[int, int], seed: int) -> U8:
    """(h * 3 / 2, w) uint8: shaded, with rectangles, noise and colours, some of them out of gamut. Deterministic."""
    rng = np.random.default_rng(seed)
    w, h = wh
    planes = []
    for height, width in ((h, w), (h // 2, w // 2), (h // 2, w // 2)):
        y, x = np.mgrid[0:height, 0:width]
        plane = 128 + 60 * np.sin(x / width * rng.uniform(2, 9)) * np.cos(y / height * rng.uniform(2, 9))
        for _ in range(12):
            top, left = int(rng.integers(0, height)), int(rng.integers(0, width))
            bottom, right = top + int(rng.integers(2, height // 2 + 3)), left + int(rng.integers(2, width // 3 + 3))
            plane[top:bottom, left:right] = rng.uniform(0, 255)
        plane += rng.normal(0, 6, plane.shape)
        planes.append(np.clip(plane, 0, 255).astype(np.uint8).ravel())
    return np.concatenate(planes).reshape(h * 3 // 2, w)


def picture(planes: U8, card: ModelCard, color_range: ColorRange, matrix: ColorMatrix) -> F32:
    """(3, h, w) float32 as the original model wants it, from planes (h * 3 / 2, w): nearest chroma, clipped RGB."""
    h, w = card.input_h, card.input_w
    flat = planes.reshape(-1).astype(np.float32)
    y = flat[: h * w].reshape(h, w)
    u, v = (c.reshape(h // 2, w // 2).repeat(2, 0).repeat(2, 1) for c in np.split(flat[h * w :], 2))
    by_y, by_u, by_v, bias = (column[:, None, None] for column in affine(card, color_range, matrix).T)
    values = by_y * y + ((by_u * u + by_v * v) + bias)
    black, white = (card.scale * level + np.array(card.offset)[:, None, None] for level in (0, 255))
    std = np.array(card.std)[:, None, None]
    return np.asarray(np.clip(values, black / std, white / std), np.float32)


def candidates(outputs: Mapping[str, Array], head: Head, wh: tuple[int, int]) -> F32:
    """All candidates of a batch of one, (n, 6) float32: x0 y0 x1 y1 px, score, class; in the model's order."""
    family = head.family
    rows = outputs[head.boxes][0].astype(np.float32)
    if family.transposed:
        rows = rows.T
    boxes = _boxes(rows[:, :4], family.box, head.grid, wh)
    if family.labelled:
        split = head.boxes != head.scores
        score = outputs[head.scores][0] if split else rows[:, 4]
        label = outputs[head.labels][0] if split else rows[:, 5]
    else:
        table = outputs[head.scores][0] if family.logits else rows[:, 4 + family.objectness :]
        label, score = table.argmax(1), table.max(1).astype(np.float32)
        if family.objectness:
            score = score * rows[:, 4]
        if family.logits:
            score = 1 / (1 + np.exp(-score))
    return np.column_stack([boxes, score, label]).astype(np.float32)


def _boxes(raw: F32, kind: str, grid: Grid | None, wh: tuple[int, int]) -> F32:
    if kind == "xyxy_px":
        return raw
    center, size = raw[:, :2], raw[:, 2:]
    if kind == "grid" and grid is not None:
        start = 0
        center, size = center.copy(), size.copy()
        for stride, (rows, columns) in zip(grid.strides, grid.levels(wh), strict=True):
            for row in range(rows):
                line = slice(start, start + columns)
                center[line] = (center[line] + np.stack([np.arange(columns), np.full(columns, row)], 1)) * stride
                size[line] = np.exp(size[line]) * stride
                start += columns
    elif kind == "cxcywh_unit":
        center, size = center * np.array(wh, np.float32), size * np.array(wh, np.float32)
    return np.concatenate([center - size / 2, center + size / 2], axis=1).astype(np.float32)
