"""How long a camera waits before it tries again: exponential with jitter, without end."""

from __future__ import annotations

import random

from pydantic import BaseModel, Field


class BackoffOptions(BaseModel, frozen=True, extra="forbid"):
    """Waiting times between attempts to connect."""

    first_s: float = Field(default=0.5, gt=0, description="Wait after the first failure, seconds.")
    max_s: float = Field(default=30.0, gt=0, description="Longest wait, seconds; reached after a few failures.")
    factor: float = Field(default=2.0, ge=1, description="Each failure multiplies the wait by this.")
    jitter: float = Field(
        default=0.5, ge=0, le=1, description="Share of each wait that is random, so that cameras do not return in step."
    )
    healthy_s: float = Field(
        default=20.0, ge=0, description="A connection that lived this long, seconds, makes the next wait a first one."
    )


class Backoff:
    """State of one camera's attempts. Pure: time is an argument. One thread at a time.

    The wait after failure n is drawn from [(1 - jitter) w, w], w = min(max_s, first_s * factor ** n).
    """

    def __init__(self, options: BackoffOptions | None = None, rng: random.Random | None = None) -> None:
        self._options = options or BackoffOptions()
        self._random = rng or random.Random()
        self._wait_s = self._options.first_s
        self._healthy_ns: int | None = None
        self.failures = 0
        """In a row, since the last healthy period."""

    def healthy(self, now_ns: int) -> None:
        """The stream is good at this moment. The first call after a failure starts the healthy period."""
        if self._healthy_ns is None:
            self._healthy_ns = now_ns

    def failed(self, now_ns: int) -> float:
        """The attempt or the connection failed. Returns the seconds to wait before the next one."""
        if self._healthy_ns is not None and now_ns - self._healthy_ns >= self._options.healthy_s * 1e9:
            self.failures = 0
            self._wait_s = self._options.first_s
        self._healthy_ns = None
        self.failures += 1
        wait_s = min(self._wait_s, self._options.max_s)
        self._wait_s = min(wait_s * self._options.factor, self._options.max_s)
        return wait_s * (1 - self._options.jitter * self._random.random())
