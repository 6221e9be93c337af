"""Batch times are measured by size; drift is followed at sizes that do not run; surprises bound what is promised."""

from __future__ import annotations

import random

import pytest

from pipelines.worker.profile import BatchProfile

US = 1_000


def profile(*points: tuple[int, int], times: int = 20) -> BatchProfile:
    out = BatchProfile()
    for _ in range(times):
        for size, elapsed_us in points:
            out.record(size, elapsed_us * US)
    return out


def test_nothing_measured_expects_nothing() -> None:
    p = BatchProfile()
    assert p.expected_ns(4) == p.bound_ns(4, 0.001) == p.risk(4, 1) == p.best_cost_ns(8) == 0
    assert p.plateau(8) == 8
    assert p.table() == {}


def test_until_known_better_a_batch_may_take_far_longer() -> None:
    p = profile((1, 100))
    assert p.expected_ns(1) == pytest.approx(100 * US)
    assert p.bound_ns(1, 0.001) == pytest.approx(450 * US)
    assert p.risk(1, 250 * US) > 0
    assert p.risk(1, 301 * US) == 0


def test_a_slower_engine_is_noticed_at_sizes_that_did_not_run() -> None:
    p = profile((1, 100), (8, 240))
    for _ in range(12):
        p.record(1, 300 * US)
    assert p.expected_ns(8) == pytest.approx(3 * 240 * US, rel=0.1)
    assert p.table()[8] >= 3 * 240 * US * 0.9


def test_and_so_is_one_that_recovers() -> None:
    p = profile((1, 100))
    for elapsed_us in [300] * 12 + [100] * 25:
        p.record(1, elapsed_us * US)
    assert p.expected_ns(1) == pytest.approx(100 * US, rel=0.1)


def test_the_bound_is_kept_as_often_as_asked() -> None:
    """Times with a heavy tail and slow spells: what is exceeded with probability 1 % is exceeded about so often."""
    rng = random.Random(1)
    p, spell, exceeded, count = BatchProfile(), 1.0, 0, 4000
    for number in range(count):
        if rng.random() < 0.02:
            spell = rng.choice((1.0, 1.0, 2.0))
        size = rng.choice((1, 2, 4, 8))
        elapsed_ns = int((4 + size) * spell * rng.lognormvariate(0, 0.25) * 1e6)
        exceeded += number > 500 and elapsed_ns > p.bound_ns(size, 0.01)
        p.record(size, elapsed_ns)
    assert 0.002 < exceeded / count < 0.02


def test_the_table_says_within_what_99_of_100_end() -> None:
    p = profile((1, 100), times=300)
    assert p.table() == {1: pytest.approx(100 * US)}


def test_a_size_hardly_measured_may_be_as_cheap_as_the_line_has_it() -> None:
    """What seems dear is not run, and what is not run stays mismeasured."""
    p = profile((1, 100), (2, 120), (4, 160), times=150)
    p.record(8, 900 * US)
    assert p.expected_ns(8) > 1.05 * 240 * US
    assert p.cost_ns(8) <= 32 * US
    assert p.best_cost_ns(8) == p.cost_ns(8) < p.cost_ns(4)


def test_a_size_often_measured_is_as_dear_as_it_was() -> None:
    p = profile((1, 100), (2, 190), (4, 500), times=150)
    assert p.cost_ns(4) == pytest.approx(125 * US, rel=0.01)
    assert p.best_cost_ns(4) == pytest.approx(95 * US, rel=0.01)


def test_plateau() -> None:
    assert profile((1, 100), (2, 120), (4, 160), (8, 315), times=150).plateau(8) == 4
