"""Mean and least of the last packets: by time, and never of fewer than three."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.gate.score_recent import Figures, Recent

SECOND = 1_000_000_000
STEP = SECOND // 25


def figures(values: list[float], step_ns: int = STEP, window_ns: int = 9 * STEP) -> list[Figures | None]:
    recent = Recent(window_ns)
    return [recent.add(value, n * step_ns) for n, value in enumerate(values)]


def test_it_says_nothing_until_the_window_was_seen() -> None:
    found = figures([1.0] * 12)

    assert [one is None for one in found] == [True] * 9 + [False] * 3


def test_one_small_packet_is_the_least_until_it_leaves_the_window() -> None:
    values = [2.0] * 10 + [0.0] + [2.0] * 12

    found = figures(values)

    small = [n for n, one in enumerate(found) if one is not None and one.least == 0.0]
    late = [n for n, one in enumerate(found) if one is not None and one.least_of_late == 0.0]
    assert small == list(range(10, 19))
    assert late == list(range(10, 15))


@pytest.mark.parametrize("fps", [1, 5])
def test_a_slow_stream_is_judged_by_three_packets(fps: int) -> None:
    found = figures([3.0, 0.0, 1.0, 2.0, 5.0], SECOND // fps, SECOND // 10)

    last = found[-1]
    assert last is not None
    assert [last.mean, last.least, last.least_of_late] == pytest.approx([8 / 3, 1.0, 1.0])


@given(st.lists(st.floats(-1, 1), min_size=20, max_size=60))
def test_the_figures_are_those_of_the_window(values: list[float]) -> None:
    found = figures(values)[-1]

    assert found is not None
    assert found.mean == pytest.approx(sum(values[-9:]) / 9, abs=1e-9)
    assert found.least == min(values[-9:])
    assert found.least <= found.least_of_late == min(values[-5:])
