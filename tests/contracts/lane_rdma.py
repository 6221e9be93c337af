"""The RDMA lane under the contract: over a fabric of plain memory copies, or over a device's where there is one.

FRAMEGATE_RDMA=ADDRESS[,DPU_ADDRESS] names an address of an RDMA device of this machine (scripts/rdma_vm has one); the
same tests then run over it. With a second address the DPU's end is at that one: on another device.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import time
from typing import Any

from pydantic import SecretStr

from pipelines.contracts import Slot, Taken
from pipelines.transport.options import LaneOptions
from pipelines.transport.rdma import HostMemory, RdmaLink, RdmaOptions, RdmaServer
from pipelines.transport.rdma_memory import address_of
from pipelines.transport.rdma_verbs import Verbs
from pipelines.transport.reader import LaneReader
from pipelines.transport.writer import LaneWriter
from tests.contracts.lane import PATIENCE_S, Recorder, until
from tests.fakes.rdma import FakeFabric
from tests.unit.transport.values import CARD

GENERATION = struct.Struct("<I")
SECRET = SecretStr("correct horse battery")


def device_addresses() -> list[str]:
    """The worker's and the DPU's; empty without a device."""
    return [one for one in os.environ.get("FRAMEGATE_RDMA", "").split(",") if one]


def verbs(options: RdmaOptions) -> Verbs:
    """A device's, or a fresh fabric's."""
    if not device_addresses():
        return FakeFabric()
    from pipelines.transport.rdma_pyverbs import PyVerbs

    return PyVerbs(options)


def rdma(**changes: Any) -> RdmaOptions:
    """Options with an address of this test's own; port 1 stands for "any", which cannot be configured."""
    host = (device_addresses() or ["127.0.0.1"])[0]
    return RdmaOptions(**{"address": f"{host}:1", "secret": SECRET} | changes)


class RdmaLane:
    """Link and server as two tasks of one loop; losing the lane means that the link's end hangs up."""

    def __init__(self, options: LaneOptions) -> None:
        self.events = Recorder()
        self.rdma, self._options = rdma(), options
        self.verbs = verbs(self.rdma)
        anywhere = self.rdma.model_copy(update={"address": self.rdma.address[:-1] + "0"})
        self.server = RdmaServer(anywhere, CARD, options, lambda lane: None, self.verbs, HostMemory)
        self.link: RdmaLink
        self._serving: asyncio.Task[None]
        self._linking: asyncio.Task[None]
        self._reader: LaneReader

    @property
    def writer(self) -> LaneWriter:
        writer = self.events.writers[-1]
        assert isinstance(writer, LaneWriter)
        return writer

    @property
    def reader(self) -> LaneReader:
        return self._reader

    async def start(self) -> None:
        self._serving = asyncio.create_task(self.server.run())
        await self.server.listening.wait()
        address = self.rdma.address[:-1] + str(self.server.port)
        there = self.rdma.model_copy(update={"address": address})
        self.link = RdmaLink(there, self._options, self.events, self.verbs)
        await self.attach_again()

    async def stop(self) -> None:
        self._linking.cancel()
        self._serving.cancel()
        await asyncio.wait({self._linking, self._serving})

    async def lose(self) -> None:
        self._linking.cancel()
        await asyncio.wait({self._linking})
        await until(lambda: not self.server.lanes)

    async def attach_again(self) -> None:
        attached = len(self.events.writers)
        self._linking = asyncio.create_task(self.link.run())
        await until(lambda: len(self.events.writers) > attached and self.server.lanes)
        self._reader = self.server.lanes[-1]

    def corrupt(self, slot: Slot) -> None:
        """At the worker's end, once it is there: the DPU's copy is no longer the one that counts."""
        memory = self._reader._memory
        assert memory is not None
        header = memory.layout.header_offset(slot.index)
        until_s = time.monotonic() + PATIENCE_S
        while GENERATION.unpack_from(memory.payload, header + 20)[0] != slot.generation and time.monotonic() < until_s:
            time.sleep(0)
        ctypes.memset(address_of(memory.payload) + memory.layout.payload_offset(slot.index), slot.payload[0] ^ 0xFF, 1)

    def announce(self, taken: Taken) -> None:
        self._reader._announce(taken.index, taken.generation)
