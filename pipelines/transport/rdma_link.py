"""The DPU's end of a lane over RDMA: connect, prove, attach, carry, notice the loss, start again."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing

from pipelines.contracts import LaneEvents
from pipelines.errors import LaneError
from pipelines.transport import rdma_wire
from pipelines.transport.layout import HEADER_BYTES
from pipelines.transport.message import Kind, decode_refused, decode_welcome
from pipelines.transport.options import LaneOptions
from pipelines.transport.rdma_link_session import LinkSession
from pipelines.transport.rdma_memory import address_of, dpu_memory
from pipelines.transport.rdma_message import PROOF, RdmaAttached, decode_attached, encode_attach
from pipelines.transport.rdma_notice import MAX_SLOTS, pack_notice, payload_bytes_of
from pipelines.transport.rdma_options import RdmaOptions
from pipelines.transport.rdma_verbs import LocalRegion, Piece, QueuePair, Verbs
from pipelines.transport.rdma_wire import Wire
from pipelines.transport.region import RegionLayout
from pipelines.transport.ring import Ring
from pipelines.transport.shm_link import LinkStatistics
from pipelines.transport.writer import LaneWriter
from pipelines.values import ModelCard

_RETIRE_POLL_S = 0.01
_WRITES_PER_SLOT = 2


class RdmaLink:
    """One worker as seen from the DPU. Event-loop thread, but for the writer's loan, publish and discard."""

    def __init__(self, rdma: RdmaOptions, options: LaneOptions, events: LaneEvents, verbs: Verbs) -> None:
        self._rdma, self._options, self._events, self._verbs = rdma, options, events, verbs
        self._session: LinkSession | None = None
        self._draining = False
        self._attaches = self._losses = self._failures = 0
        self._reason = ""

    @property
    def writer(self) -> LaneWriter | None:
        """Of the present epoch; None while no worker is attached."""
        return self._session.writer if self._session else None

    async def run(self) -> None:
        """Keep a lane to the worker, attaching again with a short back-off, until cancelled or drained.

        Raises only what `events` raises.
        """
        backoff_s = self._options.connect_backoff_s
        while not self._draining:
            attaches = self._attaches
            try:
                await self._attach_and_carry()
            except LaneError as error:
                self._failures += 1
                self._reason = str(error)
            if self._attaches > attaches:
                backoff_s = self._options.connect_backoff_s
            if not self._draining:
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, self._options.connect_backoff_max_s)

    async def drain(self, deadline_s: float) -> int:
        """Lend no more slots, attach no more, and wait (at most so long) for what is out. Returns what is still out."""
        self._draining = True
        if (session := self._session) is None:
            return 0
        session.writer.close()
        until = asyncio.get_running_loop().time() + deadline_s
        while session.writer.used and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(_RETIRE_POLL_S)
        return session.writer.used

    def statistics(self) -> LinkStatistics:
        return LinkStatistics(self._session is not None, self._attaches, self._losses, self._failures, self._reason)

    async def _attach_and_carry(self) -> None:
        timeout_s = self._options.attach_timeout_s
        with closing(await rdma_wire.connect(*self._rdma.host_and_port, self._rdma.key(), timeout_s)) as wire:
            wire.tell(PROOF)
            welcome = decode_welcome(await _reply(wire, timeout_s))
            region = self._region(welcome.card, welcome.max_slots)
            with closing(self._verbs.open(wire.local_address, region.slots, _WRITES_PER_SLOT)) as pair:
                await self._carry(wire, pair, welcome.card, region)

    async def _carry(self, wire: Wire, pair: QueuePair, card: ModelCard, region: RegionLayout) -> None:
        memory = dpu_memory(region, time.monotonic_ns())
        frames = pair.register(address_of(memory.payload), len(memory.payload), remote_write=False)
        answers = pair.register(address_of(memory.answers), len(memory.answers), remote_write=True)
        wire.tell(encode_attach(region, memory.epoch, pair.endpoint, answers.remote))
        attached = decode_attached(await _reply(wire, self._options.attach_timeout_s))
        pair.connect(attached.endpoint)
        for slot in range(region.slots):
            pair.prepare(slot, _pieces(region, slot, frames, attached))

        def doorbell(index: int, generation: int) -> bool:
            size = payload_bytes_of(memory.payload, region.header_offset(index))
            return pair.post(index, size, pack_notice(index, generation))

        ring = Ring(region.slots, self._options.reserved_high, self._options.reserved_normal)
        writer = LaneWriter(memory, card, ring, doorbell, self._options.checksum)
        self._session = session = LinkSession(wire, pair, writer, memory, self._options, self._events)
        self._attaches += 1
        reason = "the link was stopped"
        try:
            self._events.attached(writer)
            reason = await session.carry()
        finally:
            self._session = None
            self._losses += 1
            self._reason = reason
            self._events.lost(writer.lose(), reason)

    def _region(self, card: ModelCard, max_slots: int) -> RegionLayout:
        slots = min(self._options.slots, max_slots, MAX_SLOTS)
        if slots <= self._options.reserved_high + self._options.reserved_normal:
            raise LaneError(f"the worker allows {max_slots} slots, not more than are reserved for priorities")
        return RegionLayout(slots, card.payload_bytes, card.top_k)


def _pieces(region: RegionLayout, slot: int, frames: LocalRegion, attached: RdmaAttached) -> tuple[Piece, Piece]:
    """Payload, then header: when the header's notice is seen, both are there."""
    payload, header = region.payload_offset(slot), region.header_offset(slot)
    into = payload - region.payloads_offset
    return (
        Piece(
            frames.address + payload,
            frames.key,
            region.payload_bytes,
            attached.payloads.address + into,
            attached.payloads.key,
        ),
        Piece(
            frames.address + header,
            frames.key,
            HEADER_BYTES,
            attached.headers.address + header,
            attached.headers.key,
        ),
    )


async def _reply(wire: Wire, timeout_s: float) -> bytes:
    reply = await wire.hear(timeout_s)
    if reply[:1] == bytes([Kind.REFUSED]):
        raise LaneError(f"the worker refused: {decode_refused(reply).reason}")
    return reply
