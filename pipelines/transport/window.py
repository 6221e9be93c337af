"""How many tasks a worker may have at once: as many as it answers in time. Pure: time is an argument.

The ring's slots are the most there is room for; a worker that slows down (another process on its GPU, thermal
throttling, a larger model) would hold them all, and every answer would be late. So the window shrinks by a quarter when
answers take longer than the target, at most once per window's worth of answers, and grows by one for each window's
worth in time (additive increase, multiplicative decrease: Chiu and Jain, 1989). It never closes: one task goes on
measuring.
"""

from __future__ import annotations

from pydantic import BaseModel, Field

_SHRINK = 0.75


class WindowOptions(BaseModel, frozen=True, extra="forbid"):
    """How the number of tasks a worker holds follows its speed."""

    target_ms: float = Field(
        default=500.0,
        gt=0,
        description="Time from publish to answer beyond which a worker is given fewer tasks at once (milliseconds).",
    )


class Window:
    """Of one lane. One thread, or under its owner's lock."""

    def __init__(self, options: WindowOptions, slots: int) -> None:
        self._target_ns = int(options.target_ms * 1e6)
        self._slots = slots
        self._size = float(slots)
        self._since_shrink = 0

    @property
    def size(self) -> int:
        """1..slots."""
        return int(self._size)

    def answered(self, turnaround_ns: int, refused_late: bool = False) -> None:
        """An answer came after so long; `refused_late`: the worker itself said that it could not make it."""
        self._since_shrink += 1
        if not refused_late and turnaround_ns <= self._target_ns:
            self._size = min(self._size + 1 / self._size, self._slots)
        elif self._since_shrink >= self._size:
            self._since_shrink = 0
            self._size = max(1.0, self._size * _SHRINK)
