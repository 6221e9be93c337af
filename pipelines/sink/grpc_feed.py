"""Who gets which alert: the memory of recent ones, and a bounded queue per subscriber. Pure; one thread.

The unit of all counters is a delivery: one alert to one subscriber. An alert that nobody subscribed to is none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from pipelines.values import Alert, AlertType


@dataclass(frozen=True, slots=True)
class Wants:
    """What a subscriber asked for."""

    cameras: frozenset[str] = frozenset()
    """Empty: all."""
    classes: frozenset[str] = frozenset()
    """Empty: all."""
    since_ms: int | None = None
    """First what is remembered from then on; None: only what is new."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An alert and its wire form, encoded once for all."""

    alert: Alert
    data: bytes


class Subscription:
    """One subscriber's queue. Bound: `max_waiting` alerts; full: the oldest is dropped, counted."""

    def __init__(self, wants: Wants, peer: str, max_waiting: int, on_change: Callable[[], None]) -> None:
        self.wants = wants
        self.peer = peer
        self.offered = self.acked = self.dropped = self.peak_waiting = 0
        self._max_waiting = max_waiting
        self._on_change = on_change
        self._queue: deque[Entry] = deque()
        self._sending = 0
        self._followed: set[str] = set()
        """Episodes that matched once. Bound: one lives per camera."""

    @property
    def waiting(self) -> int:
        """Queued, or handed to the transport and not yet taken by it."""
        return len(self._queue) + self._sending

    def offer(self, entry: Entry) -> None:
        if not self._matches(entry.alert):
            return
        self.offered += 1
        self._queue.append(entry)
        if len(self._queue) > self._max_waiting:
            self._queue.popleft()
            self.dropped += 1
        self.peak_waiting = max(self.peak_waiting, self.waiting)
        self._on_change()

    def take(self) -> Entry | None:
        """The oldest that waits, now being sent; None if nothing waits."""
        if not self._queue:
            return None
        self._sending = 1
        return self._queue.popleft()

    def sent(self) -> None:
        """The transport took what was being sent."""
        self._sending = 0
        self.acked += 1
        self._on_change()

    def _matches(self, alert: Alert) -> bool:
        """Camera and class are wanted. Once an episode matched, all of it does: whoever got a `new` gets its `end`."""
        if self.wants.cameras and alert.camera_id not in self.wants.cameras:
            return False
        if not self.wants.classes:
            return True
        matches = alert.event_id in self._followed or not self.wants.classes.isdisjoint(alert.classes)
        if matches and alert.type is not AlertType.END:
            self._followed.add(alert.event_id)
        else:
            self._followed.discard(alert.event_id)
        return matches


class Feed:
    """All subscribers, and what a new one may still ask for. Bounds: subscribers, remembered alerts and bytes."""

    def __init__(self, max_subscribers: int, max_waiting: int, remember: int, remember_bytes: int) -> None:
        self._max_subscribers = max_subscribers
        self._max_waiting = max_waiting
        self._remember = remember
        self._remember_bytes = remember_bytes
        self._memory: deque[Entry] = deque()
        self._memory_bytes = 0
        self._subscriptions: list[Subscription] = []
        self._left_offered = self._left_acked = self._left_dropped = self._failed = 0

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        return tuple(self._subscriptions)

    @property
    def remembered(self) -> int:
        return len(self._memory)

    @property
    def offered(self) -> int:
        return self._left_offered + sum(s.offered for s in self._subscriptions)

    @property
    def acked(self) -> int:
        return self._left_acked + sum(s.acked for s in self._subscriptions)

    @property
    def dropped(self) -> int:
        return self._left_dropped + sum(s.dropped for s in self._subscriptions)

    @property
    def waiting(self) -> int:
        return sum(s.waiting for s in self._subscriptions)

    @property
    def failed(self) -> int:
        """Waited for subscribers that left."""
        return self._failed

    def offer(self, entry: Entry) -> None:
        """To all whom it concerns, and to memory: full, the oldest is forgotten."""
        self._memory.append(entry)
        self._memory_bytes += len(entry.data)
        while len(self._memory) > self._remember or self._memory_bytes > self._remember_bytes:
            self._memory_bytes -= len(self._memory.popleft().data)
        for subscription in self._subscriptions:
            subscription.offer(entry)

    def subscribe(self, wants: Wants, peer: str, on_change: Callable[[], None]) -> Subscription | None:
        """A new subscriber, its queue filled from memory; None when there are too many. `leave` must follow.

        What it asked for from memory is never dropped for want of room: the bound is raised by as much.
        """
        if len(self._subscriptions) >= self._max_subscribers:
            return None
        replay = [] if wants.since_ms is None else [e for e in self._memory if e.alert.time_ms >= wants.since_ms]
        subscription = Subscription(wants, peer, self._max_waiting + len(replay), on_change)
        for entry in replay:
            subscription.offer(entry)
        self._subscriptions.append(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """It is gone; what waited for it failed."""
        self._subscriptions.remove(subscription)
        self._left_offered += subscription.offered
        self._left_acked += subscription.acked
        self._left_dropped += subscription.dropped
        self._failed += subscription.waiting
