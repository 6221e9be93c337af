"""What stood long enough is taken as a whole; what fidgets, left or was not watched is not."""

from __future__ import annotations

import numpy as np

from pipelines.gate.standing import Standing
from pipelines.values import U8


def area(y: int, x: int, h: int, w: int) -> U8:
    mask = np.zeros((96, 160), np.uint8)
    mask[y : y + h, x : x + w] = 255
    return mask


CAR = area(40, 60, 20, 30)


def test_a_car_is_taken_with_its_soft_edge_and_only_once() -> None:
    standing = Standing()
    for _ in range(30):
        standing.update(CAR, 1.0)
    assert standing.take(CAR, 30.0) is None
    standing.update(CAR, 1.0)

    region = standing.take(CAR, 30.0)

    assert region is not None
    assert np.array_equal(region, area(38, 58, 24, 34) > 0)
    assert standing.take(CAR, 30.0) is None


def test_what_stood_half_as_long_goes_with_it() -> None:
    """A door of the car moved a while ago."""
    standing = Standing()
    still = CAR.copy()
    still[45:50, 60:70] = 0
    for second in range(31):
        standing.update(still if second < 10 else CAR, 1.0)

    region = standing.take(CAR, 30.0)

    assert region is not None
    assert region[CAR > 0].all()


def test_what_just_moved_stays_until_it_has_stood_too() -> None:
    standing = Standing()
    for second in range(31):
        standing.update(area(40, 60, 20, 30) if second < 25 else area(40, 60, 20, 10), 1.0)

    region = standing.take(CAR, 30.0)

    assert region is not None
    assert region[50, 60]
    assert not region[50, 80]


def test_a_few_calm_pixels_of_a_restless_thing_are_left() -> None:
    standing = Standing()
    for _ in range(40):
        standing.update(area(48, 70, 2, 2), 1.0)

    region = standing.take(CAR, 30.0)

    assert region is None or not region.any()


def test_a_frame_without_change_ends_it() -> None:
    standing = Standing()
    for second in range(40):
        standing.update(None if second == 20 else CAR, 1.0)

    assert standing.take(CAR, 30.0) is None


def test_an_unwatched_hour_proves_nothing() -> None:
    standing = Standing()
    standing.update(CAR, 1.0)
    standing.update(CAR, 3600.0)

    assert standing.take(CAR, 30.0) is None


def test_nothing_stands_at_first() -> None:
    assert Standing().take(CAR, 0.0) is None
