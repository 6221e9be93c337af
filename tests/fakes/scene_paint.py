"""Paints a scene's pictures straight into I420 planes: exact colours, exact edges, no swscale.

The RGB to YUV arithmetic is written out here on purpose, not taken from the product: a mistake there must not cancel.
Sources: ITU-R BT.601-7 2.5, BT.709-6 3 and table 4. Chroma is the mean of its 2 x 2 block (centre siting).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.values import F32, U8, ColorMatrix, ColorRange

CLASSES: dict[str, tuple[float, float, float]] = {
    "coral": (0.94, 0.34, 0.38),
    "violet": (0.66, 0.30, 0.94),
    "cyan": (0.22, 0.94, 0.94),
    "lime": (0.54, 0.94, 0.06),
}
"""Class name to RGB 0..1. A quarter turn of hue apart, so that one linear test tells them apart, and chosen (by search)
so that a wrong range, matrix or channel order moves every one of them by at least 0.059 in some channel."""

Luma = npt.NDArray[np.float64]


def to_yuv(rgb: npt.ArrayLike, color_range: ColorRange, matrix: ColorMatrix) -> npt.NDArray[np.float64]:
    """(..., 3) RGB 0..1 to (..., 3) Y, U, V in 8-bit code values, not rounded."""
    r, g, b = np.moveaxis(np.asarray(rgb, np.float64), -1, 0)
    kr, kb = (0.299, 0.114) if matrix is ColorMatrix.BT601 else (0.2126, 0.0722)
    y = kr * r + (1 - kr - kb) * g + kb * b
    u = (b - y) / (2 * (1 - kb))
    v = (r - y) / (2 * (1 - kr))
    if color_range is ColorRange.FULL:
        return np.stack([255 * y, 255 * u + 128, 255 * v + 128], -1)
    return np.stack([219 * y + 16, 224 * u + 128, 224 * v + 128], -1)


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A filled rectangle: RGB 0..1, corners in picture pixels (fractions are anti-aliased by area)."""

    rgb: tuple[float, float, float]
    xyxy: tuple[float, float, float, float]


class Painter:
    """Draws pictures of one size and colour space over one background. Deterministic in (seed, index)."""

    def __init__(
        self, wh: tuple[int, int], color_range: ColorRange, matrix: ColorMatrix, noise_sigma: float, seed: int
    ) -> None:
        self._range, self._matrix = color_range, matrix
        self._sigma = noise_sigma
        rng = np.random.default_rng(seed)
        yuv = to_yuv(_texture(wh, rng), color_range, matrix)
        self._background = [yuv[..., 0].astype(np.float32), _halve(yuv[..., 1]), _halve(yuv[..., 2])]
        w, h = wh
        self._shape = (h * 3 // 2, w)
        self._seed = seed
        # One field of noise, rolled differently for each frame: drawing 3 million normals per 1080p frame is too slow.
        self._noise = rng.normal(0.0, noise_sigma, (h * 3 // 2 + 64, w + 64)).round().astype(np.int16)
        self._noise[h:] //= 2

    def paint(self, index: int, rectangles: Iterable[Rectangle]) -> U8:
        """Picture number `index` as one I420 array: (h * 3 / 2, w) uint8, rows contiguous."""
        h, w = self._shape[0] * 2 // 3, self._shape[1]
        planes = [plane.copy() for plane in self._background]
        for rectangle in rectangles:
            color = to_yuv(rectangle.rgb, self._range, self._matrix)
            for plane, value, step in zip(planes, color, (1, 2, 2), strict=True):
                _fill(plane, float(value), [c / step for c in rectangle.xyxy])
        flat = np.concatenate([planes[0].ravel(), planes[1].ravel(), planes[2].ravel()]).reshape(h * 3 // 2, w)
        if self._sigma:
            x, y = np.random.default_rng((self._seed, index)).integers(0, 64, 2)
            flat += self._noise[y : y + h * 3 // 2, x : x + w]
        picture: U8 = np.clip(np.rint(flat), 0, 255).astype(np.uint8)
        return picture


def _texture(wh: tuple[int, int], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """(h, w, 3) RGB 0..1: dark, nearly grey ground with structure at four scales."""
    w, h = wh
    luma = np.full((h, w), 0.25)
    for cells, amplitude in ((4, 0.06), (16, 0.04), (64, 0.03), (160, 0.02)):
        luma += amplitude * _smooth(wh, cells, rng)
    tint = np.stack([0.02 * _smooth(wh, 6, rng) for _ in range(3)], -1)
    return np.clip(luma[..., None] + tint, 0.02, 0.6)


def _smooth(wh: tuple[int, int], cells: int, rng: np.random.Generator) -> Luma:
    coarse = rng.uniform(-1, 1, (cells * wh[1] // max(wh) + 2, cells * wh[0] // max(wh) + 2))
    return np.asarray(cv2.resize(coarse, wh, interpolation=cv2.INTER_LINEAR), np.float64)


def _halve(plane: npt.NDArray[np.float64]) -> F32:
    h, w = plane.shape
    half: F32 = plane.reshape(h // 2, 2, w // 2, 2).mean((1, 3)).astype(np.float32)
    return half


def _fill(plane: F32, value: float, xyxy: list[float]) -> None:
    """Blend a rectangle into a plane by the area of each pixel it covers. Parts outside the plane are cut off."""
    h, w = plane.shape
    x0, x1 = max(0, int(np.floor(xyxy[0]))), min(w, int(np.ceil(xyxy[2])))
    y0, y1 = max(0, int(np.floor(xyxy[1]))), min(h, int(np.ceil(xyxy[3])))
    if x0 >= x1 or y0 >= y1:
        return
    cover = np.outer(_coverage(y0, y1, xyxy[1], xyxy[3]), _coverage(x0, x1, xyxy[0], xyxy[2])).astype(np.float32)
    plane[y0:y1, x0:x1] += cover * (np.float32(value) - plane[y0:y1, x0:x1])


def _coverage(first: int, end: int, low: float, high: float) -> npt.NDArray[np.float64]:
    cell = np.arange(first, end)
    return np.asarray(np.clip(np.minimum(cell + 1, high) - np.maximum(cell, low), 0, 1))
