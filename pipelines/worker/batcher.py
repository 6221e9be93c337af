"""Which tasks run next, together, and which are refused because they would be late. Pure: time is an argument.

Whenever the engine is idle: what cannot end in time even alone is refused before it runs (admission.py). Of the highest
priority waiting, the batch is cut that lets the most end in time, earliest deadline first (cut.py); where not all of
them can, cameras take turns (line.py); lower priorities fill what is left of it. A batch below the plateau is held back
for a moment while company is near (window.py).

Bound: `queue` tasks; beyond it the task of the lowest class with the latest deadline is refused as late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from pipelines.worker.admission import Admission
from pipelines.worker.cut import F64, Ruler, cut
from pipelines.worker.line import Job, Turns, by_deadline, least_urgent_last
from pipelines.worker.profile import BatchProfile
from pipelines.worker.window import Arrivals, closes_ns

__all__ = ["Batcher", "Decision", "Job", "Proposal"]

T = TypeVar("T")

_PROBE_AFTER_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Proposal(Generic[T]):
    """What would run now. `start_ns`: when it should start; later than now: it is held back for company."""

    batch: tuple[Job[T], ...]
    start_ns: int
    latest_ns: int
    """When it must start so that its tightest task ends in time."""
    takes_ns: int
    """What it probably takes."""


@dataclass(frozen=True, slots=True)
class Decision(Generic[T]):
    """What to do now. `wake_ns` is when to ask again if nothing new comes; None: only when something comes."""

    late: tuple[Job[T], ...]
    batch: tuple[Job[T], ...]
    wake_ns: int | None


class Batcher(Generic[T]):
    """The queue in front of one engine. One thread."""

    def __init__(self, max_batch: int, max_wait_ns: int, queue: int, profile: BatchProfile) -> None:
        self.limit = max_batch
        """Largest batch just now, where memory is short; at most `max_batch`."""
        self._max_wait_ns = max_wait_ns
        self._queue = queue
        self._profile = profile
        self._admission = Admission()
        self._arrivals = Arrivals()
        self._turns = Turns()
        self._jobs: list[Job[T]] = []
        self._started_ns: int | None = None
        self.peak = 0

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def ended_late(self) -> int:
        """Tasks that were let run and ended after their deadline."""
        return self._admission.ended_late

    def add(self, job: Job[T]) -> None:
        self._jobs.append(job)
        self._arrivals.came(job.queued_ns)
        self.peak = max(self.peak, len(self._jobs))

    def poll(self, now_ns: int) -> Decision[T]:
        """Decide for an idle engine. Refused and started jobs leave the queue."""
        late = self.refuse(now_ns)
        proposal = self.propose(now_ns)
        if proposal is None:
            return Decision(late, (), None)
        if now_ns < proposal.start_ns:
            return Decision(late, (), proposal.start_ns)
        self.start(proposal, now_ns)
        return Decision(late, proposal.batch, None)

    def ended(self, batch: Sequence[Job[T]], elapsed_ns: int, now_ns: int) -> None:
        """A batch has run, in `elapsed_ns`: what is to be learned from it."""
        self._profile.record(len(batch), elapsed_ns)
        self._admission.ended(sum(job.deadline_ns < now_ns for job in batch))

    # --- the parts of a poll, which share.py calls ------------------------------------------------------------------

    def refuse(self, now_ns: int) -> tuple[Job[T], ...]:
        """Take out what cannot end in time, and what is too much."""
        soonest_ns = now_ns + self._ruler(now_ns).needs_ns(1)
        late = [job for job in self._jobs if job.deadline_ns < soonest_ns]
        if not late and len(self._jobs) <= self._queue:
            return ()
        kept = [job for job in self._jobs if job.deadline_ns >= soonest_ns]
        if not kept and self._probing(now_ns):
            probe = max(late, key=lambda job: job.deadline_ns)
            if probe.deadline_ns > now_ns:
                late.remove(probe)
                kept = [probe]
        if len(kept) > self._queue:
            kept = least_urgent_last(kept)
            late += kept[self._queue :]
        self._jobs = kept[: self._queue]
        return tuple(late)

    def propose(self, now_ns: int) -> Proposal[T] | None:
        """The batch to run next, or None when nothing waits."""
        if not self._jobs:
            return None
        ruler = self._ruler(now_ns)
        top = max(job.priority for job in self._jobs)
        batch = self._best([job for job in self._jobs if job.priority is top], ruler, now_ns)
        tightest_ns = min(job.deadline_ns for job in batch)
        latest_ns = int(tightest_ns - ruler.needs_ns(len(batch)))
        start_ns = self._start_ns(batch, ruler, tightest_ns)
        return Proposal(tuple(batch), start_ns, latest_ns, int(self._profile.expected_ns(len(batch))))

    @property
    def worth_following(self) -> bool:
        """So many tasks wait that company would not make a batch of them cheaper."""
        return len(self._jobs) >= self._profile.plateau(self.limit)

    def following(self, free_ns: int) -> Proposal[T] | None:
        """The batch to copy in while another one runs, until about `free_ns`; None: nothing should.

        Only one that company would not make cheaper, and that ends in time if it starts then: what is with the engine
        can give way to nothing.
        """
        proposal = self.propose(free_ns) if self.worth_following else None
        if proposal is None or len(proposal.batch) < self._profile.plateau(self.limit) or proposal.latest_ns < free_ns:
            return None
        return proposal

    def start(self, proposal: Proposal[T], now_ns: int) -> None:
        """The proposed batch runs now."""
        batch = proposal.batch
        self._started_ns = now_ns
        risks = (self._profile.risk(len(batch), job.deadline_ns - now_ns) for job in batch)
        self._admission.ran(len(batch), sum(risks))
        self._turns.served(job.camera for job in batch)
        chosen = {id(job) for job in batch}
        self._jobs = [job for job in self._jobs if id(job) not in chosen]

    # --- internals -------------------------------------------------------------------------------------------------

    def _load(self, now_ns: int) -> float:
        return min(1.0, self._arrivals.per_ns(now_ns) * self._profile.best_cost_ns(self.limit))

    def _ruler(self, now_ns: int) -> Ruler:
        return Ruler(self._profile, self._profile.plateau(self.limit), self._admission.risk(self._load(now_ns)))

    def _probing(self, now_ns: int) -> bool:
        """Nothing ran for a while: the measurements may be why, so take one task whatever they say."""
        return self._started_ns is None or now_ns - self._started_ns > _PROBE_AFTER_NS

    def _best(self, jobs: Sequence[Job[T]], ruler: Ruler, now_ns: int) -> list[Job[T]]:
        """The best batch of the jobs of one class; where it takes them all, others fill what is left."""
        ordered = by_deadline(jobs)
        if len(ordered) == 1:
            return self._filled(ordered, ruler, now_ns)
        possible = max(1, ruler.servable(_lefts_ns(ordered, now_ns)))
        if possible < len(ordered):
            ordered = self._turns.fair(ordered, possible)
        found = cut(self._profile, ruler, _lefts_ns(ordered, now_ns), self._load(now_ns))
        batch = ordered[found.first : found.first + found.size]
        return self._filled(batch, ruler, now_ns) if len(batch) == len(ordered) else batch

    def _filled(self, batch: list[Job[T]], ruler: Ruler, now_ns: int) -> list[Job[T]]:
        """The batch with others that fit in without harm, most urgent first, as many as pay."""
        if len(batch) == len(self._jobs):
            return batch
        chosen = {id(job) for job in batch}
        others = [job for job in least_urgent_last(self._jobs) if id(job) not in chosen]
        tightest_ns = min(job.deadline_ns for job in batch) - now_ns
        for size in reversed(range(len(batch) + 1, min(ruler.most, len(self._jobs)) + 1)):
            needs_ns = ruler.needs_ns(size)
            if needs_ns > tightest_ns:
                continue
            fitting = [job for job in others if job.deadline_ns - now_ns >= needs_ns]
            if len(fitting) >= size - len(batch):
                return batch + fitting[: size - len(batch)]
        return batch

    def _start_ns(self, batch: Sequence[Job[T]], ruler: Ruler, tightest_ns: int) -> int:
        size = len(batch)
        if size < len(self._jobs) or size >= self._profile.plateau(self.limit):
            return 0
        hold_ns = min(job.queued_ns for job in batch) + self._max_wait_ns
        return closes_ns(self._arrivals, self._profile, size, int(min(hold_ns, tightest_ns - ruler.needs_ns(size + 1))))


def _lefts_ns(jobs: Sequence[Job[T]], now_ns: int) -> F64:
    """(n,) time left to each."""
    return np.array([job.deadline_ns - now_ns for job in jobs], np.float64)
