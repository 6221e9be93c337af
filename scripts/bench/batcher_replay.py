"""The product's batcher on virtual time: the very class the worker runs, between an arrival trace and an engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.values import Priority
from pipelines.worker.batcher import Batcher, Job
from pipelines.worker.options import BatchOptions
from pipelines.worker.plateau import doublings
from pipelines.worker.profile import BatchProfile
from scripts.bench.batcher_service import Service
from scripts.bench.batcher_trace import Task

_WARM_ROUNDS = 2


@dataclass(frozen=True)
class Replayed:
    """What became of one trace's tasks."""

    in_time: int
    late: int
    """Let run, and ended after the deadline."""
    refused: int
    batches: int

    @property
    def ran(self) -> int:
        return self.in_time + self.late


def replay(tasks: Sequence[Task], service: Service, options: BatchOptions) -> Replayed:
    """tasks: in the order of their arrival. The profile is warmed as the worker does it, before the first."""
    profile = _warmed(service, options.max_batch)
    batcher: Batcher[None] = Batcher(options.max_batch, int(options.max_wait_ms * 1e6), options.queue, profile)
    coming = [Job(None, str(task.camera), Priority.NORMAL, task.deadline_ns, task.at_ns) for task in tasks]
    now, following, in_time, late, refused, batches = 0, 0, 0, 0, 0, 0
    while True:
        while following < len(coming) and coming[following].queued_ns <= now:
            batcher.add(coming[following])
            following += 1
        decision = batcher.poll(now)
        refused += len(decision.late)
        if decision.batch:
            elapsed_ns = service(len(decision.batch), now)
            now += elapsed_ns
            while following < len(coming) and coming[following].queued_ns <= now:  # they come while the batch runs
                batcher.add(coming[following])
                following += 1
            batcher.ended(decision.batch, elapsed_ns, now)
            batches += 1
            in_time += sum(job.deadline_ns >= now for job in decision.batch)
            late += sum(job.deadline_ns < now for job in decision.batch)
            continue
        wakes = [decision.wake_ns] if decision.wake_ns is not None else []
        wakes += [coming[following].queued_ns] if following < len(coming) else []
        if not wakes:
            break
        now = min(wakes)
    if in_time + late + refused != len(tasks):
        raise AssertionError(f"{in_time} + {late} + {refused} of {len(tasks)} tasks: some were lost or ran twice")
    return Replayed(in_time, late, refused, batches)


def _warmed(service: Service, most: int) -> BatchProfile:
    profile, now = BatchProfile(), 0
    for _ in range(_WARM_ROUNDS):
        for size in doublings(most):
            elapsed_ns = service(size, now)
            profile.record(size, elapsed_ns)
            now += elapsed_ns
    return profile
