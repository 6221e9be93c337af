"""The rate gate keeps its rate whatever the camera's clock does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.gate.pace import Pacer

MS = 1_000_000


def due_numbers(fps: float, times_ns: list[int]) -> list[int]:
    pacer = Pacer(fps)
    return [number for number, time_ns in enumerate(times_ns) if pacer.due(time_ns)]


def test_zero_means_every_frame() -> None:
    assert due_numbers(0, [0, 5, 5, 3]) == [0, 1, 2, 3]


def test_a_25_fps_camera_at_5_gives_every_fifth_frame() -> None:
    assert due_numbers(5, [i * 40 * MS for i in range(100)]) == list(range(0, 100, 5))


def test_a_25_fps_camera_at_10_alternates_two_and_three() -> None:
    numbers = due_numbers(10, [i * 40 * MS for i in range(101)])

    assert set(np.diff(numbers)) == {2, 3}
    assert len(numbers) == 41


def test_a_slower_camera_loses_nothing() -> None:
    assert len(due_numbers(10, [i * 200 * MS for i in range(50)])) == 50


@given(st.lists(st.integers(-8, 8), min_size=101, max_size=101))
def test_jitter_does_not_move_the_choice(jitter_ms: list[int]) -> None:
    """Frames up to 8 ms early or late: still each fifth one, also when the first frame was the late one."""
    times = [(i * 40 + late) * MS for i, late in enumerate(jitter_ms)]

    assert due_numbers(5, times) == list(range(0, 101, 5))


@settings(max_examples=30)
@given(st.floats(1, 30), st.floats(1, 60), st.integers(0, 2**32))
def test_the_rate_does_not_drift(fps: float, camera_fps: float, seed: int) -> None:
    """Over twenty seconds the share of frames is min(1, fps / camera_fps), to within two frames and three per cent."""
    rng = np.random.default_rng(seed)
    count = int(20 * camera_fps)
    times = (np.arange(count) + rng.uniform(-0.2, 0.2, count)) / camera_fps * 1e9

    got = len(due_numbers(fps, [int(t) for t in times]))

    wanted = count * min(1.0, fps / camera_fps)
    assert wanted * 0.97 - 2 <= got <= wanted * 1.01 + 2


@pytest.mark.parametrize("jump_s", [-3600, -1, 1, 86_400])
def test_a_jump_of_time_starts_a_new_grid(jump_s: int) -> None:
    """The frame after the jump is due, and the rate is right from there on."""
    before = [i * 40 * MS for i in range(50)]
    after = [before[-1] + jump_s * 1000 * MS + i * 40 * MS for i in range(1, 51)]

    numbers = due_numbers(5, before + after)

    assert [n - 50 for n in numbers if n >= 50] == list(range(0, 50, 5))


def test_a_small_step_back_is_jitter() -> None:
    assert due_numbers(5, [0, 40 * MS, 30 * MS, 80 * MS]) == [0]
