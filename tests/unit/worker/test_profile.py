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


def test_batching_pays_only_when_measured() -> None:
    p = BatchProfile()
    p.record(1, 10)
    assert not p.batching_pays()
    p.record(4, 39)
    assert not p.batching_pays()
    p.record(4, 20)
    for _ in range(64):
        p.record(4, 20)
    assert p.batching_pays()
    assert p.table() == {1: 10, 4: 20}
