from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.gate.budget_spare import Spare
from pipelines.gate.share import idle_cpu_s

CPUS, SPARE = 2, 0.15


class Machine:
    """One on which others take `others` cores and decoding takes what it wants, as far as it may."""

    def __init__(self) -> None:
        self.spare = Spare(CPUS, SPARE)
        self.now_s = 0
        self.idle_s = self.decode_s = 0.0

    def runs(self, others: float, wanted: float, seconds: int = 60) -> float:
        for _ in range(seconds):
            self.now_s += 1
            self.spare.update(self.now_s * 1_000_000_000, self.idle_s, self.decode_s)
            decode = min(wanted, self.spare.cores, max(0.0, CPUS - others))
            self.decode_s += decode
            self.idle_s += max(0.0, CPUS - others - decode)
        return self.spare.cores


@given(st.floats(0, 1.5))
def test_what_others_leave_is_taken_but_for_the_spare_share(others: float) -> None:
    assert Machine().runs(others, wanted=9.0) == pytest.approx(max(0.1, CPUS * (1 - SPARE) - others), abs=0.02)


def test_a_full_machine_leaves_one_camera_now_and_then() -> None:
    assert Machine().runs(2.0, wanted=9.0) == 0.1


def test_who_wants_little_may_still_take_much() -> None:
    assert Machine().runs(0.5, wanted=0.1) == pytest.approx(1.2, abs=0.02)


def test_it_gives_way_at_once_and_comes_back_slowly() -> None:
    machine = Machine()
    high = machine.runs(0.2, 9.0)
    low = machine.runs(1.4, 9.0, seconds=5)

    assert low < 0.5
    assert low < machine.runs(0.2, 9.0, seconds=2) < high


def test_half_a_second_of_everybody_at_once_costs_nobody_a_group_of_pictures() -> None:
    spare = Spare(CPUS, SPARE)
    usual = [(0.7, 0.35)] * 8
    now_s = idle_s = decode_s = 0.0
    seen = []
    for idle, decode in [*usual, (0.0, 0.8), *usual]:
        spare.update(int(now_s * 1e9), idle_s, decode_s)
        seen.append(spare.cores)
        now_s, idle_s, decode_s = now_s + 0.5, idle_s + 0.5 * idle, decode_s + 0.5 * decode
    assert min(seen) > 0.6, "of the 0.35 that decoding takes now"


def test_readings_too_near_each_other_say_nothing() -> None:
    spare = Spare(CPUS, SPARE)
    spare.update(0, 0.0, 0.0)
    assert spare.update(1_000_000, 0.0, 0.0) == spare.cores == pytest.approx(1.2)


def test_this_machine_says_how_long_it_idled() -> None:
    idle_s = idle_cpu_s()
    assert idle_s is None or idle_s > 0
