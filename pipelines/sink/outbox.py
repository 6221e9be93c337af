"""The bounded buffer between the event loop and one sink's peer. Pure: no clock, no I/O, no asyncio.

A record stays in the outbox until the peer has acknowledged it:

| state   | entered by        | left by                                   |
|---------|-------------------|-------------------------------------------|
| queued  | offer, rewind     | take, overflow (dropped), acked           |
| taken   | take              | acked, failed, rewind (back to the front) |

Bound: records and bytes, of both states together. When a newcomer does not fit, the oldest *queued* records are
dropped and counted until it fits; a taken record may already be at the peer, so it is never dropped. A newcomer that
could never fit (larger than the bound, or only taken records are left) is dropped itself, and costs no other.

The law: `offered == acked + dropped + failed + waiting`, at any instant.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OutboxStatistics:
    """Counters of one outbox since it was made."""

    offered: int
    acked: int
    dropped: int
    failed: int
    waiting: int
    """Queued and taken."""
    waiting_bytes: int
    taken: int
    peak: int
    """Most records that ever waited at once."""
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Ticket(Generic[T]):
    """One record in the outbox. `number` counts offers from 0, so it also says which is older."""

    number: int
    item: T
    size_bytes: int


class Outbox(Generic[T]):
    """First in, first out, until acknowledged. One thread; every call is O(1) but `rewind` and a drop of many."""

    def __init__(self, max_records: int, max_bytes: int) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._queued: OrderedDict[int, Ticket[T]] = OrderedDict()
        self._taken: OrderedDict[int, Ticket[T]] = OrderedDict()
        self._bytes = self._taken_bytes = 0
        self._offered = self._acked = self._dropped = self._failed = 0
        self._peak = self._peak_bytes = 0

    @property
    def waiting(self) -> int:
        """Records not yet acknowledged, dropped or failed."""
        return len(self._queued) + len(self._taken)

    @property
    def taken(self) -> int:
        """Records on their way to the peer."""
        return len(self._taken)

    def offer(self, item: T, size_bytes: int) -> bool:
        """Put a record in at the end. False if the newcomer itself was dropped."""
        ticket = Ticket(self._offered, item, size_bytes)
        self._offered += 1
        if len(self._taken) >= self._max_records or self._taken_bytes + size_bytes > self._max_bytes:
            self._dropped += 1
            return False
        while self.waiting >= self._max_records or self._bytes + size_bytes > self._max_bytes:
            _, oldest = self._queued.popitem(last=False)
            self._bytes -= oldest.size_bytes
            self._dropped += 1
        self._queued[ticket.number] = ticket
        self._bytes += size_bytes
        self._peak = max(self._peak, self.waiting)
        self._peak_bytes = max(self._peak_bytes, self._bytes)
        return True

    def take(self) -> Ticket[T] | None:
        """Hand out the oldest queued record; None when none is queued."""
        if not self._queued:
            return None
        number, ticket = self._queued.popitem(last=False)
        self._taken[number] = ticket
        self._taken_bytes += ticket.size_bytes
        return ticket

    def acked(self, ticket: Ticket[T]) -> bool:
        """The peer has it. False if it is not here (dropped meanwhile, or acknowledged before).

        A rewound record may still be acknowledged by the connection that was given up: then it is not sent again.
        """
        if not self._remove(ticket):
            return False
        self._acked += 1
        return True

    def failed(self, ticket: Ticket[T]) -> bool:
        """The peer refused it for good. False if it is not here."""
        if not self._remove(ticket):
            return False
        self._failed += 1
        return True

    def rewind(self) -> int:
        """The connection is gone: everything taken is queued again, in its old order. Returns how many."""
        rewound = len(self._taken)
        self._taken.update(self._queued)
        self._queued, self._taken = self._taken, OrderedDict()
        self._taken_bytes = 0
        return rewound

    def statistics(self) -> OutboxStatistics:
        """Read all counters at one instant."""
        return OutboxStatistics(
            offered=self._offered,
            acked=self._acked,
            dropped=self._dropped,
            failed=self._failed,
            waiting=self.waiting,
            waiting_bytes=self._bytes,
            taken=len(self._taken),
            peak=self._peak,
            peak_bytes=self._peak_bytes,
        )

    def _remove(self, ticket: Ticket[T]) -> bool:
        if self._taken.pop(ticket.number, None) is not None:
            self._taken_bytes -= ticket.size_bytes
        elif self._queued.pop(ticket.number, None) is None:
            return False
        self._bytes -= ticket.size_bytes
        return True
