"""The payload regions of attached lanes, pinned for the engine that reads them.

| a lane                                    | its region                                                  |
|-------------------------------------------|-------------------------------------------------------------|
| has attached                              | is pinned, in another thread; until then payloads are staged |
| has ended, batches may still read from it | stays pinned, and so mapped                                 |
| has ended, none does                      | is unpinned                                                 |

An engine that cannot pin says so, once for each lane, and nothing else happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from pipelines.contracts import Engine, SlotReader
from pipelines.values import U8

_POLL_S = 0.005


class RegionReader(SlotReader, Protocol):
    """A lane with its payloads in main memory, or elsewhere."""

    @property
    def region(self) -> U8 | None:
        """(n,) all of its payloads; None: not in main memory, or the lane has ended."""


class Pinning:
    """For one engine. Event-loop thread; one `follow` at a time."""

    def __init__(self, engine: Engine, held: Callable[[SlotReader], bool]) -> None:
        """`held(lane)`: a task of that lane is waiting or being run."""
        self._engine, self._held = engine, held
        self._regions: dict[RegionReader, U8] = {}
        self._lock = asyncio.Lock()

    async def follow(self, lanes: Iterable[RegionReader]) -> None:
        """Pin what has attached, unpin what is gone: now these are the lanes. Waits for batches of those gone.

        Raises:
            DeviceLost.
        """
        now = set(lanes)
        async with self._lock:
            for lane in now - self._regions.keys():
                if (region := lane.region) is not None:
                    self._regions[lane] = region
                    await asyncio.to_thread(self._engine.pin, region)
            for lane in self._regions.keys() - now:
                while self._held(lane):
                    await asyncio.sleep(_POLL_S)
                await asyncio.to_thread(self._engine.unpin, self._regions.pop(lane))

    async def again(self) -> None:
        """Pin all once more: another engine of the same device may have had them until now."""
        async with self._lock:
            for region in self._regions.values():
                await asyncio.to_thread(self._engine.pin, region)

    async def end(self) -> None:
        """The engine is about to be closed, which unpins everything: do nothing more with it."""
        async with self._lock:
            self._regions.clear()
