from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.source.clock import ArrivalClock, FrameInterval, PtsUnwrapper

MS = 1_000_000
S = 1_000 * MS
FRAME = 40 * MS
START = 1_000 * S


def run(true_ns: list[int], pts_ns: list[int], read_ns: list[int] | None = None) -> list[int]:
    """Errors of the estimated arrivals: estimate - truth, ns."""
    clock = ArrivalClock()
    read_ns = read_ns or true_ns
    return [clock.arrival(now, pts) - true for true, pts, now in zip(true_ns, pts_ns, read_ns, strict=True)]


def test_a_stalled_pump_gets_its_backlog_dated_back() -> None:
    """The pump hangs for 300 ms; seven packets wait in the socket and are read in one go."""
    true = [START + n * FRAME for n in range(500)]
    stall_end = true[400] + 300 * MS
    read = [max(t, stall_end + n) if n >= 400 else t for n, t in enumerate(true)]

    errors = run(true, [n * FRAME for n in range(500)], read)

    assert max(map(abs, errors)) < MS


@pytest.mark.parametrize("ppm", [-200, 200])
def test_drift_does_not_accumulate(ppm: int) -> None:
    """An hour at 200 ppm is 720 ms; the estimate stays within 15 ms, jitter of up to 3 ms included."""
    rng = random.Random(1)
    count = 3600 * 5
    true = [START + n * 200 * MS for n in range(count)]
    read = [t + rng.randrange(3 * MS) for t in true]
    pts = [round((t - START) * (1 + ppm * 1e-6)) for t in true]

    errors = run(true, pts, read)

    assert max(map(abs, errors)) < 15 * MS
    assert max(map(abs, errors[count // 2 :])) < 8 * MS


@pytest.mark.parametrize("jump_s", [-3600, -20, -2, 2, 3600])
def test_relearns_after_a_jump(jump_s: int) -> None:
    """A camera sets its clock: a few packets later the lag is zero again."""
    true = [START + n * FRAME for n in range(200)]
    pts = [2 * 3600 * S + n * FRAME + (jump_s * S if n >= 100 else 0) for n in range(200)]

    errors = run(true, pts)

    assert max(map(abs, errors[:100] + errors[120:])) < MS


def test_a_small_jump_back_is_not_taken_for_reordering_for_ever() -> None:
    true = [START + n * FRAME for n in range(3000)]
    pts = [n * FRAME - (500 * MS if n >= 100 else 0) for n in range(3000)]

    errors = run(true, pts)

    assert max(map(abs, errors[117:])) < MS


def test_b_frames_are_not_late() -> None:
    """Sent in decoding order 3 1 2 6 4 5 ..., one per frame time, none of them waited."""
    true = [START + n * FRAME for n in range(300)]
    pts = [(n // 3 * 3 + (3, 1, 2)[n % 3]) * FRAME for n in range(300)]

    assert max(map(abs, run(true, pts))) < MS


def test_missing_timestamps_arrive_when_they_are_read() -> None:
    clock = ArrivalClock()

    assert [clock.arrival(START + n, None) for n in range(5)] == [START + n for n in range(5)]


@given(st.lists(st.tuples(st.integers(0, 2 * S), st.none() | st.integers(-(10**13), 10**13)), max_size=60))
def test_never_later_than_now_never_backwards(steps: list[tuple[int, int | None]]) -> None:
    clock, now, last = ArrivalClock(), START, 0
    for wait, pts in steps:
        now += wait
        arrival = clock.arrival(now, pts)
        assert last <= arrival <= now
        last = arrival


def test_frame_interval() -> None:
    """In order, with B-frames, after a change of rate, after a jump."""
    steady, reordered, changed, jumped = (FrameInterval() for _ in range(4))

    assert [steady.update(n * FRAME) for n in range(3)] == [0, FRAME, FRAME]
    assert [reordered.update(n * FRAME) for n in (3, 1, 2, 6, 4, 5, 9, 7, 8)][-1] == FRAME
    assert [changed.update(n * FRAME) for n in (1, 2, 3, 4, 6, 8, 10, 12, 14)][-1] == 2 * FRAME
    assert [jumped.update(n) for n in (0, FRAME, 3600 * S)] == [0, FRAME, 0]


@pytest.mark.parametrize("wrap", [1 << 32, 1 << 33])
def test_wrap_around_is_taken_out(wrap: int) -> None:
    ticks = [wrap - 7200 + n * 3600 for n in range(6)]

    unwrapper = PtsUnwrapper()

    assert [unwrapper.unwrap(t % wrap) for t in ticks] == ticks


def test_a_reordered_packet_across_the_wrap() -> None:
    wrap = 1 << 32
    unwrapper = PtsUnwrapper()

    seen = [unwrapper.unwrap(t) for t in (wrap - 3600, 3600, wrap - 1800, 7200)]

    assert seen == [wrap - 3600, wrap + 3600, wrap - 1800, wrap + 7200]


@given(st.lists(st.integers(1, 90_000 * 9), min_size=1, max_size=200), st.sampled_from([1 << 32, 1 << 33]))
def test_many_wraps(steps: list[int], wrap: int) -> None:
    unwrapper, at = PtsUnwrapper(), wrap - 10
    for step in steps:
        assert unwrapper.unwrap(at % wrap) == at
        at += step


def test_other_jumps_pass_through() -> None:
    unwrapper = PtsUnwrapper()

    assert [unwrapper.unwrap(t) for t in (900_000_000, 0, 3600)] == [900_000_000, 0, 3600]
