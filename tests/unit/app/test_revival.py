"""A dead camera comes back with a brake."""

from __future__ import annotations

from app.revival import Revival
from app.supervisor import Brake

S = 1_000_000_000


def test_the_brake_grows_with_each_early_death_and_is_released_by_a_long_life() -> None:
    revival = Revival(Brake(first_s=1, factor=2, most_s=5))
    waits, now_ns = [], 0
    for lived_s in (1, 1, 1, 1, 61, 1):
        revival.began(now_ns)
        now_ns += lived_s * S
        waits.append(revival.died(now_ns))
    assert waits == [1, 2, 4, 5, 1, 2]
    assert revival.deaths == 6


def test_it_is_due_when_the_wait_is_over_and_not_before_it_died() -> None:
    revival = Revival(Brake(first_s=1))
    revival.began(0)
    assert not revival.due(100 * S)
    revival.died(10 * S)
    assert revival.waiting
    assert (revival.due(11 * S - 1), revival.due(11 * S)) == (False, True)
    revival.began(11 * S)
    assert not revival.waiting
