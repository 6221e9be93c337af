"""How late the event loop is: the first thing that suffers when pumps hold the GIL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from app.observe.latency import LatencyHistogram, LatencySnapshot


class LoopLag:
    """Sleeps and measures by how much it overslept. One histogram, no other memory."""

    def __init__(
        self,
        interval_s: float = 0.1,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._interval_s = interval_s
        self._clock_ns = clock_ns
        self._sleep = sleep
        self._histogram = LatencyHistogram()

    async def run(self) -> None:
        """Measure until cancelled."""
        interval_ns = int(self._interval_s * 1e9)
        while True:
            before_ns = self._clock_ns()
            await self._sleep(self._interval_s)
            self._histogram.record(self._clock_ns() - before_ns - interval_ns)

    def snapshot(self) -> LatencySnapshot:
        return self._histogram.snapshot()
