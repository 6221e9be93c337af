"""The simulated dynamic batcher does what Triton's guide says, step by step."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from scripts.bench.batcher_service import Costs
from scripts.bench.batcher_trace import MS, Task
from scripts.bench.batcher_triton import Setting, goodput, grid, with_levels

SECOND = 1000


class Engine:
    """Every batch takes 10 ms; remembers (start in ms, size)."""

    def __init__(self) -> None:
        self.batches: list[tuple[float, int]] = []

    def __call__(self, size: int, start_ns: int) -> int:
        self.batches.append((start_ns / MS, size))
        return 10 * MS


def tasks(at_ms: Sequence[float], left_ms: float = SECOND) -> list[Task]:
    return [Task(int(ms * MS), 0, int((ms + left_ms) * MS)) for ms in at_ms]


def batches(at_ms: Sequence[float], setting: Setting, left_ms: float = SECOND) -> list[tuple[float, int]]:
    engine = Engine()
    goodput(tasks(at_ms, left_ms), setting, engine)
    return engine.batches


def test_by_default_it_sends_what_is_there_as_soon_as_the_instance_is_free() -> None:
    assert batches([0, 1, 2, 3], Setting(8)) == [(0, 1), (10, 3)]
    assert batches([0] * 10, Setting(8)) == [(0, 8), (10, 2)]


def test_the_largest_preferred_size_that_can_be_made_goes_out() -> None:
    assert batches([0] * 7, Setting(8, preferred=(2, 4))) == [(0, 4), (10, 2), (20, 1)]


def test_the_delay_holds_what_is_no_preferred_or_full_batch() -> None:
    assert batches([0, 1], Setting(8, delay_ns=5 * MS)) == [(5, 2)]
    assert batches([0, 1, 2], Setting(8, preferred=(2,), delay_ns=5 * MS)) == [(1, 2), (11, 1)]
    assert batches([0, 1, 2, 3], Setting(4, delay_ns=50 * MS)) == [(3, 4)]


def test_when_the_delay_is_over_the_batch_goes_out_as_it_is() -> None:
    assert batches([0, *[1] * 6], Setting(8, preferred=(4,), delay_ns=1 * MS)) == [(1, 7)]


def test_a_request_that_waited_longer_than_its_timeout_is_rejected() -> None:
    assert batches([0, 1, 9], Setting(1, timeout_ns=5 * MS)) == [(0, 1), (10, 1)]


def test_a_request_may_bring_its_own_timeout() -> None:
    early, late = Task(1 * MS, 0, 15 * MS), Task(2 * MS, 0, 40 * MS)
    engine = Engine()
    assert goodput([Task(0, 0, SECOND * MS), early, late], Setting(1, own_margin_ns=8 * MS), engine) == 2
    assert engine.batches == [(0, 1), (10, 1)]


def test_only_what_ends_within_its_deadline_counts() -> None:
    assert goodput(tasks([0, 0, 0], left_ms=20), Setting(1), Engine()) == 2


def test_the_first_priority_level_is_served_first() -> None:
    relaxed, urgent = Task(1 * MS, 0, 500 * MS), Task(2 * MS, 0, 25 * MS)
    assert goodput([Task(0, 0, SECOND * MS), relaxed, urgent], Setting(1), Engine()) == 2
    assert goodput([Task(0, 0, SECOND * MS), relaxed, urgent], Setting(1, urgent_ns=100 * MS), Engine()) == 3


def test_the_grid_has_what_is_documented_and_all_of_it_once() -> None:
    settings = list(grid(Costs("", {1: 7.0, 32: 46.0}), 900 * MS))
    assert len(settings) == len(set(settings)) > 200
    assert {setting.delay_ns // MS for setting in settings} == {0, 1, 5, 10, 20}
    assert Setting(32) in settings
    assert all(size < setting.max_batch for setting in settings for size in setting.preferred)
    levels = list(with_levels(settings[0], tasks([0, 1, 2, 3])))
    assert len(levels) == 3


def test_a_setting_reads_as_triton_has_it() -> None:
    shown = Setting(8, (4,), 5 * MS, timeout_ns=700 * MS).as_dict()
    assert shown == {
        "max_batch_size": 8,
        "preferred_batch_size": [4],
        "max_queue_delay_ms": 5.0,
        "default_timeout_ms": 700.0,
    }
    assert Setting(8, own_margin_ns=46 * MS).as_dict()["own_timeout_less_ms"] == pytest.approx(46)
