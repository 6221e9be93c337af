"""The promise on virtual time: on an engine with a heavy tail, of what is let run hardly anything ends late, and all of
that is counted."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from pipelines.values import Priority
from pipelines.worker.admission import PROMISE, Admission
from pipelines.worker.batcher import Batcher, Job
from pipelines.worker.profile import BatchProfile

MS = 1_000_000
FIXED_MS, EACH_MS, MOST = 6, 1.25, 16
CAPACITY_PER_MS = MOST / (FIXED_MS + EACH_MS * MOST)


class Engine:
    """Batch times with a lognormal tail (p99 is 2.2 times the median) in spells of two speeds."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._spell = 1.0

    def takes_ns(self, size: int) -> int:
        if self._rng.random() < 0.02:
            self._spell = self._rng.choice((1.0, 1.0, 1.5))
        return int((FIXED_MS + EACH_MS * size) * self._spell * self._rng.lognormvariate(0, 0.34) * MS)


def steady(rng: random.Random, load: float) -> float:
    return rng.expovariate(load * CAPACITY_PER_MS)


def bursts(rng: random.Random, load: float) -> float:
    """Sixty tasks at once, on the average at that load."""
    return 60 / (load * CAPACITY_PER_MS) if rng.random() < 1 / 60 else 0.0


def replay(gap_ms: Callable[[random.Random, float], float], load: float, seed: int) -> tuple[int, int, int, int]:
    """(tasks, refused, ran, late by the engine's clock), and checks the batcher's own count."""
    rng, engine, profile = random.Random(seed), Engine(seed), BatchProfile()
    for _ in range(3):
        for size in (1, 2, 4, 8, 16):
            profile.record(size, engine.takes_ns(size))
    batcher: Batcher[int] = Batcher(MOST, 4 * MS, 1000, profile)
    at_ms, coming = 0.0, []
    for number in range(2000):
        at_ms += gap_ms(rng, load)
        deadline_ns = int((at_ms + rng.choice((300, 600, 1200))) * MS)
        coming.append(Job(number, f"cam{number % 64}", Priority.NORMAL, deadline_ns, int(at_ms * MS)))
    now, following, refused, ran, late = 0, 0, 0, 0, 0
    while following < len(coming) or len(batcher):
        while following < len(coming) and coming[following].queued_ns <= now:
            batcher.add(coming[following])
            following += 1
        decision = batcher.poll(now)
        refused += len(decision.late)
        if decision.batch:
            elapsed_ns = engine.takes_ns(len(decision.batch))
            now += elapsed_ns
            batcher.ended(decision.batch, elapsed_ns, now)
            ran += len(decision.batch)
            late += sum(job.deadline_ns < now for job in decision.batch)
            continue
        nexts = [decision.wake_ns] if decision.wake_ns else []
        nexts += [coming[following].queued_ns] if following < len(coming) else []
        now = min(nexts, default=now)
    assert batcher.ended_late == late
    return len(coming), refused, ran, late


@pytest.mark.parametrize("gap_ms", [steady, bursts])
@pytest.mark.parametrize(("load", "served"), [(0.6, 0.97), (1.5, 0.5)])
def test_what_is_let_run_ends_in_time(
    gap_ms: Callable[[random.Random, float], float], load: float, served: float
) -> None:
    tasks, refused, ran, late = replay(gap_ms, load, seed=1)

    assert refused + ran == tasks, "no task is lost, and none runs twice"
    assert late <= 0.002 * ran
    assert ran >= served * tasks, "nor is it kept by refusing everything"


def test_debt_allows_no_risk_until_it_is_earned_back() -> None:
    admission = Admission()
    assert admission.risk(load=0) == PROMISE
    admission.ended(late=1)
    assert admission.risk(load=0) == 0
    for _ in range(2000):
        admission.ran(tasks=1, expected_late=0)
    assert admission.risk(load=0) > 0


def test_savings_are_spent_on_risk_when_the_engine_is_free_and_kept_when_it_is_not() -> None:
    admission = Admission()
    for _ in range(3000):
        admission.ran(tasks=1, expected_late=0)
    assert admission.risk(load=0) > 10 * PROMISE
    assert admission.risk(load=1) == 0


def test_debt_is_bounded() -> None:
    admission = Admission()
    admission.ended(late=500)
    for _ in range(4000):
        admission.ran(tasks=1, expected_late=0)
    assert admission.risk(load=0) > 0
    assert admission.ended_late == 500
