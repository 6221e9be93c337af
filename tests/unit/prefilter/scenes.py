"""Luma pictures for the validity tests: a street by day, at night, in fog; walls; what covers a lens."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.preprocess.thumbnail import luma_thumbnail
from pipelines.values import U8

HW = (270, 480)
Luma = npt.NDArray[np.float64]


@cache
def street() -> Luma:
    """Rectangles of all sizes and levels between 40 and 220: strong edges, much detail."""
    rng = np.random.default_rng(0)
    picture = np.full(HW, 130.0)
    for _ in range(250):
        x, y = rng.integers(0, HW[1]), rng.integers(0, HW[0])
        w, h = rng.integers(5, 60, 2)
        picture[y : y + h, x : x + w] = rng.uniform(40, 220)
    smooth: Luma = cv2.GaussianBlur(picture, (0, 0), 0.8)
    return smooth


def wall(level: float = 150.0) -> Luma:
    """A plain wall, a little brighter at one end."""
    return np.tile(np.linspace(level - 10, level + 10, HW[1]), (HW[0], 1))


def night(street_share: float = 0.06) -> Luma:
    """What is left of the street without a lamp."""
    return 16 + (street() - 16) * street_share


def light_at(picture: Luma, x: int, y: int, size_px: int = 4) -> Luma:
    lit = picture.copy()
    lit[y : y + size_px, x : x + size_px] = 230
    return lit


def shot(picture: Luma, seed: int, sigma: float = 3.0) -> tuple[U8, U8]:
    """(y plane, thumbnail) of the picture as a sensor with noise gives it. Each seed has its own noise."""
    y = np.clip(np.rint(picture + sigma * np.roll(_noise(), seed * 10_007)), 0, 255).astype(np.uint8)
    return y, luma_thumbnail(y)


@cache
def _noise() -> Luma:
    return np.random.default_rng(0).normal(0, 1, HW)
