"""The batch worth waiting for: the smallest whose doubling gains less than 5 %."""

from __future__ import annotations

from pipelines.worker.plateau import doublings, plateau


def test_doublings_end_with_the_largest() -> None:
    assert doublings(1) == [1]
    assert doublings(8) == [1, 2, 4, 8]
    assert doublings(6) == [1, 2, 4, 6]


def test_plateau_is_where_a_doubling_hardly_gains() -> None:
    times = {1: 100, 2: 120, 4: 160, 8: 315}
    assert plateau(lambda n: times[n], [1, 2, 4, 8]) == 4
    assert plateau(lambda n: times[n], [1, 2]) == 2


def test_an_engine_that_gains_nothing_runs_one_at_a_time() -> None:
    assert plateau(lambda n: 100 * n, [1, 2, 4, 8]) == 1


def test_half_a_doubling_must_gain_half_as_much() -> None:
    times = {4: 100, 6: 100 / 4 * 6 * 0.97}
    assert plateau(lambda n: times[n], [4, 6]) == 6


def test_nothing_measured_is_no_reason_to_run_small() -> None:
    assert plateau(lambda n: 0, [1, 2, 4]) == 4
