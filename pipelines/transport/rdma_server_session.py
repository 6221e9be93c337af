"""One attached DPU process as its worker sees it, over RDMA."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipelines.errors import LaneError
from pipelines.transport.message import Kind, parse_signal, signal
from pipelines.transport.options import LaneOptions
from pipelines.transport.rdma_memory import WorkerMemory
from pipelines.transport.rdma_notice import generation_of, pack_notice, slot_of
from pipelines.transport.rdma_status import reason_of
from pipelines.transport.rdma_verbs import QueuePair
from pipelines.transport.rdma_wire import Wire
from pipelines.transport.reader import LaneReader
from pipelines.values import ModelCard


class ServerSession:
    """One lane from ATTACHED to its end. Event-loop thread."""

    def __init__(
        self, wire: Wire, pair: QueuePair, memory: WorkerMemory, card: ModelCard, name: str, options: LaneOptions
    ) -> None:
        self.lane = LaneReader(memory.lane, card, self._answered, name)
        self.lane.on_end = self._finish
        self._wire, self._pair, self._settle, self._options = wire, pair, memory.settle, options
        self._layout, self._headers = memory.lane.layout, memory.lane.payload
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._readable: Callable[[LaneReader], None] = lambda lane: None

    async def carry(self, readable: Callable[[LaneReader], None]) -> str:
        """Collect slots until the lane is over, and call `readable` for them. Returns why it is over.

        Raises what `readable` raises.
        """
        self._readable = readable
        self._loop.add_reader(self._pair.fileno(), self._collect)
        listening = self._loop.create_task(self._listen())
        try:
            await self._over
        finally:
            self._loop.remove_reader(self._pair.fileno())
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        return self.lane.end_reason or ""

    def tell(self, message: bytes) -> None:
        self._wire.tell(message)

    def _collect(self) -> None:
        """Completions: slots, or the end."""
        if self.lane.end_reason is not None:
            return
        try:
            done = self._pair.completions()
            for one in done:
                if one.notice is None:
                    raise LaneError(reason_of(done))
                self._published(one.notice)
            self._settle()
            self._readable(self.lane)
        except LaneError as error:
            self.lane.end(str(error))
        except Exception as error:
            # A bug in the worker loop must not vanish in a loop callback: it goes out through run().
            if not self._over.done():
                self._over.set_exception(error)

    def _published(self, notice: int) -> None:
        slot = slot_of(notice)
        if slot >= self._layout.slots:
            raise LaneError(f"the peer announced slot {slot}, which there is not")
        self.lane.announced(slot, generation_of(notice, self._headers, self._layout.header_offset(slot)))

    def _answered(self, slot: int, generation: int) -> None:
        if not self._pair.post(slot, self._layout.answer_stride, pack_notice(slot, generation)):
            self.lane.end("the answer cannot be sent: the RDMA connection is broken, or its queue full")

    async def _listen(self) -> None:
        """Pings come as long as the DPU process lives; its host may vanish without a word."""
        try:
            while True:
                kind, _, _ = parse_signal(await self._wire.hear(self._options.ping_timeout_s))
                if kind != Kind.PING:
                    raise LaneError(f"the DPU process sent a message of kind {kind}, which does not belong here")
                self._wire.tell(signal(Kind.PONG))
        except LaneError as error:
            self.lane.end(str(error))

    def _finish(self) -> None:
        if not self._over.done():
            self._over.set_result(None)
