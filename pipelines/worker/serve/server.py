"""Both wires and what they share, with one lifetime: listen, serve, drain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pipelines.contracts import Engine
from pipelines.errors import DeviceLost, FramegateError
from pipelines.worker.options import BatchOptions
from pipelines.worker.serve.host import LoopHost
from pipelines.worker.serve.options import ServeOptions
from pipelines.worker.serve.regions import SHM, Regions
from pipelines.worker.serve.repository import Host, Repository
from pipelines.worker.serve.service import Service, ServiceStatistics


class Wire(Protocol):
    """One way in: rpc or rest."""

    name: str
    port: int | None

    async def start(self) -> None:
        """Raises FramegateError: cannot listen."""

    async def stop(self) -> None: ...


class InferenceServer:
    """The Open Inference Protocol, as configured. Event loop only."""

    def __init__(
        self,
        options: ServeOptions,
        own: Host,
        load_engine: Callable[[str], Engine],
        batch: BatchOptions,
        version: str,
        told: Callable[[str, str], None] = lambda state, text: None,
        shm: Path = SHM,
    ) -> None:
        """
        Args:
            own: The worker's own model, the lanes' too.
            load_engine: Loads a further one, by shipped name or file; blocks. Raises ModelError.
            batch: For its batches.
            told: Called with what a wire does and its words: "listening" where, or "refused" why; it goes on trying.
        """
        self._options, self._told = options, told
        self._load_engine, self._batch = load_engine, batch
        self._group: asyncio.TaskGroup | None = None
        self._regions = Regions(options.max_regions, shm)
        self.service = Service(
            Repository(own, options.models, self._open, options.max_models), self._regions, options, version
        )
        self.rpc: Wire | None = None
        self.rest: Wire | None = None
        if options.grpc is not None:
            from pipelines.worker.serve.rpc import RpcServer

            self.rpc = RpcServer(self.service, options, options.grpc)
        if options.rest is not None:
            from pipelines.worker.serve.rest import RestServer

            self.rest = RestServer(self.service, options, options.rest)

    async def run(self) -> None:
        """Serve until cancelled; then no wire listens, no region is open, and the further models are freed.

        Raises:
            DeviceLost: a further model's engine took the device with it; the process must end.
        """
        wires = [wire for wire in (self.rpc, self.rest) if wire is not None]
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for wire in wires:
                    group.create_task(self._listen(wire), name="serve")
                try:
                    await asyncio.Event().wait()
                finally:
                    self.drain()
                    for wire in wires:
                        await wire.stop()
                    await self.service.repository.close()
        finally:
            self._regions.close()

    def drain(self) -> None:
        """Not ready any more, no new inferences; those at work go on."""
        self.service.stopping = True

    def statistics(self) -> ServiceStatistics:
        return self.service.statistics()

    async def _open(self, reference: str) -> LoopHost:
        """A further model, warm."""
        assert self._group is not None
        engine = await asyncio.to_thread(self._load_engine, reference)
        host = LoopHost(engine, self._batch)
        try:
            await asyncio.to_thread(host.warm)
        except BaseException as error:
            await host.close()
            if isinstance(error, DeviceLost):
                self._group.create_task(_raise(error), name="device lost")
            raise
        host.start(self._group)
        return host

    async def _listen(self, wire: Wire) -> None:
        while True:
            try:
                await wire.start()
            except FramegateError as error:
                self._told("refused", str(error))
                await asyncio.sleep(self._options.retry_s)
                continue
            self._told("listening", f"{wire.name} port {wire.port}")
            return


async def _raise(error: Exception) -> None:
    raise error
