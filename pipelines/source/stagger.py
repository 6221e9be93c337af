"""Spreads the opens of all cameras of a process in time: many at once delay each other (PyAV#1257).

A reservation, not a semaphore: nothing is held while an open runs, so opens that hang cannot starve the others.
"""

from __future__ import annotations

import threading

from pydantic import BaseModel, Field


class StaggerOptions(BaseModel, frozen=True, extra="forbid"):
    """How quickly a process opens its cameras."""

    opens_per_s: float = Field(default=20.0, gt=0, description="Cameras opened per second, by the whole process.")


class Stagger:
    """Hands out starting times. One per process, thread-safe, never blocks.

    Bound: each camera holds at most one reservation, so the last one lies cameras / opens_per_s ahead.
    """

    def __init__(self, options: StaggerOptions | None = None) -> None:
        self._interval_ns = round(1e9 / (options or StaggerOptions()).opens_per_s)
        self._lock = threading.Lock()
        self._next_ns: int | None = None

    def reserve(self, now_ns: int) -> float:
        """Seconds from now at which the caller may open. A reservation that is not used costs nobody anything."""
        with self._lock:
            start_ns = now_ns if self._next_ns is None else max(now_ns, self._next_ns)
            self._next_ns = start_ns + self._interval_ns
        return (start_ns - now_ns) / 1e9
