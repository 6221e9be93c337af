"""The lag is what a sleep takes beyond what was asked for."""

from __future__ import annotations

import asyncio
import time

import pytest

from app.observe.loop_lag import LoopLag


class Clock:
    """Time that passes only in sleeps, each longer than asked for."""

    def __init__(self, late_s: list[float]) -> None:
        self.now_ns = 0
        self.late_s = late_s

    def read(self) -> int:
        return self.now_ns

    async def sleep(self, seconds: float) -> None:
        if not self.late_s:
            raise asyncio.CancelledError
        self.now_ns += int((seconds + self.late_s.pop(0)) * 1e9)


async def test_lag_is_measured() -> None:
    clock = Clock([0.001, 0.020, 0.001])
    lag = LoopLag(0.1, clock.read, clock.sleep)

    with pytest.raises(asyncio.CancelledError):
        await lag.run()

    snapshot = lag.snapshot()
    assert snapshot.count == 3
    assert snapshot.quantile_ms(0.5) == pytest.approx(1, rel=0.02)
    assert snapshot.most_ns == pytest.approx(20e6, abs=1000)


async def test_a_blocked_loop_shows() -> None:
    """With the real clock: who holds the loop for 20 ms is seen."""
    lag = LoopLag(0.0)
    task = asyncio.create_task(lag.run())
    await asyncio.sleep(0)  # it is in its own sleep now

    time.sleep(0.02)  # noqa: ASYNC251 - holding the loop is the point
    while lag.snapshot().count == 0:
        await asyncio.sleep(0)

    task.cancel()
    assert lag.snapshot().most_ns >= 20_000_000
