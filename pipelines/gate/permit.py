"""Permits for catch-up decoding: as many at once as there are cores, the earliest deadline first.

Ten cameras that wake together and decode their kept packets at once would time-slice, and all be late; one after the
other, the first are on time.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class PermitQueue:
    """Who holds a permit and who is next. Pure; not thread-safe. Equal deadlines: first come, first served.

    Bound: the callers wait, so as many tickets as cameras.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: list[tuple[int, int]] = []
        self._left: set[int] = set()
        self._held: set[int] = set()
        self._tickets = 0

    def ask(self, deadline_ns: int) -> int:
        """Stand in line. Returns a ticket; `holds` says when it is a permit."""
        self._tickets += 1
        heapq.heappush(self._waiting, (deadline_ns, self._tickets))
        return self._tickets

    def next(self) -> int | None:
        """Give a free permit to the ticket with the earliest deadline; None when none is free or nobody waits."""
        while self._free and self._waiting:
            _, ticket = heapq.heappop(self._waiting)
            if ticket in self._left:
                self._left.remove(ticket)
                continue
            self._free -= 1
            self._held.add(ticket)
            return ticket
        return None

    def holds(self, ticket: int) -> bool:
        return ticket in self._held

    def leave(self, ticket: int) -> None:
        """Give the permit back, or step out of the line."""
        if ticket in self._held:
            self._held.remove(ticket)
            self._free += 1
        else:
            self._left.add(ticket)

    @property
    def held(self) -> int:
        return len(self._held)

    @property
    def waiting(self) -> int:
        return len(self._waiting) - len(self._left)


@dataclass(frozen=True, slots=True)
class PermitStatistics:
    """One reading."""

    count: int
    held: int
    waiting: int
    peak_waiting: int
    given: int
    aborted: int
    """Left the line without a permit: aborted, or timed out."""


class Permits:
    """The queue for threads. Every waiter sleeps on its own condition, so a permit wakes one thread, not all."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._queue = PermitQueue(count)
        self._sleeping: dict[int, tuple[str, threading.Condition]] = {}
        self._peak = self._given = self._aborted = 0

    @contextmanager
    def hold(self, camera: str, deadline_ns: int, timeout_s: float | None = None) -> Iterator[bool]:
        """Wait for a permit, and hold it for the block. Blocks.

        Yields:
            True with a permit; False, without one, when aborted or when `timeout_s` passed first.
        """
        ticket = self._acquire(camera, deadline_ns, timeout_s)
        try:
            yield ticket is not None
        finally:
            if ticket is not None:
                with self._lock:
                    self._queue.leave(ticket)
                    self._hand_out()

    def abort(self, camera: str) -> None:
        """Let this camera's thread wait no longer (it stops). Only what waits now: call again until the thread ends."""
        with self._lock:
            for ticket, (owner, condition) in list(self._sleeping.items()):
                if owner == camera:
                    self._step_out(ticket)
                    condition.notify()

    def statistics(self) -> PermitStatistics:
        with self._lock:
            queue = self._queue
            return PermitStatistics(self._count, queue.held, queue.waiting, self._peak, self._given, self._aborted)

    def _acquire(self, camera: str, deadline_ns: int, timeout_s: float | None) -> int | None:
        with self._lock:
            ticket = self._queue.ask(deadline_ns)
            condition = threading.Condition(self._lock)
            self._sleeping[ticket] = camera, condition
            self._peak = max(self._peak, self._queue.waiting)
            self._hand_out()
            condition.wait_for(lambda: ticket not in self._sleeping, timeout_s)
            if ticket in self._sleeping:
                self._step_out(ticket)
            return ticket if self._queue.holds(ticket) else None

    def _step_out(self, ticket: int) -> None:
        """Leave the line without a permit. The lock is held."""
        del self._sleeping[ticket]
        self._queue.leave(ticket)
        self._aborted += 1

    def _hand_out(self) -> None:
        """Wake whoever holds a permit now. The lock is held."""
        while (ticket := self._queue.next()) is not None:
            self._given += 1
            _, condition = self._sleeping.pop(ticket)
            condition.notify()
