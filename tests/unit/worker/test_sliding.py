"""Quantiles of the last numbers, and what lies beyond the largest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.worker.sliding import Sliding


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=60), st.integers(1, 20), st.floats(0, 1))
def test_it_is_the_sorted_end_of_the_sequence(numbers: list[float], length: int, share: float) -> None:
    window = Sliding(length, numbers)
    kept = sorted(numbers[-length:])

    assert len(window) == len(kept)
    assert window.share_above(kept[-1]) == 0
    mark = window.quantile(share)
    assert mark in kept
    assert sum(n <= mark for n in kept) >= share * len(kept) - 1e-6
    assert window.share_above(mark) == pytest.approx(sum(n > mark for n in kept) / len(kept))


def test_common_marks_are_the_quantiles() -> None:
    window = Sliding(100, (float(n) for n in range(1, 101)))
    assert window.exceeded(0.5) == 50
    assert window.exceeded(0.1) == 90


def test_rare_marks_lie_a_bounded_way_beyond_the_largest() -> None:
    window = Sliding(1000, [1.0] * 89 + [2.0] * 9 + [4.0] * 2)
    assert window.exceeded(0.01) == 4
    assert window.exceeded(0.001) == 6  # 4 * (4 / 2) is more than half beyond the largest


def test_rare_marks_are_never_below_what_was_seen() -> None:
    window = Sliding(1000, [1.0] * 999 + [50.0])
    assert window.exceeded(0.0005) == 50
    assert window.exceeded(0.002) < 2
