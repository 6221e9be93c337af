"""The DPU's end of a lane over gRPC: any server of the Open Inference Protocol that has the folded model.

The ring, its laws and its memory are those of every carrier; a doorbell becomes a call, and the end of the call is the
answer, and so the credit. The two regions are this process's own, nothing is shared: a late answer of an old epoch has
nowhere to write to.

| what the server does                  | what becomes of the task | and of the lane |
|---------------------------------------|--------------------------|-----------------|
| answers rows                          | OK                       | |
| DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED | LATE                     | |
| INVALID_ARGUMENT                      | BAD_INPUT                | |
| INTERNAL, UNKNOWN                     | ENGINE_FAILED            | |
| any other status, an odd answer       | lost                     | lends no more, ends when the other calls have |
| says nothing for ping_timeout_s       | lost, all of them        | ends |
| is not ready, or has another model    | answered as above        | lends no more, ends when the calls have |

The server's clock is not ours: taken, started and finished are 0 in these answers.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import grpc

from pipelines.card import interchangeable
from pipelines.contracts import LaneEvents
from pipelines.errors import LaneError
from pipelines.transport import grpc_form
from pipelines.transport.grpc_channel import InferenceChannel
from pipelines.transport.grpc_options import GrpcLaneOptions
from pipelines.transport.link import Link
from pipelines.transport.options import LaneOptions
from pipelines.transport.reader import NO_ROWS
from pipelines.transport.region import RegionLayout
from pipelines.transport.ring import Ring
from pipelines.transport.writer import LaneMemory, LaneWriter
from pipelines.values import F32, AnswerCode, ModelCard, SlotHeader


class GrpcCarrier:
    """Calls to one server."""

    name = "grpc"

    def __init__(self, server: GrpcLaneOptions, options: LaneOptions) -> None:
        self._server, self._options = server, options
        self._calls: Counter[str] = Counter()

    @asynccontextmanager
    async def attach(self, events: LaneEvents) -> AsyncIterator[_Session]:
        """See Carrier."""
        channel = InferenceChannel(self._server)
        try:
            card = await self._card(channel)
            yield _Session(channel, card, self._server, self._options, events, self._calls)
        finally:
            await channel.close()

    def counters(self) -> Mapping[str, int]:
        """Calls that ended, by their status: calls_ok, calls_deadline_exceeded and so on; calls_odd: no rows in it."""
        return dict(self._calls)

    async def _card(self, channel: InferenceChannel) -> ModelCard:
        try:
            if not await channel.ready(self._options.attach_timeout_s):
                raise LaneError(f"the server at {self._server.address} is not ready")
            return await channel.card(self._options.attach_timeout_s)
        except grpc.aio.AioRpcError as error:
            raise LaneError(f"no server at {self._server.address}: {_words(error)}") from error


class GrpcLink(Link["_Session"]):
    """A link that has gRPC only."""

    def __init__(self, server: GrpcLaneOptions, options: LaneOptions, events: LaneEvents) -> None:
        super().__init__([GrpcCarrier(server, options)], options, events)


class _Session:
    """One attach, to its end. Bound: one call per slot."""

    def __init__(
        self,
        channel: InferenceChannel,
        card: ModelCard,
        server: GrpcLaneOptions,
        options: LaneOptions,
        events: LaneEvents,
        counts: Counter[str],
    ) -> None:
        self._channel, self._card, self._server, self._counts = channel, card, server, counts
        self._options, self._events = options, events
        self._loop = asyncio.get_running_loop()
        layout = RegionLayout(options.slots, card.payload_bytes, card.top_k)
        payload = memoryview(bytearray(layout.payload_region_bytes))
        answers = memoryview(bytearray(layout.answer_region_bytes))
        memory = LaneMemory(layout, time.monotonic_ns(), payload, answers)
        self._areas = memory.areas()
        ring = Ring(options.slots, options.reserved_high, options.reserved_normal)
        self.writer = LaneWriter(memory, card, ring, self._doorbell, checksum=False)
        self._calls: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None
        self._over = asyncio.Event()
        self._reason = ""
        self._retiring = False

    async def carry(self) -> str:
        """Carry tasks until the lane is over. Returns why."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            watching = group.create_task(self._watch(), name="lane ping")
            try:
                await self._over.wait()
            finally:
                self._group = None
                for task in (watching, *self._calls):
                    task.cancel()
        return self._reason

    def _doorbell(self, index: int, generation: int) -> bool:
        """In the pump's thread."""
        try:
            self._loop.call_soon_threadsafe(self._start, index, generation)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def _start(self, index: int, generation: int) -> None:
        if self._group is None:
            return  # over: the task is among the lost
        header, _ = self._areas[index].header.unpack(generation)
        task = self._group.create_task(self._carry_task(index, generation, header), name=f"call[{header.task}]")
        self._calls.add(task)
        task.add_done_callback(self._called)

    def _called(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        if self._retiring and not self._calls:
            self._over.set()

    async def _carry_task(self, index: int, generation: int, header: SlotHeader) -> None:
        """One call, from the doorbell to the answer."""
        left_s = min(self._server.deadline_s, (header.deadline_ns - time.monotonic_ns()) / 1e9)
        if left_s <= 0:
            self._answer(index, generation, header.task, AnswerCode.LATE, NO_ROWS)
            return
        payload = self._areas[index].payload[: header.payload_bytes].data
        try:
            request = grpc_form.request(header, payload, self._card, self._server.model, self._server.version)
        except LaneError:
            self._answer(index, generation, header.task, AnswerCode.BAD_INPUT, NO_ROWS)
            return
        try:
            rows = grpc_form.rows(await self._channel.infer(request, left_s), self._card)
        except grpc.aio.AioRpcError as error:
            self._counts[f"calls_{error.code().name.lower()}"] += 1
            if (code := grpc_form.CODES.get(error.code())) is not None:
                self._answer(index, generation, header.task, code, NO_ROWS)
            else:
                self._retire(f"task {header.task}: {_words(error)}")
        except LaneError as error:
            self._counts["calls_odd"] += 1
            self._retire(str(error))
        else:
            self._counts["calls_ok"] += 1
            self._answer(index, generation, header.task, AnswerCode.OK, rows)

    def _answer(self, index: int, generation: int, task: int, code: AnswerCode, rows: F32) -> None:
        self._areas[index].answer.pack(generation, task, code, rows)
        answer = self.writer.answered(index, generation)
        if answer is not None:
            self._events.answered(answer)

    async def _watch(self) -> None:
        """Ask now and then whether the server is there, takes work, and still has this model."""
        while True:
            await asyncio.sleep(self._options.ping_interval_s)
            timeout_s = self._options.ping_timeout_s
            try:
                if not await self._channel.ready(timeout_s):
                    self._retire("the server is draining")
                elif not interchangeable(await self._channel.card(timeout_s), self._card):
                    self._retire("the server changed its model")
            except grpc.aio.AioRpcError as error:
                silent = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                self._end(f"the server has been silent for {timeout_s:.1f} s" if silent else _words(error))
            except LaneError as error:
                self._retire(str(error))

    def _retire(self, reason: str) -> None:
        """Lend no more; end when the calls have, or when the time for it is over."""
        if self._retiring:
            return
        self._retiring, self._reason = True, reason
        self.writer.close()
        self._loop.call_later(self._options.retire_timeout_s, self._over.set)
        if not self._calls:
            self._over.set()

    def _end(self, reason: str) -> None:
        if not self._retiring:
            self._reason = reason
        self._over.set()


def _words(error: grpc.aio.AioRpcError) -> str:
    """A status for people, without gRPC's page of debugging."""
    return f"{error.code().name.lower()}: {(error.details() or '').splitlines()[0][:200] if error.details() else '-'}"
