"""Scene time: even steps in spite of B-frames, never back, whatever cameras do with their clocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.gate.sceneclock import SceneClock

MS = 1_000_000


def test_b_frames_do_not_make_time_jump() -> None:
    clock = SceneClock(paced=True)
    arrivals = [1000, 1080, 1120, 1040, 1200, 1240, 1160]  # of I B B P B B P in presentation order
    times = [clock.time_ns(n * 40 * MS, a * MS) for n, a in enumerate(arrivals)]
    assert times == [(1000 + 40 * n) * MS for n in range(7)]


def test_a_new_connection_goes_on_from_its_arrival() -> None:
    clock = SceneClock(paced=True)
    assert clock.time_ns(90_000 * MS, 1000 * MS) == 1000 * MS
    clock.restart()
    assert clock.time_ns(0, 5000 * MS) == 5000 * MS
    assert clock.time_ns(40 * MS, 5041 * MS) == 5040 * MS


def test_a_jump_of_the_cameras_clock_is_laid_on_arrival_anew() -> None:
    clock = SceneClock(paced=True)
    clock.time_ns(0, 1000 * MS)
    assert clock.time_ns(3_600_000 * MS, 1040 * MS) == 1040 * MS


def test_a_fast_file_has_media_time() -> None:
    clock = SceneClock(paced=False)
    assert [clock.time_ns(n * 40 * MS, n * MS) for n in range(3)] == [0, 40 * MS, 80 * MS]


def test_without_timestamps_arrival_has_to_do() -> None:
    clock = SceneClock(paced=False)
    assert clock.time_ns(None, 7) == 7


@given(st.booleans(), st.lists(st.tuples(st.none() | st.integers(0, 10**12), st.integers(0, 10**12)), max_size=50))
def test_time_never_goes_back(paced: bool, frames: list[tuple[int | None, int]]) -> None:
    clock = SceneClock(paced)
    times = [clock.time_ns(pts, arrival) for pts, arrival in frames]
    assert times == sorted(times)
