"""One device and all that wait for it: which model's batch is started now. Pure: time is an argument.

Whoever has news (a task came, a batch ended) steps the whole device: what starts may be another's batch. A model alone
on its device has a share for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pipelines.worker.batcher import Batcher
from pipelines.worker.device import Shares, next_model
from pipelines.worker.line import Job
from pipelines.worker.own_time import OwnTime


class Member(Protocol):
    """A model's loop, as its device sees it."""

    @property
    def batcher(self) -> Batcher[Any]: ...

    @property
    def running(self) -> int:
        """Batches of this model that run."""

    @property
    def parallel(self) -> int:
        """Batches that its engine takes at once."""

    def heed(self, now_ns: int) -> None:
        """Before its batcher is asked: what has changed for it."""

    def refused(self, jobs: Sequence[Job[Any]]) -> None:
        """These are answered LATE."""

    def start(self, batch: Sequence[Job[Any]]) -> None:
        """Run a batch."""


class Share:
    """The device of one or more models."""

    def __init__(self) -> None:
        self._members: list[Member] = []
        self._shares: Shares[Member] = Shares()
        self._free_ns = 0
        self.own_time = OwnTime()
        """Of the batches of all models."""
        self.overlapped = 0
        """Batches that were started while another one ran."""

    def join(self, member: Member) -> None:
        self._members.append(member)

    def leave(self, member: Member) -> None:
        """Nothing of it is started any more. What runs, runs on."""
        self._members = [other for other in self._members if other is not member]
        self._shares.drop(member)

    def start_due(self, now_ns: int) -> int | None:
        """Start whatever should run now. Returns when to ask again if nothing comes before, see batcher.Decision."""
        while self._members:
            running = sum(member.running for member in self._members)
            if running >= min(member.parallel for member in self._members):
                return None
            if running and not any(member.batcher.worth_following for member in self._members):
                return None
            for member in self._members:
                member.heed(now_ns)
                member.refused(member.batcher.refuse(now_ns))
            free_ns = max(now_ns, self._free_ns) if running else now_ns
            proposals = {
                member: member.batcher.following(free_ns) if running else member.batcher.propose(now_ns)
                for member in self._members
            }
            waiting = {member: proposal for member, proposal in proposals.items() if proposal is not None}
            chosen = next_model(waiting, self._shares, free_ns)
            if chosen is None:
                return min((proposal.start_ns for proposal in waiting.values()), default=None)
            proposal = waiting[chosen]
            chosen.batcher.start(proposal, free_ns)
            self._shares.ran(chosen, proposal.takes_ns, now_ns)
            self._free_ns = free_ns + proposal.takes_ns
            self.overlapped += running > 0
            chosen.start(proposal.batch)
        return None
