"""One attach of an RDMA lane as the DPU sees it, from ATTACHED to its end."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

from pipelines.contracts import LaneEvents
from pipelines.errors import LaneError
from pipelines.transport.message import Kind, decode_card, parse_signal, signal
from pipelines.transport.options import LaneOptions
from pipelines.transport.rdma_notice import generation_of, slot_of
from pipelines.transport.rdma_status import reason_of
from pipelines.transport.rdma_verbs import QueuePair
from pipelines.transport.rdma_wire import Wire
from pipelines.transport.writer import LaneMemory, LaneWriter

_RETIRE_POLL_S = 0.01
_GRACE_S = 0.05
"""For what has arrived while our own loop was late: that is not the worker's silence."""


class LinkSession:
    """Delivers answers, asks whether the worker lives, and knows why it is over. Event-loop thread."""

    def __init__(
        self,
        wire: Wire,
        pair: QueuePair,
        writer: LaneWriter,
        memory: LaneMemory,
        options: LaneOptions,
        events: LaneEvents,
        counts: Counter[str],
    ) -> None:
        self.writer = writer
        self._counts = counts
        self._wire, self._pair, self._options, self._events = wire, pair, options, events
        self._layout, self._answers = memory.layout, memory.answers
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[str] = self._loop.create_future()
        self._news = asyncio.Event()
        """Something for `_watch` to look at before its next tick."""
        self._heard_s = self._loop.time()
        self._retiring: str | None = None
        self._retire_until_s = 0.0

    async def carry(self) -> str:
        """Deliver answers until the lane is over. Returns why. Raises what `events` raises."""
        self._loop.add_reader(self._pair.fileno(), self._collect)
        chores = [self._loop.create_task(chore) for chore in (self._listen(), self._ping(), self._watch())]
        try:
            return await self._over
        finally:
            self._loop.remove_reader(self._pair.fileno())
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)

    def _collect(self) -> None:
        """Completions: answers, or the end."""
        if self._over.done():
            return
        try:
            done = self._pair.completions()
            for one in done:
                self._counts["failed_completions" if one.notice is None else "notices"] += 1
                if one.notice is None:
                    self._end(reason_of(done))
                else:
                    self._answered(one.notice)
        except LaneError as error:
            self._end(str(error))
        except Exception as error:
            # A bug in events must not vanish in a loop callback: it goes out through run().
            if not self._over.done():
                self._over.set_exception(error)

    def _answered(self, notice: int) -> None:
        self._heard_s = self._loop.time()
        slot = slot_of(notice)
        if slot >= self._layout.slots:
            raise LaneError(f"the worker answered slot {slot}, which there is not")
        answer = self.writer.answered(slot, generation_of(notice, self._answers, self._layout.answer_offset(slot)))
        if answer is not None:
            self._events.answered(answer)

    async def _listen(self) -> None:
        try:
            while True:
                self._handle(await self._wire.hear())
        except LaneError as error:
            self._collect()  # a worker that died had perhaps answered before
            self._end(str(error))

    def _handle(self, body: bytes) -> None:
        self._heard_s = self._loop.time()
        if body[:1] == bytes([Kind.CARD]):
            if decode_card(body) != self.writer.card:
                self._retire("the worker changed its model")
            return
        kind, _, _ = parse_signal(body)
        if kind == Kind.DRAIN:
            self._retire("the worker is draining")
        elif kind != Kind.PONG:
            raise LaneError(f"the worker sent a message of kind {kind}, which does not belong here")

    async def _ping(self) -> None:
        while True:
            self._wire.tell(signal(Kind.PING))
            await asyncio.sleep(self._options.ping_interval_s)

    async def _watch(self) -> None:
        """End the lane when the worker is silent, or when what it was to finish is finished."""
        timeout_s = self._options.ping_timeout_s
        while True:
            await self._tick()
            if self._loop.time() - self._heard_s >= timeout_s:
                await asyncio.sleep(_GRACE_S)
                silent_s = self._loop.time() - self._heard_s
                if silent_s >= timeout_s:
                    self._end(f"the worker has been silent for {silent_s:.1f} s")
            if self._retiring and (self.writer.used == 0 or self._loop.time() >= self._retire_until_s):
                self._end(self._retiring)

    async def _tick(self) -> None:
        tick_s = _RETIRE_POLL_S if self._retiring else self._options.ping_interval_s / 2
        with suppress(TimeoutError):
            async with asyncio.timeout(tick_s):
                await self._news.wait()
        self._news.clear()

    def _retire(self, reason: str) -> None:
        """Lend no more; end when all is back, or when the time for it is over."""
        if self._retiring is None:
            self.writer.close()
            self._retiring = reason
            self._retire_until_s = self._loop.time() + self._options.retire_timeout_s
            self._news.set()

    def _end(self, reason: str) -> None:
        if not self._over.done():
            self._over.set_result(reason)
