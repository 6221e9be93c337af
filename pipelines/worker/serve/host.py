"""Models that run for clients of this protocol: each an engine with a worker loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from pipelines.contracts import Engine
from pipelines.values import ModelCard
from pipelines.worker.loop import WorkerLoop
from pipelines.worker.options import BatchOptions
from pipelines.worker.serve.repository import CardedReader

_DRAIN_POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class OwnHost:
    """Implements repository.Host: the worker's own model, whose life is somebody else's."""

    now: Callable[[], ModelCard]
    """Its card; another one once it was replaced."""
    max_batch: int
    take: Callable[[CardedReader], None]

    @property
    def card(self) -> ModelCard:
        return self.now()

    def collect(self, lane: CardedReader) -> None:
        self.take(lane)


class LoopHost:
    """Implements repository.LoadedHost. Event-loop thread, but for `warm`."""

    def __init__(self, engine: Engine, options: BatchOptions) -> None:
        self._engine = engine
        self._loop = WorkerLoop(engine, options)
        self._max_batch = min(engine.max_batch, options.max_batch)
        self._running: asyncio.Task[None] | None = None

    @property
    def card(self) -> ModelCard:
        return self._engine.card

    @property
    def max_batch(self) -> int:
        return self._max_batch

    def warm(self) -> None:
        """See WorkerLoop.warm. Any thread; blocks."""
        self._loop.warm()

    def start(self, group: asyncio.TaskGroup) -> None:
        """Run batches in this group: a lost device ends all of it."""
        self._running = group.create_task(self._loop.run(), name=f"batches[{self.card.name}]")

    def collect(self, lane: CardedReader) -> None:
        self._loop.collect(lane)

    async def close(self) -> None:
        """See LoadedHost. What it has is answered within its deadlines, so this ends."""
        if self._running is not None:
            while self._loop.in_hand and not self._running.done():
                await asyncio.sleep(_DRAIN_POLL_S)
            self._running.cancel()
            await asyncio.wait({self._running})
        self._loop.close()
        await asyncio.to_thread(self._engine.close)
