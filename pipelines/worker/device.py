"""Several models on one device: whose batch runs next. Pure: time is an argument.

Each model has a batcher of its own, with its own batch times. Of those whose batch is due, the one with the highest
priority runs, and among equals the one that must start first. A batch that is held back for company runs before
another whose run would make it late.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipelines.worker.batcher import Batcher, Proposal
from pipelines.worker.line import Job

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Turn(Generic[T]):
    """What to do now. `model`: whose batch it is; None: nobody's yet. `wake_ns`: see batcher.Decision."""

    late: tuple[Job[T], ...]
    model: str | None
    batch: tuple[Job[T], ...]
    wake_ns: int | None


class Device(Generic[T]):
    """The queues in front of one device. One thread."""

    def __init__(self, batchers: Mapping[str, Batcher[T]]) -> None:
        self._batchers = dict(batchers)

    def poll(self, now_ns: int) -> Turn[T]:
        """Decide for an idle device. Refused and started jobs leave their queues."""
        late = tuple(job for batcher in self._batchers.values() for job in batcher.refuse(now_ns))
        proposals = {name: batcher.propose(now_ns) for name, batcher in self._batchers.items()}
        waiting = {name: proposal for name, proposal in proposals.items() if proposal is not None}
        if not waiting:
            return Turn(late, None, (), None)
        due = {name: proposal for name, proposal in waiting.items() if proposal.start_ns <= now_ns}
        if not due:
            return Turn(late, None, (), min(proposal.start_ns for proposal in waiting.values()))
        model = _first(due)
        endangered = _endangered(waiting, waiting[model], now_ns)
        if endangered:
            model = _first(endangered)
        self._batchers[model].start(waiting[model], now_ns)
        return Turn(late, model, waiting[model].batch, None)


def _first(proposals: Mapping[str, Proposal[T]]) -> str:
    return min(proposals, key=lambda name: (-_priority(proposals[name]), proposals[name].latest_ns))


def _endangered(proposals: Mapping[str, Proposal[T]], running: Proposal[T], now_ns: int) -> dict[str, Proposal[T]]:
    """Those as important that could not start in time any more once `running` has run, but can now."""
    end_ns = now_ns + running.takes_ns
    return {
        name: proposal
        for name, proposal in proposals.items()
        if _priority(proposal) >= _priority(running) and now_ns <= proposal.latest_ns < min(end_ns, running.latest_ns)
    }


def _priority(proposal: Proposal[T]) -> int:
    return max(job.priority for job in proposal.batch)
