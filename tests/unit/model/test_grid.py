"""Cells, and constants that follow them to another size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.model.grid import Grid, cell_table, find_grid, refit_flat, refit_plane
from pipelines.values import F32

SIDE = st.integers(1, 12).map(lambda n: 32 * n)


@pytest.mark.parametrize(
    ("candidates", "wh", "strides", "anchors"),
    [
        (3549, (416, 416), (8, 16, 32), 1),
        (8400, (640, 640), (8, 16, 32), 1),
        (25200, (640, 640), (8, 16, 32), 3),
        (2080, (416, 256), (8, 16), 1),
    ],
)
def test_known_heads(candidates: int, wh: tuple[int, int], strides: tuple[int, ...], anchors: int) -> None:
    assert find_grid(candidates, wh) == Grid(strides, anchors)


@pytest.mark.parametrize(
    ("candidates", "wh"), [(300, (640, 640)), (300, (640, 480)), (8400, (640, 384)), (3549, (417, 416))]
)
def test_no_grid(candidates: int, wh: tuple[int, int]) -> None:
    assert find_grid(candidates, wh) is None


def test_cells_run_by_row_finest_first() -> None:
    table = cell_table(Grid((8, 16)), (32, 16))

    assert table.tolist() == [
        [0, 0, 8], [1, 0, 8], [2, 0, 8], [3, 0, 8], [0, 1, 8], [1, 1, 8], [2, 1, 8], [3, 1, 8], [0, 0, 16], [1, 0, 16]
    ]  # fmt: skip


@given(st.tuples(SIDE, SIDE), st.tuples(SIDE, SIDE), st.floats(0.5, 4))
def test_a_grid_constant_follows_the_size(old: tuple[int, int], new: tuple[int, int], factor: float) -> None:
    """(column + 0.5) * stride * factor, and the stride itself, as exporters write them."""
    grid = Grid((8, 16))

    def constant(wh: tuple[int, int]) -> F32:
        table = cell_table(grid, wh)
        return ((table + np.float32(0.5)) * np.float32(factor) * table[:, 2:]).T[None]

    fitted = refit_flat(constant(old), 2, grid, old, new)

    assert fitted is not None
    np.testing.assert_allclose(fitted, constant(new), rtol=1e-4)


def test_anchors_stay_apart() -> None:
    """Three anchors per cell: each is a plane of its own."""
    grid = Grid((8,), anchors=3)
    values = np.repeat([10.0, 20.0, 30.0], 4)[None]

    fitted = refit_flat(values, 1, grid, (16, 16), (24, 16))

    assert fitted is not None
    assert fitted.tolist() == [[10.0] * 6 + [20.0] * 6 + [30.0] * 6]


def test_what_is_no_plane_is_not_refitted() -> None:
    noise = np.random.default_rng(0).normal(size=(1, 4, 6, 2))

    assert refit_plane(noise, 1, (8, 8)) is None
    assert refit_plane(np.zeros((1, 6)), 0, (2, 6)) is None, "one row says nothing about the second"
