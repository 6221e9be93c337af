"""Back-off grows, stays in its bounds, and begins again."""

from __future__ import annotations

from pipelines.sink.backoff import Backoff


def test_steps_double_up_to_the_maximum() -> None:
    backoff = Backoff(first_s=1, max_s=5, draw=lambda: 1.0)

    assert [backoff.next_s() for _ in range(5)] == [1, 2, 4, 5, 5]


def test_jitter_never_goes_below_half_a_step() -> None:
    assert Backoff(first_s=1, max_s=5, draw=lambda: 0.0).next_s() == 0.5


def test_reset_begins_again() -> None:
    backoff = Backoff(first_s=1, max_s=5, draw=lambda: 1.0)
    backoff.next_s()
    backoff.next_s()

    backoff.reset()

    assert backoff.next_s() == 1
