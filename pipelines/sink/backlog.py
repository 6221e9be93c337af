"""An outbox with an asyncio face: one feeder waits for records, `drain` waits for none to be left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Generic, TypeVar

from pipelines.contracts import SinkStatistics
from pipelines.sink.outbox import Outbox, OutboxStatistics, Ticket

T = TypeVar("T")


class Backlog(Generic[T]):
    """Everything one peer has yet to acknowledge. Event loop only; one feeder at a time. Bound: see Outbox."""

    def __init__(self, max_records: int, max_bytes: int) -> None:
        self._outbox: Outbox[T] = Outbox(max_records, max_bytes)
        self._offered = asyncio.Event()
        self._settled = asyncio.Event()

    @property
    def taken(self) -> int:
        """Records on their way to the peer."""
        return self._outbox.taken

    def offer(self, item: T, size_bytes: int) -> None:
        """Never blocks; a full outbox drops its oldest queued record and counts it."""
        self._outbox.offer(item, size_bytes)
        self._offered.set()

    async def next(self) -> Ticket[T]:
        """Take the oldest record; waits for one."""
        while (ticket := self._outbox.take()) is None:
            self._offered.clear()
            await self._offered.wait()
        return ticket

    async def batch(self, limit: int) -> list[Ticket[T]]:
        """Take 1..limit records, as many as there are; waits for the first."""
        tickets = [await self.next()]
        while len(tickets) < limit and (ticket := self._outbox.take()) is not None:
            tickets.append(ticket)
        return tickets

    def acked(self, ticket: Ticket[T]) -> bool:
        """The peer has it. False if the record was not here any more."""
        return self._settle(self._outbox.acked(ticket))

    def failed(self, ticket: Ticket[T]) -> bool:
        """The peer refused it for good. False if the record was not here any more."""
        return self._settle(self._outbox.failed(ticket))

    def rewind(self) -> None:
        """The connection is gone: whatever was taken is queued again, in order."""
        if self._outbox.rewind():
            self._offered.set()

    async def emptied(self) -> None:
        """Wait until nothing waits for an acknowledgement."""
        while self._outbox.waiting:
            self._settled.clear()
            await self._settled.wait()

    def statistics(self) -> OutboxStatistics:
        return self._outbox.statistics()

    def _settle(self, was_here: bool) -> bool:
        if was_here:
            self._settled.set()
        return was_here


async def drain(backlogs: Iterable[Backlog[T]], deadline_s: float) -> None:
    """Wait until all are empty, at most `deadline_s` seconds. The sinks' `run` must be running meanwhile."""
    try:
        async with asyncio.timeout(deadline_s):
            for backlog in backlogs:
                await backlog.emptied()
    except TimeoutError:
        return


def total(parts: Iterable[OutboxStatistics], connected: bool, last_error: str) -> SinkStatistics:
    """One sink's figures from its outboxes; the law holds for a sum because it holds for each part."""
    parts = list(parts)
    return SinkStatistics(
        offered=sum(part.offered for part in parts),
        acked=sum(part.acked for part in parts),
        dropped=sum(part.dropped for part in parts),
        failed=sum(part.failed for part in parts),
        waiting=sum(part.waiting for part in parts),
        connected=connected,
        last_error=last_error,
    )
