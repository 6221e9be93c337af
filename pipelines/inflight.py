"""What lies between the two loops: tasks that ingest handed to a worker and egress has not had an answer for.

Bound: one entry per slot of the lanes, as a task is opened with a slot in hand. What presence alone answers is here
only on its way to the event loop.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable

from pipelines.contracts import SlotWriter
from pipelines.values import TaskContext

_SMOOTHING = 1 / 16


class InFlight:
    """Open tasks by number, and the lane they go into. Thread-safe: pumps open, the event loop closes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, TaskContext] = {}
        # Task numbers go on across restarts (seconds since the epoch in the high bits): consumers may store them.
        self._numbers = itertools.count(int(time.time()) << 24)
        self._turnaround_ns = 0.0
        self.writer: SlotWriter | None = None
        """The attached lane, None while no worker is there. Written by the event loop only."""
        self.peak = 0

    def number(self) -> int:
        """The next task number, unique in this process and, within reason, across restarts."""
        return next(self._numbers)

    def open(self, context: TaskContext) -> None:
        with self._lock:
            self._open[context.task] = context
            self.peak = max(self.peak, len(self._open))

    def get(self, task: int) -> TaskContext | None:
        """A task that is open; it stays open."""
        with self._lock:
            return self._open.get(task)

    def contexts(self) -> list[TaskContext]:
        """All that are open."""
        with self._lock:
            return list(self._open.values())

    def close(self, task: int) -> TaskContext | None:
        """Take a task out; None if it is not open (answered twice, or settled when its camera stopped)."""
        with self._lock:
            return self._open.pop(task, None)

    def close_camera(self, camera: str) -> list[TaskContext]:
        """Take out all tasks of one camera, which is being removed."""
        with self._lock:
            gone = [c for c in self._open.values() if c.camera == camera]
            for context in gone:
                del self._open[context.task]
            return gone

    def tasks(self) -> Iterable[int]:
        with self._lock:
            return tuple(self._open)

    def __len__(self) -> int:
        return len(self._open)

    def observe_turnaround(self, elapsed_ns: int) -> None:
        """Feed one measured time from publish to answer."""
        if self._turnaround_ns == 0:
            self._turnaround_ns = elapsed_ns
        self._turnaround_ns += (elapsed_ns - self._turnaround_ns) * _SMOOTHING

    @property
    def turnaround_ns(self) -> int:
        """What a task published now will take, by recent experience.

        0 with nothing open: there is no queue to wait in, and a figure from a slow spell must not keep out the one
        task whose answer would correct it.
        """
        return int(self._turnaround_ns) if self._open else 0
