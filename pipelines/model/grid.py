"""Geometry of detector heads: cells per stride, and constants that follow the grid. Pure numpy.

A head looks at the picture in cells of its strides (8, 16, 32 ... px), row by row, finest stride first, and gives
`anchors` candidates per cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.values import F32

Array = npt.NDArray[Any]

STRIDE_SETS = ((8, 16, 32), (8, 16), (16, 32), (8, 16, 32, 64), (4, 8, 16, 32))
LEVEL_STRIDES = (1, 2, 4, 8, 16, 32, 64)
"""Strides at which a network may have a feature map."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The cells of one head."""

    strides: tuple[int, ...]
    anchors: int = 1

    def levels(self, wh: tuple[int, int]) -> list[tuple[int, int]]:
        """(rows, columns) of each stride, for an input of (w, h) px."""
        return [(wh[1] // s, wh[0] // s) for s in self.strides]

    def candidates(self, wh: tuple[int, int]) -> int:
        return self.anchors * sum(h * w for h, w in self.levels(wh))


def find_grid(candidates: int, wh: tuple[int, int]) -> Grid | None:
    """The grid that has this many candidates at this input size, or None."""
    for anchors in (1, 3):
        for strides in STRIDE_SETS:
            fits = wh[0] % strides[-1] == 0 and wh[1] % strides[-1] == 0
            grid = Grid(strides, anchors)
            if fits and grid.candidates(wh) == candidates:
                return grid
    return None


def cell_table(grid: Grid, wh: tuple[int, int]) -> F32:
    """(n, 3) float32: column, row, stride of each cell. Order of YOLOX: strides, then rows, then columns."""
    parts = []
    for stride, (rows, columns) in zip(grid.strides, grid.levels(wh), strict=True):
        y, x = np.divmod(np.arange(rows * columns), columns)
        parts.append(np.stack([x, y, np.full_like(x, stride)], axis=1))
    return np.concatenate(parts).astype(np.float32)


def refit_flat(values: Array, axis: int, grid: Grid, old: tuple[int, int], new: tuple[int, int]) -> Array | None:
    """A constant that runs over all candidates along `axis`, evaluated for a new input size.

    Candidates of one level are ordered anchor, row, column. Returns None if the values are not an affine function of
    row and column on each level and anchor: then they cannot be known at another size.
    """
    rows = np.moveaxis(values, axis, -1)
    parts, start = [], 0
    for old_hw, new_hw in zip(grid.levels(old), grid.levels(new), strict=True):
        count = grid.anchors * old_hw[0] * old_hw[1]
        level = rows[..., start : start + count].reshape(*rows.shape[:-1], grid.anchors, *old_hw)
        start += count
        fitted = refit_plane(level, level.ndim - 2, new_hw)
        if fitted is None:
            return None
        parts.append(fitted.reshape(*rows.shape[:-1], -1))
    return np.ascontiguousarray(np.moveaxis(np.concatenate(parts, axis=-1), -1, axis))


def refit_plane(values: Array, axis: int, new_hw: tuple[int, int]) -> Array | None:
    """A constant with rows on `axis` and columns on `axis + 1`, evaluated for another number of each. None as above."""
    plane = np.moveaxis(values, (axis, axis + 1), (-2, -1)).astype(np.float64)
    h, w = plane.shape[-2:]
    first = plane[..., :1, :1]
    per_row = (plane[..., -1:, :1] - first) / max(h - 1, 1)
    per_column = (plane[..., :1, -1:] - first) / max(w - 1, 1)

    def at(rows: int, columns: int) -> Array:
        y, x = np.arange(rows)[:, None], np.arange(columns)
        return np.asarray(first + per_row * y + per_column * x)

    known = (h > 1 or new_hw[0] == 1) and (w > 1 or new_hw[1] == 1)
    if not known or not np.allclose(at(h, w), plane, rtol=1e-5, atol=1e-4):
        return None
    return np.ascontiguousarray(np.moveaxis(at(*new_hw), (-2, -1), (axis, axis + 1)).astype(values.dtype))
