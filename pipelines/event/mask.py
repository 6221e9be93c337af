"""Polygons on a picture: is a point inside, and which pixels do they cover? Pure.

Coordinates are relative: x and y from 0 (left, top) to 1 (right, bottom), so a mask survives a change of resolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Polygon = tuple[tuple[float, float], ...]
"""Corners in order, clockwise or not; the last is joined to the first. Where it crosses itself, even-odd decides."""

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_ON_EDGE = 1e-6
"""A point this near an edge is inside: boxes clipped to the picture stand exactly on its border."""


def check_polygon(polygon: Polygon) -> Polygon:
    """Return the polygon, or raise ValueError with a sentence that says what to do."""
    if len(polygon) < 3:
        raise ValueError(f"a polygon needs at least 3 points, this one has {len(polygon)}: add points")
    for x, y in polygon:
        if not (math.isfinite(x) and math.isfinite(y) and 0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
            raise ValueError(f"point ({x:g}, {y:g}) is outside 0..1: divide pixels by the picture's width and height")
    if np.ptp([x for x, _ in polygon]) == 0 or np.ptp([y for _, y in polygon]) == 0:
        raise ValueError("all points of the polygon lie on one line: it covers nothing")
    return polygon


def inside(points: Floats, polygon: Polygon) -> Bools:
    """Which points lie in a polygon, border included.

    Args:
        points: (n, 2) float64, relative x, y. n may be 0.

    Returns:
        (n,) bool. Method: even-odd crossings of a ray to the right (W. R. Franklin, "PNPOLY").
    """
    start = np.asarray(polygon, np.float64)
    end = np.roll(start, -1, axis=0)
    px, py = points[:, :1], points[:, 1:]
    (x0, y0), (x1, y1) = start.T, end.T
    spans = (y0 > py) != (y1 > py)
    rise = np.where(y1 == y0, 1.0, y1 - y0)
    crossings = spans & (px < x0 + (py - y0) * (x1 - x0) / rise)
    return np.asarray(crossings.sum(axis=1) % 2 == 1) | _on_border(points, start, end)


def _on_border(points: Floats, start: Floats, end: Floats) -> Bools:
    """Which points lie on an edge: their distance to the nearest point of the edge is next to nothing."""
    edge = end - start
    length2 = np.maximum((edge**2).sum(axis=1), 1e-30)
    along = np.clip(((points[:, None] - start) * edge).sum(axis=2) / length2, 0.0, 1.0)
    nearest = start + along[..., None] * edge
    return np.asarray((np.abs(points[:, None] - nearest).max(axis=2) < _ON_EDGE).any(axis=1))


def inside_any(points: Floats, polygons: Sequence[Polygon]) -> Bools:
    """(n,) bool: which of the (n, 2) points lie in at least one polygon."""
    covered = np.zeros(len(points), np.bool_)
    for polygon in polygons:
        covered |= inside(points, polygon)
    return covered


def rasterise(polygons: Sequence[Polygon], hw: tuple[int, int]) -> Bools:
    """(h, w) bool: the pixels whose centre lies in at least one polygon. For the motion gate's thumbnail."""
    height, width = hw
    y, x = np.mgrid[0:height, 0:width]
    centres = np.stack([(x.ravel() + 0.5) / width, (y.ravel() + 0.5) / height], axis=1)
    return inside_any(centres, polygons).reshape(hw)
