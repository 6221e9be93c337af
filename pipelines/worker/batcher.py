"""Which tasks run next, together, and which are refused because they would be late. Pure: time is an argument.

Order: priority first; within one priority each camera's first waiting task before any camera's second (fairness), and
earliest deadline first among equals. A batch is full at the size beyond which larger ones are no cheaper per task
(BatchProfile.plateau); it starts when it is full, or when the engine is idle and waiting longer for company would take
more than the hold or cost a deadline. What cannot end in time even alone is refused before it runs
(Clockwork, OSDI 2020); the hold is bounded by measured batch times (Symphony, arXiv 2308.07470).

Bound: `queue` tasks; beyond it the task of the lowest class with the latest deadline is refused as late.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipelines.values import Priority
from pipelines.worker.profile import BatchProfile

T = TypeVar("T")

_PROBE_AFTER_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """One waiting task."""

    item: T
    camera: str
    priority: Priority
    deadline_ns: int
    queued_ns: int


@dataclass(frozen=True, slots=True)
class Decision(Generic[T]):
    """What to do now. `wake_ns` is when to ask again if nothing new comes; None: only when something comes."""

    late: tuple[Job[T], ...]
    batch: tuple[Job[T], ...]
    wake_ns: int | None


class Batcher(Generic[T]):
    """The queue in front of one engine. One thread."""

    def __init__(self, max_batch: int, max_wait_ns: int, queue: int, profile: BatchProfile) -> None:
        self._max_batch = max_batch
        self._max_wait_ns = max_wait_ns
        self._queue = queue
        self._profile = profile
        self._jobs: list[Job[T]] = []
        self._started_ns: int | None = None
        self.peak = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: Job[T]) -> None:
        self._jobs.append(job)
        self.peak = max(self.peak, len(self._jobs))

    def poll(self, now_ns: int) -> Decision[T]:
        """Decide for an idle engine. Refused and started jobs leave the queue."""
        late = self._refuse(now_ns)
        if not self._jobs:
            return Decision(late, (), None)
        most = self._profile.plateau(self._max_batch)
        ordered = _order(self._jobs)[:most]
        size = self._size_in_time(ordered, now_ns)
        if size == len(ordered) < most:
            start_ns = self._start_ns(ordered, size)
            if now_ns < start_ns:
                return Decision(late, (), start_ns)
        batch = tuple(ordered[:size])
        self._started_ns = now_ns
        chosen = {id(job) for job in batch}
        self._jobs = [job for job in self._jobs if id(job) not in chosen]
        return Decision(late, batch, None)

    def _refuse(self, now_ns: int) -> tuple[Job[T], ...]:
        soonest_ns = now_ns if self._probing(now_ns) else now_ns + self._profile.estimate_ns(1)
        late = [job for job in self._jobs if job.deadline_ns < soonest_ns]
        kept = [job for job in self._jobs if job.deadline_ns >= soonest_ns]
        if len(kept) > self._queue:
            kept.sort(key=lambda job: (-job.priority, job.deadline_ns))
            late += kept[self._queue :]
            kept = kept[: self._queue]
        self._jobs = kept
        return tuple(late)

    def _probing(self, now_ns: int) -> bool:
        """Nothing ran for a while: the measurements may be why, so take the next task whatever they say."""
        return self._started_ns is None or now_ns - self._started_ns > _PROBE_AFTER_NS

    def _size_in_time(self, ordered: list[Job[T]], now_ns: int) -> int:
        """The largest prefix whose every member ends in time; at least 1."""
        for size in range(len(ordered), 1, -1):
            end_ns = now_ns + self._profile.estimate_ns(size)
            if min(job.deadline_ns for job in ordered[:size]) >= end_ns:
                return size
        return 1

    def _start_ns(self, ordered: list[Job[T]], size: int) -> int:
        """When this batch must start at the latest, company or not."""
        oldest_ns = min(job.queued_ns for job in ordered)
        deadline_ns = min(job.deadline_ns for job in ordered)
        hold_ns = min(self._max_wait_ns, self._profile.estimate_ns(1))
        return min(oldest_ns + hold_ns, deadline_ns - self._profile.estimate_ns(size + 1))


def _order(jobs: list[Job[T]]) -> list[Job[T]]:
    by_deadline = sorted(jobs, key=lambda job: (-job.priority, job.deadline_ns))
    rank: Counter[tuple[Priority, str]] = Counter()
    keyed = []
    for position, job in enumerate(by_deadline):
        turn = rank[job.priority, job.camera]
        rank[job.priority, job.camera] += 1
        keyed.append(((-job.priority, turn, position), job))
    return [job for _, job in sorted(keyed, key=lambda pair: pair[0])]
