"""What keeps a camera awake: what the picture gates see, unless the detector denies it for a while."""

from __future__ import annotations

import pytest

from pipelines.attention import Attention

S = 1_000_000_000


def answers(attention: Attention, first_s: float, last_s: float, wanted_s: float = 0.0, alive: bool = False) -> None:
    """Five a second; the newest picture with something wanted was at `wanted_s`."""
    for n in range(int((last_s - first_s) * 5) + 1):
        attention.answered(round((first_s + n / 5) * S), round(wanted_s * S), alive)


def test_what_the_gates_see_counts_now() -> None:
    assert Attention().last_there_ns(7 * S, seen=True, moving=True) == 7 * S


def test_nothing_seen_and_no_episode_is_nothing() -> None:
    assert Attention().last_there_ns(7 * S, seen=False, moving=True) is None


def test_what_the_detector_denies_for_three_seconds_does_not_count() -> None:
    attention = Attention()
    answers(attention, 10, 12.8)
    assert attention.last_there_ns(13 * S, seen=True, moving=True) == 13 * S
    answers(attention, 13, 13.2)
    assert attention.last_there_ns(round(13.4 * S), seen=True, moving=True) is None


def test_what_it_found_is_not_denied_for_three_seconds_more() -> None:
    attention = Attention()
    answers(attention, 10, 16, wanted_s=14)
    assert attention.last_there_ns(round(16.2 * S), seen=True, moving=True) == round(16.2 * S)


def test_answers_of_before_a_sleep_deny_nothing_after_it() -> None:
    attention = Attention()
    answers(attention, 10, 15)
    assert attention.last_there_ns(40 * S, seen=True, moving=True) == 40 * S
    answers(attention, 40, 40.2)
    assert attention.last_there_ns(round(40.4 * S), seen=True, moving=True) == round(40.4 * S)


def test_while_nobody_answers_the_gates_are_believed() -> None:
    attention = Attention()
    answers(attention, 10, 15)
    assert attention.last_there_ns(round(16.5 * S), seen=True, moving=True) == round(16.5 * S)


@pytest.mark.parametrize(("moving", "there_s"), [(True, 11), (False, 12)])
def test_of_an_episode_what_moved_has_left_and_what_stood_still_may_come_back(moving: bool, there_s: int) -> None:
    attention = Attention()
    attention.last_there_ns(10 * S, seen=True, moving=True)
    answers(attention, 10, 11, wanted_s=11, alive=True)
    assert attention.last_there_ns(12 * S, seen=False, moving=moving) == there_s * S


def test_what_has_been_parked_lets_the_camera_sleep() -> None:
    attention = Attention()
    attention.last_there_ns(10 * S, seen=True, moving=True)
    answers(attention, 19, 20, wanted_s=20, alive=True)
    assert attention.last_there_ns(round(19.9 * S), seen=False, moving=False) == round(19.9 * S)
    assert attention.last_there_ns(round(20.1 * S), seen=False, moving=False) is None


def test_a_new_clock_begins_anew() -> None:
    attention = Attention()
    answers(attention, 10, 15)
    attention.restart()
    assert attention.last_there_ns(1 * S, seen=True, moving=True) == 1 * S
