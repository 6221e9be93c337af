"""The own detector's share of the machine, in virtual time."""

from __future__ import annotations

import pytest

from pipelines.standin.allowance import Allowance

MS = 1_000_000


@pytest.mark.parametrize("cores", [0.1, 0.5, 1.0])
def test_in_the_long_run_it_takes_its_share_and_no_more(cores: float) -> None:
    allowance, now_ns, used_ns = Allowance(cores), 0, 0
    while now_ns < 20_000 * MS:
        now_ns += allowance.wait_ns(now_ns) + 10 * MS  # it works for 10 ms, of one core
        allowance.spent(10 * MS, 10 * MS, now_ns)
        used_ns += 10 * MS
    assert (used_ns - 100 * MS) / now_ns == pytest.approx(cores, rel=0.01)  # the burst it began with


def test_the_first_pictures_do_not_wait() -> None:
    allowance = Allowance(0.1)
    for n in range(10):
        assert allowance.wait_ns(n) == 0
        allowance.spent(10 * MS, 10 * MS, n)
    allowance.spent(10 * MS, 10 * MS, 10)
    assert allowance.wait_ns(10) == pytest.approx(100 * MS, rel=0.01)


def test_what_one_more_takes_follows_what_waits_the_share_and_the_cost() -> None:
    allowance = Allowance(0.5)
    assert allowance.takes_ns(3, 0) == 0  # nothing is known yet
    allowance.spent(10 * MS, 10 * MS, 0)
    assert allowance.takes_ns(0, 0) == 20 * MS
    assert allowance.takes_ns(4, 0) == 100 * MS
    for _ in range(30):
        allowance.spent(20 * MS, 20 * MS, 0)
    assert allowance.takes_ns(0, 0) == pytest.approx((30 * 20 + 10 - 100) * 2 * MS + 40 * MS, rel=0.01)


def test_on_a_busy_machine_a_picture_takes_longer_than_it_costs() -> None:
    allowance = Allowance(1.0)
    allowance.spent(10 * MS, 50 * MS, 0)
    assert allowance.takes_ns(1, 0) == 100 * MS
