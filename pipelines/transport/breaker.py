"""When a worker that keeps failing is left alone, and when it is tried again. Pure: time is an argument.

| state  | step                          | next |
|--------|-------------------------------|------|
| CLOSED | `failures` failures in a row  | OPEN for a pause |
| OPEN   | the pause is over             | PROBING: one task may go |
| PROBING| it succeeded                  | CLOSED; the next pause is the first again |
| PROBING| it failed or was lost         | OPEN for twice the pause, up to a limit |

Source: the circuit breaker of Nygard, "Release It!".
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, Field


class BreakerOptions(BaseModel, frozen=True, extra="forbid"):
    """When a failing worker is left alone."""

    failures: int = Field(
        default=5,
        ge=1,
        description="Failed answers in a row after which a worker gets no more tasks for a while (count).",
    )
    pause_s: float = Field(default=0.5, gt=0, description="First such pause; doubles while probes fail (seconds).")
    pause_max_s: float = Field(default=10.0, gt=0, description="Longest such pause (seconds).")


class BreakerState(StrEnum):
    CLOSED = "closed"
    """Works: tasks go."""
    OPEN = "open"
    PROBING = "probing"
    """One task is allowed, or out, to find out."""


class Breaker:
    """Of one worker, over all its attaches. One thread, or under its owner's lock."""

    def __init__(self, options: BreakerOptions) -> None:
        self._options = options
        self._pause_s = options.pause_s
        self._failures = 0
        self._until_ns: int | None = None
        self._probe_out = False
        self.openings = 0

    def state(self, now_ns: int) -> BreakerState:
        if self._until_ns is None:
            return BreakerState.CLOSED
        return BreakerState.PROBING if now_ns >= self._until_ns else BreakerState.OPEN

    def allows(self, now_ns: int) -> bool:
        """May a task go? While probing, one at a time."""
        match self.state(now_ns):
            case BreakerState.CLOSED:
                return True
            case BreakerState.PROBING:
                return not self._probe_out
        return False

    def sent(self, now_ns: int) -> None:
        """A task that was allowed is out."""
        if self.state(now_ns) is BreakerState.PROBING:
            self._probe_out = True

    def succeeded(self) -> None:
        """An answer that shows the worker works. Answers to tasks sent before the opening count as well."""
        self._failures = 0
        self._until_ns = None
        self._probe_out = False
        self._pause_s = self._options.pause_s

    def failed(self, now_ns: int) -> None:
        """A failed answer, or a loss. What was sent before the opening adds nothing while it is open."""
        self._failures += 1
        probing = self.state(now_ns) is BreakerState.PROBING
        if self._until_ns is None and self._failures >= self._options.failures:
            self._open(now_ns)
        elif probing and self._probe_out:
            self._pause_s = min(2 * self._pause_s, self._options.pause_max_s)
            self._open(now_ns)

    def withdrawn(self) -> None:
        """The probe did not go out after all, is gone, or came back saying nothing of the worker."""
        self._probe_out = False

    def _open(self, now_ns: int) -> None:
        self._until_ns = now_ns + int(self._pause_s * 1e9)
        self._probe_out = False
        self.openings += 1
