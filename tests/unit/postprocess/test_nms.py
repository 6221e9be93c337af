"""Suppression within a class, against the definition written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.postprocess.nms import suppress
from pipelines.values import F32


def iou(a: F32, b: F32) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    both = max(w, 0.0) * max(h, 0.0)
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return float(both / area) if area > 0 else 0.0


def by_definition(rows: F32, limit: float) -> F32:
    kept: list[F32] = []
    for row in rows[np.argsort(-rows[:, 4], kind="stable")]:
        if all(row[5] != k[5] or iou(row, k) <= limit for k in kept):
            kept.append(row)
    return np.array(kept, np.float32).reshape(-1, 6)


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_suppress(count: int) -> None:
    rows = np.ones((count, 6), np.float32)

    assert np.array_equal(suppress(rows, 0.5), rows)


def test_classes_do_not_suppress_each_other() -> None:
    rows = np.array([[0, 0, 10, 10, 0.9, 0], [0, 0, 10, 10, 0.8, 1], [1, 0, 11, 10, 0.7, 0]], np.float32)

    assert suppress(rows, 0.5)[:, 4].tolist() == pytest.approx([0.9, 0.8])


def test_corners_below_zero_stay_in_their_class() -> None:
    """Moved sideways by class, a box left of the picture would meet the class before it."""
    rows = np.array([[80, 80, 100, 100, 0.9, 0], [-20, -20, 0, 0, 0.8, 1]], np.float32)

    assert len(suppress(rows, 0.5)) == 2


BOX = st.tuples(st.integers(-20, 100), st.integers(-20, 100), st.integers(1, 60), st.integers(1, 60), st.integers(0, 2))


@given(st.lists(BOX, max_size=25), st.sampled_from([0.3, 0.5, 0.7]))
def test_it_is_the_definition(boxes: list[tuple[int, int, int, int, int]], limit: float) -> None:
    limit += 0.0137  # no ratio of these integers: rounding cannot decide
    rows = np.array(
        [[x, y, x + w, y + h, 0.9 - 0.01 * i, kind] for i, (x, y, w, h, kind) in enumerate(boxes)], np.float32
    ).reshape(-1, 6)

    assert np.array_equal(suppress(rows[::-1].copy(), limit), by_definition(rows, limit))
