from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from pipelines.source.backoff import Backoff, BackoffOptions

S = 1_000_000_000


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(BackoffOptions(first_s=1, max_s=5, jitter=0))

    assert [backoff.failed(0) for _ in range(5)] == [1, 2, 4, 5, 5]


def test_a_healthy_period_forgives() -> None:
    backoff = Backoff(BackoffOptions(first_s=1, jitter=0, healthy_s=20))
    backoff.failed(0)
    backoff.failed(0)
    backoff.healthy(10 * S)
    backoff.healthy(29 * S)

    assert backoff.failed(30 * S) == 1
    assert backoff.failures == 1


def test_a_short_life_does_not() -> None:
    """A camera that accepts and dies at once must not be hammered."""
    backoff = Backoff(BackoffOptions(first_s=1, jitter=0, healthy_s=20))
    backoff.failed(0)
    backoff.healthy(10 * S)

    assert backoff.failed(29 * S) == 2


@given(st.integers(), st.integers(1, 200))
def test_never_ends_and_never_leaves_its_bounds(seed: int, failures: int) -> None:
    options = BackoffOptions(first_s=0.5, max_s=30, jitter=0.5)
    backoff = Backoff(options, random.Random(seed))

    waits = [backoff.failed(0) for _ in range(failures)]

    assert all(0.25 <= wait <= 30 for wait in waits)
    assert backoff.failures == failures


def test_cameras_do_not_return_in_step() -> None:
    waits = {Backoff(rng=random.Random(seed)).failed(0) for seed in range(20)}

    assert len(waits) == 20
