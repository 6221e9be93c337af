"""Models on a simulated device in virtual time: one copier, one worker, and the product's own decisions."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipelines.values import Priority
from pipelines.worker.batcher import Batcher, Job
from pipelines.worker.profile import BatchProfile
from pipelines.worker.share import Share

MS = 1_000_000


def profile(fixed_ms: float, each_ms: float = 0.0) -> BatchProfile:
    """An engine whose batches take fixed + n * each, always the same: a bound is a quarter over twice that at most."""
    out = BatchProfile()
    for _ in range(150):
        for size in (1, 2, 4):
            out.record(size, int((fixed_ms + each_ms * size) * MS))
    return out


def batcher(fixed_ms: float = 10, each_ms: float = 0.0, max_wait_ms: int = 0) -> Batcher[str]:
    return Batcher(4, max_wait_ms * MS, 100, profile(fixed_ms, each_ms))


def job(item: str, deadline_ms: float = 1000, priority: Priority = Priority.NORMAL, queued_ms: float = 0) -> Job[str]:
    return Job(item, item, priority, int(deadline_ms * MS), int(queued_ms * MS))


@dataclass(slots=True)
class Machine:
    """The device. Running batches as (end, number, start, model, jobs), the earliest end first."""

    copy_ms: float = 0.0
    """Of one task."""
    now: int = 0
    copier_free: int = 0
    worker_free: int = 0
    running: list[tuple[int, int, int, Model, tuple[Job[str], ...]]] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    order: list[tuple[str, list[str]]] = field(default_factory=list)
    """(model, tasks) of each batch, as started."""


@dataclass(slots=True, eq=False)
class Model:
    """Implements share.Member."""

    name: str
    machine: Machine
    batcher: Batcher[str]
    work_ms: float = 10.0
    """Of one batch."""
    parallel: int = 1
    late: list[str] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)

    @property
    def running(self) -> int:
        return sum(model is self for _, _, _, model, _ in self.machine.running)

    def heed(self, now_ns: int) -> None:
        self.machine.now = now_ns

    def refused(self, jobs: Sequence[Job[str]]) -> None:
        self.late += [job.item for job in jobs]

    def start(self, batch: Sequence[Job[str]]) -> None:
        machine = self.machine
        machine.order.append((self.name, [job.item for job in batch]))
        machine.copier_free = max(machine.now, machine.copier_free) + int(machine.copy_ms * len(batch) * MS)
        machine.worker_free = max(machine.copier_free, machine.worker_free) + int(self.work_ms * MS)
        entry = (machine.worker_free, next(machine.numbers), machine.now, self, tuple(batch))
        heapq.heappush(machine.running, entry)


@dataclass(slots=True)
class Device:
    """A share with its models, and what the workers' loops do around it."""

    machine: Machine = field(default_factory=Machine)
    share: Share = field(default_factory=Share)
    models: dict[str, Model] = field(default_factory=dict)

    def model(self, name: str, b: Batcher[str], work_ms: float = 10.0, parallel: int = 1) -> Model:
        made = self.models[name] = Model(name, self.machine, b, work_ms, parallel)
        self.share.join(made)
        return made

    def end(self) -> int:
        """The next batch ends; when."""
        end, _, started, model, batch = heapq.heappop(self.machine.running)
        model.batcher.ended(batch, self.share.own_time.ended(started, end), end)
        model.ends |= {job.item: end for job in batch}
        return end

    def play(self, jobs: dict[str, list[Job[str]]]) -> int:
        """Until all is done. Returns when that is."""
        coming = sorted(((job.queued_ns, name, job) for name, own in jobs.items() for job in own), key=lambda c: c[0])
        now, wake = 0, None
        while coming or self.machine.running or any(len(model.batcher) for model in self.models.values()):
            times = [at for at in (coming[0][0] if coming else None, wake) if at is not None]
            ends = self.machine.running[0][0] if self.machine.running else None
            if ends is not None and all(ends < at for at in times):
                now = max(now, self.end())
            elif coming and coming[0][0] == min(times):
                now = max(now, coming[0][0])
                _, name, one = coming.pop(0)
                self.models[name].batcher.add(one)
            else:
                now = max(now, min(times))
            wake = self.share.start_due(now)
        return now
