"""Keeps the last records in memory: for tests, and for the live page."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from pydantic import BaseModel, Field

from pipelines.contracts import Acked, SinkStatistics
from pipelines.values import Alert, CameraHealth, FrameResult


class MemoryOptions(BaseModel, frozen=True, extra="forbid"):
    """How much to remember."""

    alerts: int = Field(default=1000, ge=1, description="Alert records kept; the oldest go first.")
    results: int = Field(default=0, ge=0, description="Frame results kept; 0 keeps none.")
    health: int = Field(default=1000, ge=1, description="Health changes kept; the oldest go first.")


class MemorySink:
    """A sink whose peer is this process: every record is acknowledged at once. Event loop only.

    Bound: the options' numbers of records; the oldest are forgotten. A kept result holds no picture.
    """

    def __init__(
        self,
        options: MemoryOptions | None = None,
        acked: Acked | None = None,
        name: str = "memory",
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        options = options or MemoryOptions()
        self.name = name
        self._keeps_results = options.results > 0
        self._acked = acked
        self._clock_ns = clock_ns
        self._offered = 0
        self.alerts: deque[Alert] = deque(maxlen=options.alerts)
        self.results: deque[FrameResult] = deque(maxlen=options.results)
        self.changes: deque[CameraHealth] = deque(maxlen=options.health)

    def alert(self, alert: Alert) -> None:
        self._offered += 1
        self.alerts.append(alert)
        if self._acked is not None:
            self._acked(alert, self._clock_ns())

    def result(self, result: FrameResult) -> None:
        if self._keeps_results:
            self._offered += 1
            self.results.append(replace(result, frame=None))

    def health(self, health: CameraHealth) -> None:
        self._offered += 1
        self.changes.append(health)

    async def run(self) -> None:
        """Nothing to do; waits to be cancelled."""
        await asyncio.Event().wait()

    async def drain(self, deadline_s: float) -> None:
        """Nothing ever waits."""

    def statistics(self) -> SinkStatistics:
        return SinkStatistics(
            offered=self._offered, acked=self._offered, dropped=0, failed=0, waiting=0, connected=True
        )
