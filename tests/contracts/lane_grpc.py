"""Both ends of a lane over gRPC in one event loop: the product's link and server, and a test in place of an engine."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast

from pipelines.contracts import Engine, Slot, SlotReader, Taken
from pipelines.errors import ModelError
from pipelines.transport.grpc_link import GrpcLink
from pipelines.transport.grpc_options import GrpcLaneOptions
from pipelines.transport.options import LaneOptions
from pipelines.transport.reader import LaneReader
from pipelines.transport.writer import LaneWriter
from pipelines.values import F32, AnswerCode, ModelCard
from pipelines.worker.options import BatchOptions
from pipelines.worker.serve.host import OwnHost
from pipelines.worker.serve.options import ServeOptions
from pipelines.worker.serve.server import InferenceServer
from tests.contracts.lane import Recorder, until
from tests.unit.transport.values import CARD


class Desk:
    """What the server brings, to be taken and answered by a test. Has of LaneReader what the suite uses."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self.waiting: deque[SlotReader] = deque()
        self._readers: dict[int, tuple[Taken, SlotReader]] = {}

    def take(self) -> Taken | None:
        while self.waiting:
            if (taken := self.waiting[0].take()) is not None:
                self._readers[id(taken)] = taken, self.waiting[0]
                return taken
            self.waiting.popleft()
        return None

    def answer(self, taken: Taken, code: AnswerCode, rows: F32, started_ns: int, finished_ns: int) -> None:
        self._readers[id(taken)][1].answer(taken, code, rows, started_ns, finished_ns)


class GrpcLane:
    """Implements tests.contracts.lane.Lane, as far as it means something over gRPC. Losing it: the link goes."""

    def __init__(self, options: LaneOptions, serve: dict[str, object] | None = None) -> None:
        self.events = Recorder()
        self.desk = Desk(CARD)
        self.link: GrpcLink
        self._options, self._serve, self._port = options, serve or {}, 0
        self._serving: asyncio.Task[None] | None = None
        self._linking: asyncio.Task[None] | None = None

    @property
    def writer(self) -> LaneWriter:
        writer = self.events.writers[-1]
        assert isinstance(writer, LaneWriter)
        return writer

    @property
    def reader(self) -> LaneReader:
        return cast(LaneReader, self.desk)

    async def start(self) -> None:
        await self.start_server()
        await self.attach_again()

    async def start_server(self) -> InferenceServer:
        """Anew on the port of before, if it ran before."""
        options = ServeOptions.model_validate({"grpc": {"port": self._port}, "retry_s": 0.01} | self._serve)
        own = OwnHost(lambda: self.desk.card, 1, self.desk.waiting.append)
        self.server = InferenceServer(options, own, _no_engine, BatchOptions(), "0")
        self._serving = asyncio.create_task(self.server.run())
        assert self.server.rpc
        await until(lambda: self.server.rpc and self.server.rpc.port)
        self._port = self.server.rpc.port or 0
        return self.server

    async def stop(self) -> None:
        await self.lose()
        await self.stop_server()

    async def stop_server(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait({self._serving})
            self._serving = None

    async def lose(self) -> None:
        if self._linking is not None:
            self._linking.cancel()
            await asyncio.wait({self._linking})
        await until(lambda: self.server.statistics().open == 0)

    async def attach_again(self) -> None:
        attached = len(self.events.writers)
        self.link = GrpcLink(self.address(), self._options, self.events)
        self._linking = asyncio.create_task(self.link.run())
        await until(lambda: len(self.events.writers) > attached)

    def address(self) -> GrpcLaneOptions:
        return GrpcLaneOptions(address=f"127.0.0.1:{self._port}", model=CARD.name)

    def corrupt(self, slot: Slot) -> None:
        raise NotImplementedError("TCP and TLS have checksums of their own")

    def announce(self, taken: Taken) -> None:
        raise NotImplementedError("a call ends once")


def _no_engine(reference: str) -> Engine:
    raise ModelError(f"{reference}: there are no further models")
