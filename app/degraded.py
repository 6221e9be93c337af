"""Keeps the answers coming while no worker gives any: the own detector's life, and regular looks at the workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

from app.measure import Measure
from pipelines import build
from pipelines.egress import Egress
from pipelines.standby import Standby
from pipelines.standin.options import DegradedOptions
from pipelines.values import Answer, Letterbox

_LOOK_S = 0.05


class Degraded:
    """One per process. Event loop; what comes from other threads is handed over to it."""

    def __init__(self, options: DegradedOptions, standby: Standby, egress: Egress, measure: Measure) -> None:
        self._options, self._standby, self._egress, self._measure = options, standby, egress, measure
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self, stack: AsyncExitStack) -> None:
        """Load the own detector, if one is configured; it ends with the stack.

        Raises:
            ModelError: it cannot be used.
        """
        self._loop = asyncio.get_running_loop()
        self._standby.tell = lambda task: self._hand_over(lambda: self._egress.by_presence(task))
        made = await asyncio.to_thread(build.own_detector, self._options, self._answered)
        if made is not None:
            detector, lane = made
            stack.push_async_callback(asyncio.to_thread, detector.close)
            self._standby.equip(detector, lane)
            self._measure.log.info("degraded.ready", detector=detector.card.name, cores=self._options.cores)

    async def run(self) -> None:
        """Look at the workers until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            now_ns = time.monotonic_ns()
            self._egress.look(now_ns)
            reason = self._standby.changed(now_ns)
            if reason is not None:
                self._measure.degraded(reason, self._standby.snapshot(now_ns).answerer)

    def _answered(self, answer: Answer, fit: Letterbox | None) -> None:
        """In the detector's thread."""
        self._hand_over(lambda: self._egress.by_own_detector(answer, fit))

    def _hand_over(self, work: Callable[[], None]) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop has closed; what is open was settled when the cameras were
            self._loop.call_soon_threadsafe(work)
