"""Masks: a point on the border counts, a polygon may be of any shape, and pixels are covered by their centres."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.event.mask import Polygon, check_polygon, inside, inside_any, rasterise

SQUARE: Polygon = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
L_SHAPE: Polygon = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.5, 0.5), (0.5, 1.0), (0.0, 1.0))


def points(*xy: tuple[float, float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.array(xy, np.float64).reshape(-1, 2)


def test_inside_of_a_concave_polygon() -> None:
    found = inside(points((0.25, 0.75), (0.75, 0.25), (0.75, 0.75)), L_SHAPE)

    assert found.tolist() == [True, True, False]


def test_points_on_the_border_are_inside() -> None:
    """A box clipped at the picture's bottom stands on y = 1 exactly, and a mask drawn down to 1 must take it."""
    edges = points((0.5, 0.25), (0.75, 0.5), (0.5, 0.75), (0.25, 0.5), *SQUARE)

    assert inside(edges, SQUARE).all()


def test_no_points_and_no_polygons() -> None:
    assert inside(points(), SQUARE).shape == (0,)
    assert inside_any(points((0.5, 0.5)), ()).tolist() == [False]


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 3), st.booleans())
def test_neither_the_first_corner_nor_the_direction_matters(x: float, y: float, turn: int, reverse: bool) -> None:
    other = SQUARE[turn:] + SQUARE[:turn]
    other = other[::-1] if reverse else other

    assert inside(points((x, y)), other)[0] == inside(points((x, y)), SQUARE)[0]
    expected = max(abs(x - 0.5), abs(y - 0.5)) <= 0.25
    on_border = abs(max(abs(x - 0.5), abs(y - 0.5)) - 0.25) < 2e-6
    assert on_border or inside(points((x, y)), SQUARE)[0] == expected


def test_rasterised_area_and_place() -> None:
    mask = rasterise([SQUARE], (96, 160))

    assert mask.shape == (96, 160)
    assert mask[24:72, 40:120].all()
    assert mask.sum() == 48 * 80


def test_rasterise_unites_polygons() -> None:
    mask = rasterise([((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)), ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0))], (8, 8))

    assert mask.all()


@pytest.mark.parametrize(
    ("polygon", "advice"),
    [
        (((0.0, 0.0), (1.0, 1.0)), "at least 3 points"),
        (((0.0, 0.0), (640.0, 0.0), (0.0, 360.0)), "divide pixels"),
        (((0.0, 0.0), (math.nan, 0.0), (0.0, 1.0)), "outside 0..1"),
        (((0.5, 0.0), (0.5, 0.4), (0.5, 1.0)), "one line"),
    ],
)
def test_a_bad_polygon_is_refused_with_advice(polygon: Polygon, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        check_polygon(polygon)


def test_a_good_polygon_comes_back() -> None:
    assert check_polygon(L_SHAPE) == L_SHAPE
