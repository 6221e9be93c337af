"""Two batches with the engine at once, on virtual time: the copies of one beside the work of the other."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.values import Priority
from pipelines.worker.batcher import Batcher, Job
from pipelines.worker.own_time import OwnTime
from pipelines.worker.profile import BatchProfile

MS = 1_000_000


def profile(fixed_ms: float, each_ms: float) -> BatchProfile:
    out = BatchProfile()
    for _ in range(150):
        for size in (1, 2, 4):
            out.record(size, int((fixed_ms + each_ms * size) * MS))
    return out


def batcher(fixed_ms: float = 10, each_ms: float = 0.0) -> Batcher[str]:
    return Batcher(4, 0, 100, profile(fixed_ms, each_ms))


def job(item: str, deadline_ms: float = 1000, priority: Priority = Priority.NORMAL, queued_ms: float = 0) -> Job[str]:
    return Job(item, item, priority, int(deadline_ms * MS), int(queued_ms * MS))


def test_a_batch_worth_no_company_follows_at_once() -> None:
    b = batcher()
    for name in "abcd":
        b.add(job(name))
    decision = b.follow(0, 10 * MS)
    assert [j.item for j in decision.batch] == ["a", "b", "c", "d"]
    assert len(b) == 0


def test_a_smaller_one_waits_for_company_as_it_would_have_to_wait_anyway() -> None:
    b = batcher()
    for name in "abc":
        b.add(job(name))
    assert b.follow(0, 10 * MS).batch == ()
    assert len(b.poll(10 * MS).batch) == 3


def test_where_batches_do_not_pay_each_task_follows() -> None:
    b = batcher(fixed_ms=0, each_ms=5)
    b.add(job("a"))
    assert len(b.follow(0, 10 * MS).batch) == 1


def test_the_wait_for_the_engine_counts() -> None:
    """A task that would be late behind the running batch is not started; it is refused when the engine is free."""
    b = batcher(fixed_ms=0, each_ms=10)
    b.add(job("run"))
    b.poll(0)
    b.add(job("a", deadline_ms=35))
    assert (b.follow(0, 20 * MS).batch, len(b)) == ((), 1)
    assert [j.item for j in b.poll(20 * MS).late] == ["a"]


def test_one_that_is_hopeless_already_is_refused_meanwhile() -> None:
    b = batcher(fixed_ms=0, each_ms=10)
    b.add(job("run"))
    b.poll(0)
    b.add(job("a", deadline_ms=5))
    assert [j.item for j in b.follow(0, 20 * MS).late] == ["a"]


def test_an_engine_that_is_slower_than_foreseen_is_asked_as_of_now() -> None:
    b = batcher(fixed_ms=0, each_ms=10)
    b.add(job("a", deadline_ms=55))
    assert b.follow(50 * MS, 20 * MS).batch == ()


@dataclass(slots=True)
class Simulated:
    """An engine with one copier and one worker, and what the worker's loop does around a batcher."""

    b: Batcher[str]
    depth: int
    copy_ms: float
    work_ms: float
    running: list[tuple[int, int, tuple[Job[str], ...]]] = field(default_factory=list)
    """(end, start, jobs), the earliest end first."""
    own: OwnTime = field(default_factory=OwnTime)
    copier_free: int = 0
    worker_free: int = 0
    foreseen: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def due(self, now: int) -> None:
        while len(self.running) < self.depth:
            decision = self.b.follow(now, self.foreseen) if self.running else self.b.poll(now)
            self.refused += [j.item for j in decision.late]
            if not decision.batch:
                return
            self.foreseen = int(
                max(now, self.foreseen if self.running else 0) + self.b._profile.expected_ns(len(decision.batch))
            )
            self.copier_free = max(now, self.copier_free) + int(self.copy_ms * len(decision.batch) * MS)
            self.worker_free = max(self.copier_free, self.worker_free) + int(self.work_ms * MS)
            heapq.heappush(self.running, (self.worker_free, now, decision.batch))

    def end(self) -> int:
        end, started, batch = heapq.heappop(self.running)
        self.b.ended(batch, self.own.ended(started, end), end)
        self.ends |= {j.item: end for j in batch}
        return end

    def play(self, jobs: list[Job[str]]) -> int:
        """Until all is done. Returns when that is."""
        now, coming = 0, sorted(jobs, key=lambda j: j.queued_ns)
        while coming or self.running or len(self.b):
            if coming and (not self.running or coming[0].queued_ns <= self.running[0][0]):
                now = max(now, coming[0].queued_ns)
                self.b.add(coming.pop(0))
            elif self.running:
                now = max(now, self.end())
            self.due(now)
        return now


@pytest.mark.parametrize(("depth", "makespan_ms"), [(1, 11 + 10 * 14), (2, 11 + 10 * 10)])
def test_copies_hide_behind_work(depth: int, makespan_ms: int) -> None:
    """The first task alone, then ten full batches: 4 ms of copies and 10 ms of work each."""
    s = Simulated(batcher(), depth, copy_ms=1, work_ms=10)
    assert s.play([job(str(n), 100_000) for n in range(41)]) == makespan_ms * MS
    assert len(s.ends) == 41


@given(
    depth=st.sampled_from([1, 2]),
    tasks=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 400)), min_size=1, max_size=60),
)
def test_every_task_comes_out_once_and_the_engine_is_never_left_idle_for_nothing(
    depth: int, tasks: list[tuple[int, int]]
) -> None:
    s = Simulated(batcher(), depth, copy_ms=1, work_ms=10)
    jobs = [job(str(n), came + left, queued_ms=came) for n, (came, left) in enumerate(tasks)]
    s.play(jobs)
    assert sorted([*s.ends, *s.refused]) == sorted(j.item for j in jobs)
    late = [j for j in jobs if s.ends.get(j.item, 0) > j.deadline_ns]
    assert len(late) <= 8, "what copies add beyond the measured times is learned within two batches"
