"""When a camera whose thread died of a bug is started again. Pure."""

from __future__ import annotations

from app.supervisor import Brake

_HEALTHY_NS = 60 * 1_000_000_000
"""A thread that ran this long before it died releases the brake."""


class Revival:
    """One camera's deaths. Event-loop thread; time is an argument."""

    def __init__(self, brake: Brake | None = None) -> None:
        self._brake = brake or Brake(first_s=1.0, most_s=60.0)
        self._in_a_row = 0
        self._began_ns = 0
        self._due_ns: int | None = None
        self.deaths = 0

    @property
    def waiting(self) -> bool:
        """Its death was noticed; it is to be started again."""
        return self._due_ns is not None

    def began(self, now_ns: int) -> None:
        """Its thread was started."""
        self._began_ns, self._due_ns = now_ns, None

    def died(self, now_ns: int) -> float:
        """Returns the wait before the next start, seconds."""
        self.deaths += 1
        self._in_a_row = 1 if now_ns - self._began_ns > _HEALTHY_NS else self._in_a_row + 1
        wait_s = self._brake.wait_s(self._in_a_row)
        self._due_ns = now_ns + int(wait_s * 1e9)
        return wait_s

    def due(self, now_ns: int) -> bool:
        """Start it now."""
        return self._due_ns is not None and now_ns >= self._due_ns
