"""Asleep, waking, awake: every row of the table, on virtual time."""

from __future__ import annotations

from pipelines.gate.sleep import Gate, SleepGate, SleepOptions
from pipelines.values import Action

S = 1_000_000_000
OPTIONS = SleepOptions(threshold=2.5, hold_s=3, look_s=0.6, heartbeat_s=15)


def admit(
    gate: SleepGate, at_s: float, score: float = 0.0, key: bool = False, whole: bool = True, ungateable: str = ""
) -> Action:
    return gate.admit(score, key, whole, ungateable, int(at_s * S))


def asleep() -> SleepGate:
    """A gate that fell asleep at 4 s."""
    gate = SleepGate(OPTIONS)
    assert admit(gate, 0, ungateable="learning") is Action.DECODE
    assert admit(gate, 3) is Action.DECODE
    assert admit(gate, 4) is Action.SLEEP
    assert gate.state is Gate.ASLEEP
    return gate


def test_starts_awake_and_falls_asleep_after_the_hold() -> None:
    gate = asleep()
    assert admit(gate, 5) is Action.SLEEP


def test_a_high_score_wakes_with_the_kept_group() -> None:
    gate = asleep()
    assert admit(gate, 5, score=2.4) is Action.SLEEP
    assert admit(gate, 5.04, score=2.5) is Action.DECODE
    assert admit(gate, 5.08) is Action.DECODE


def test_without_a_whole_group_it_waits_for_the_next_key_frame() -> None:
    gate = asleep()
    assert admit(gate, 5, score=9, whole=False) is Action.SLEEP
    assert gate.state is Gate.WAKING
    assert admit(gate, 5.04, whole=False) is Action.SLEEP
    assert admit(gate, 6, key=True, whole=True) is Action.DECODE


def test_what_the_pictures_show_prolongs_the_hold() -> None:
    gate = asleep()
    admit(gate, 5, score=9)
    gate.seen(7 * S)
    assert admit(gate, 9.9) is Action.DECODE
    assert admit(gate, 10.1) is Action.SLEEP
    assert gate.statistics().false_wakes == 1  # the one from the start, which saw nothing


def test_what_the_score_alone_woke_is_looked_at_and_no_longer() -> None:
    gate = asleep()
    admit(gate, 5, score=9)
    assert admit(gate, 5.6) is Action.DECODE
    assert admit(gate, 5.7) is Action.SLEEP
    assert gate.statistics().false_wakes == 2


def test_it_stays_awake_while_the_score_would_wake_it_at_once_again() -> None:
    gate = asleep()
    admit(gate, 5, score=9)
    assert admit(gate, 5.7, score=0.8 * OPTIONS.threshold) is Action.DECODE
    assert admit(gate, 6.2) is Action.DECODE
    assert admit(gate, 6.4, score=0.6 * OPTIONS.threshold) is Action.SLEEP
    assert gate.statistics().wakes == 1


def test_waking_asks_for_more_the_more_there_is_to_catch_up_with() -> None:
    behind = [0.0, 0.5, 1.0, 2.0, 4.0]
    asks = [asleep().asks(behind_s) for behind_s in behind]

    assert asks == sorted(asks)
    assert asks[2] == OPTIONS.threshold
    assert asks[0] < 0.7 * OPTIONS.threshold
    assert asleep().asks(100) == asleep().asks(50) < 3 * OPTIONS.threshold
    for behind_s, least in zip(behind, asks, strict=True):
        for score, action in ((0.99 * least, Action.SLEEP), (least, Action.DECODE)):
            assert asleep().admit(score, False, True, "", 5 * S, behind_s) is action


def test_heartbeats_are_key_frames_at_their_distance() -> None:
    gate = asleep()
    times = [t for t in range(5, 70, 2) if admit(gate, t, key=True) is Action.GLANCE]
    assert times == [19, 35, 51, 67]
    assert admit(gate, 90, key=False) is Action.SLEEP


def test_something_seen_in_a_glance_wakes() -> None:
    gate = asleep()
    assert admit(gate, 20, key=True) is Action.GLANCE
    gate.seen(20 * S)
    assert admit(gate, 20.04) is Action.DECODE


def test_a_trigger_keeps_awake_until_it_ends() -> None:
    gate = asleep()
    gate.trigger(30 * S)
    assert admit(gate, 5) is Action.DECODE
    assert admit(gate, 29) is Action.DECODE
    assert admit(gate, 31.9) is Action.DECODE
    assert admit(gate, 32.1) is Action.SLEEP


def test_a_stream_that_cannot_be_gated_stays_awake_and_says_why() -> None:
    gate = SleepGate(OPTIONS)
    assert all(admit(gate, t, ungateable="no key frames") is Action.DECODE for t in range(100))
    assert gate.statistics().reason == "no key frames"


def test_a_new_connection_starts_awake() -> None:
    gate = asleep()
    gate.restart()
    assert admit(gate, 100) is Action.DECODE


def test_a_key_frame_that_comes_before_the_catch_up_would_be_done_is_waited_for() -> None:
    gate = asleep()
    assert gate.admit(99, False, True, "", 5 * S, behind_s=1.88, key_in_s=0.12) is Action.SLEEP
    assert gate.state is Gate.WAKING
    assert gate.admit(0, False, True, "", int(5.04 * S), behind_s=1.92, key_in_s=0.08) is Action.SLEEP
    assert gate.admit(0, True, True, "", int(5.12 * S), behind_s=0.0, key_in_s=2.0) is Action.DECODE


def test_a_key_frame_that_is_overdue_is_not_waited_for() -> None:
    gate = asleep()
    assert gate.admit(99, False, True, "", 5 * S, behind_s=1.96, key_in_s=0.04) is Action.SLEEP
    assert gate.admit(0, False, True, "", int(5.04 * S), behind_s=2.0, key_in_s=0.0) is Action.DECODE


def test_of_a_long_group_no_more_than_a_third_of_a_second_is_waited_for() -> None:
    assert asleep().admit(99, False, True, "", 5 * S, behind_s=9.6, key_in_s=0.4) is Action.DECODE
    assert asleep().admit(99, False, True, "", 5 * S, behind_s=9.7, key_in_s=0.28) is Action.SLEEP


def test_who_is_woken_from_outside_does_not_wait_for_a_key_frame() -> None:
    gate = asleep()
    gate.trigger(6 * S)
    assert gate.admit(0, False, True, "", 5 * S, behind_s=1.9, key_in_s=0.1) is Action.DECODE


def test_what_a_decoder_gives_out_late_does_not_wake_again() -> None:
    late, fresh = asleep(), asleep()
    late.seen(int(0.9 * S))
    assert late.state is Gate.ASLEEP
    fresh.seen(int(3.9 * S))
    assert fresh.state is Gate.WAKING
