"""Batch times are measured, drift is followed, and unseen sizes are estimated on the safe side."""

from __future__ import annotations

from pipelines.worker.profile import BatchProfile


def test_nothing_measured_estimates_nothing() -> None:
    assert BatchProfile().estimate_ns(4) == 0


def test_estimates_come_from_the_slow_end_of_the_samples() -> None:
    p = BatchProfile()
    for elapsed in [10] * 50 + [30] * 5:
        p.record(1, elapsed)
    assert p.estimate_ns(1) == 30


def test_drift_is_forgotten_after_a_window() -> None:
    p = BatchProfile()
    p.record(1, 1_000_000)
    for _ in range(64):
        p.record(1, 10)
    assert p.estimate_ns(1) == 10


def test_unseen_sizes() -> None:
    p = BatchProfile()
    p.record(2, 20)
    p.record(8, 50)
    assert p.estimate_ns(4) == 50
    assert p.estimate_ns(16) == 100


def test_plateau_is_where_larger_batches_stop_being_cheaper() -> None:
    p = BatchProfile()
    assert p.plateau(8) == 8
    p.record(1, 100)
    assert p.plateau(8) == 8
    p.record(2, 120)
    p.record(4, 160)
    p.record(8, 315)
    assert p.plateau(8) == 4
    assert p.plateau(2) == 2
    assert p.table() == {1: 100, 2: 120, 4: 160, 8: 315}


def test_an_engine_that_gains_nothing_runs_one_at_a_time() -> None:
    p = BatchProfile()
    p.record(1, 100)
    p.record(2, 199)
    assert p.plateau(8) == 1
