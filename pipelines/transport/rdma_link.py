"""The DPU's end of a lane over RDMA: connect, prove, attach, carry, notice the loss, start again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing

from pipelines.contracts import LaneEvents
from pipelines.errors import LaneError
from pipelines.transport import rdma_wire
from pipelines.transport.layout import HEADER_BYTES
from pipelines.transport.link import Link
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
from pipelines.transport.writer import LaneWriter
from pipelines.values import ModelCard

_WRITES_PER_SLOT = 2


class RdmaCarrier:
    """Verbs between two devices; the worker listens with TCP for the handshake."""

    name = "rdma"

    def __init__(self, rdma: RdmaOptions, options: LaneOptions, verbs: Verbs) -> None:
        self._rdma, self._options, self._verbs = rdma, options, verbs
        self._counts: Counter[str] = Counter()

    @asynccontextmanager
    async def attach(self, events: LaneEvents) -> AsyncIterator[LinkSession]:
        """See Carrier."""
        timeout_s = self._options.attach_timeout_s
        with closing(await rdma_wire.connect(*self._rdma.host_and_port, self._rdma.key(), timeout_s)) as wire:
            wire.tell(PROOF)
            welcome = decode_welcome(await _reply(wire, timeout_s))
            region = self._region(welcome.card, welcome.max_slots)
            with closing(self._verbs.open(wire.local_address, region.slots, _WRITES_PER_SLOT)) as pair:
                yield await self._session(wire, pair, welcome.card, region, events)

    def counters(self) -> Mapping[str, int]:
        """posted: slots written; post_refused: no room in the send queue; notices: answers that came;
        failed_completions: the first is what ended its lane, the others were flushed after it."""
        return dict(self._counts)

    async def _session(
        self, wire: Wire, pair: QueuePair, card: ModelCard, region: RegionLayout, events: LaneEvents
    ) -> LinkSession:
        memory = dpu_memory(region, time.monotonic_ns())
        frames = pair.register(address_of(memory.payload), len(memory.payload), remote_write=False)
        answers = pair.register(address_of(memory.answers), len(memory.answers), remote_write=True)
        wire.tell(encode_attach(region, memory.epoch, pair.endpoint, answers.remote))
        attached = decode_attached(await _reply(wire, self._options.attach_timeout_s))
        pair.connect(attached.endpoint)
        for slot in range(region.slots):
            pair.prepare(slot, _pieces(region, slot, frames, attached))

        def doorbell(index: int, generation: int) -> bool:
            """Under the writer's lock, which so guards the counters."""
            size = payload_bytes_of(memory.payload, region.header_offset(index))
            posted = pair.post(index, size, pack_notice(index, generation))
            self._counts["posted" if posted else "post_refused"] += 1
            return posted

        ring = Ring(region.slots, self._options.reserved_high, self._options.reserved_normal)
        writer = LaneWriter(memory, card, ring, doorbell, self._options.checksum)
        return LinkSession(wire, pair, writer, memory, self._options, events, self._counts)

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


class RdmaLink(Link[LinkSession]):
    """A link that has RDMA only."""

    def __init__(self, rdma: RdmaOptions, options: LaneOptions, events: LaneEvents, verbs: Verbs) -> None:
        super().__init__([RdmaCarrier(rdma, options, verbs)], options, events)


async def _reply(wire: Wire, timeout_s: float) -> bytes:
    reply = await wire.hear(timeout_s)
    if reply[:1] == bytes([Kind.REFUSED]):
        raise LaneError(f"the worker refused: {decode_refused(reply).reason}")
    return reply
