"""A slow worker gets fewer tasks at once, never none, and all of them back when it is quick again."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transport.window import Window, WindowOptions

MS = 1_000_000
OPTIONS = WindowOptions(target_ms=100.0)


@given(st.integers(1, 64), st.lists(st.tuples(st.integers(0, 400 * MS), st.booleans()), max_size=300))
def test_it_stays_between_one_and_the_slots(slots: int, answers: list[tuple[int, bool]]) -> None:
    window = Window(OPTIONS, slots)
    for turnaround_ns, late in answers:
        before = window.size
        window.answered(turnaround_ns, late)
        assert 1 <= window.size <= slots
        if turnaround_ns <= 100 * MS and not late:
            assert window.size >= before
        else:
            assert window.size <= before
            assert window.size >= before * 3 // 4


@given(st.integers(1, 64))
def test_all_late_ends_at_one_and_all_in_time_at_the_slots(slots: int) -> None:
    window = Window(OPTIONS, slots)
    for _ in range(20 * slots):
        window.answered(101 * MS)
    assert window.size == 1
    for _ in range(slots * slots):
        window.answered(100 * MS)
    assert window.size == slots


def simulated(service_ms: float, slots: int = 32, answers: int = 3000) -> tuple[float, float]:
    """One worker, one task at a time, a sender that always has more: (mean ms of the last answers, its load)."""
    window, now_ns, busy_until_ns, busy_ns = Window(OPTIONS, slots), 0, 0, 0
    out: list[tuple[int, int]] = []
    turnarounds: list[float] = []
    while len(turnarounds) < answers:
        while len(out) < window.size:
            end_ns = max(now_ns, busy_until_ns) + int(service_ms * MS)
            busy_ns, busy_until_ns = busy_ns + int(service_ms * MS), end_ns
            heapq.heappush(out, (end_ns, now_ns))
        now_ns, sent_ns = heapq.heappop(out)
        turnarounds.append((now_ns - sent_ns) / MS)
        window.answered(now_ns - sent_ns)
    return sum(turnarounds[-1000:]) / 1000, busy_ns / now_ns


@pytest.mark.parametrize("service_ms", [1.0, 5.0, 10.0, 40.0])
def test_a_slow_worker_is_kept_busy_and_in_time(service_ms: float) -> None:
    mean_ms, load = simulated(service_ms)
    assert mean_ms <= 105, "in time, but for the moments in which it finds out"
    assert load > 0.99


def test_a_worker_that_cannot_make_it_alone_has_one_task() -> None:
    mean_ms, _ = simulated(150.0, answers=1500)
    assert mean_ms < 200
