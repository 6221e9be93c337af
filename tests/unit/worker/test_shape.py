"""Batch times by size: a line for what is hardly known, its own median for what is."""

from __future__ import annotations

import pytest

from pipelines.worker.shape import Shape


def shaped(*points: tuple[int, float], times: int = 1) -> Shape:
    shape = Shape()
    for _ in range(times):
        for size, time in points:
            shape.record(size, time)
    return shape


def test_nothing_recorded_says_nothing() -> None:
    assert Shape()(4) == 0


def test_one_size_says_in_proportion() -> None:
    assert shaped((2, 20))(8) == 80


def test_sizes_between_and_beyond_lie_on_the_line() -> None:
    shape = shaped((1, 7), (4, 10))
    assert shape(2) == pytest.approx(8)
    assert shape(8) == pytest.approx(14)


def test_a_step_is_believed_when_it_is_seen_often() -> None:
    """An engine that pads to buckets of 4: no line describes it."""
    steps = ((1, 10), (2, 10), (3, 10), (4, 10), (5, 20), (8, 20))
    few, many = shaped(*steps), shaped(*steps, times=129)
    assert 10 < few(5) < 18
    assert many(5) == 20


def test_one_outlier_moves_no_median() -> None:
    shape = shaped((1, 10), (8, 24), times=9)
    before = shape(8)
    shape.record(8, 500)
    assert shape(8) == pytest.approx(before, rel=0.02)


def test_noise_never_makes_a_negative_time() -> None:
    assert shaped((1, 10), (8, 500))(1) > 0
    falling = shaped((1, 30), (8, 10))
    assert falling(16) >= falling(4) > 0
