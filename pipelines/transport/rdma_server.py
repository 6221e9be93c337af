"""The worker's end of lanes over RDMA: listen with TCP, attach DPU processes that prove the secret, collect slots."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing

from pipelines.errors import LaneError
from pipelines.transport.message import VERSION, Kind, Refused, Welcome, encode, signal
from pipelines.transport.options import LaneOptions
from pipelines.transport.rdma_auth import Side
from pipelines.transport.rdma_memory import WorkerMemory, address_of
from pipelines.transport.rdma_message import (
    PROOF,
    RdmaAttach,
    RdmaAttached,
    check_card,
    check_layout,
    decode_attach,
    encode_attached,
)
from pipelines.transport.rdma_options import RdmaOptions
from pipelines.transport.rdma_server_session import ServerSession
from pipelines.transport.rdma_verbs import Piece, QueuePair, Verbs
from pipelines.transport.rdma_wire import Wire
from pipelines.transport.reader import LaneReader
from pipelines.transport.region import RegionLayout
from pipelines.transport.shm_server import ServerStatistics
from pipelines.values import ModelCard

_DRAIN_POLL_S = 0.01
_WRITES_PER_SLOT = 1


class RdmaServer:
    """All RDMA lanes of one worker. Event-loop thread.

    `readable(lane)` is called in the loop whenever a lane has slots to take; take all of them there, or later.
    `memory(layout, epoch)` makes what frames land in, one for each attach.
    """

    def __init__(
        self,
        rdma: RdmaOptions,
        card: ModelCard,
        options: LaneOptions,
        readable: Callable[[LaneReader], None],
        verbs: Verbs,
        memory: Callable[[RegionLayout, int], WorkerMemory],
    ) -> None:
        self._rdma, self._card, self._options, self._readable = rdma, card, options, readable
        self._verbs, self._memory = verbs, memory
        self._sessions: list[ServerSession] = []
        self._connections = 0
        self._draining = asyncio.Event()
        self.listening = asyncio.Event()
        """Set once DPU processes can connect."""
        self.on_lanes: Callable[[], None] = lambda: None
        """Called when a lane was attached, and when one has ended."""
        self.port = 0
        """The one listened on."""
        self._attached = self._refused = 0
        self._reason = ""

    @property
    def lanes(self) -> tuple[LaneReader, ...]:
        """Attached now."""
        return tuple(session.lane for session in self._sessions)

    async def run(self) -> None:
        """Serve until cancelled; afterwards all lanes are over and no memory is registered.

        Raises:
            LaneError: the address cannot be listened on, the secret is none, or the card cannot travel.
        """
        check_card(self._card)
        self._rdma.key()
        host, port = self._rdma.host_and_port
        async with asyncio.TaskGroup() as group:

            def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                wire = Wire(reader, writer, Side.WORKER)
                task = group.create_task(self._serve(wire), name="rdma-lane")
                # Not `with` in the task: one that is cancelled before its first step never enters it.
                task.add_done_callback(lambda _: wire.close())

            try:
                listener = await asyncio.start_server(connected, host, port)
            except OSError as error:
                raise LaneError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
            try:
                self.port = listener.sockets[0].getsockname()[1]
                self.listening.set()
                await self._draining.wait()
            finally:
                self.listening.clear()
                listener.close()

    def set_card(self, card: ModelCard) -> None:
        """The model was replaced. Lanes of another card are asked to come back; what they sent fits the old one.

        Raises:
            LaneError: the card cannot travel; nothing was changed.
        """
        check_card(card)
        self._card = card
        for session in list(self._sessions):
            if session.lane.card != card:
                session.tell(encode(card))

    async def drain(self, deadline_s: float) -> int:
        """Listen no more, ask all DPU processes to fetch their answers and go; wait at most so long for them.

        The worker loop goes on answering meanwhile. Returns the lanes that are still there.
        """
        self._draining.set()
        for session in list(self._sessions):
            session.tell(signal(Kind.DRAIN))
        until = asyncio.get_running_loop().time() + deadline_s
        while self._sessions and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(_DRAIN_POLL_S)
        return len(self._sessions)

    def statistics(self) -> ServerStatistics:
        return ServerStatistics(len(self._sessions), self._attached, self._refused, self._reason)

    async def _serve(self, wire: Wire) -> None:
        """One connection, from its hello to its end."""
        if self._connections >= self._options.max_lanes:
            return  # they have not proven anything yet, so they are told nothing
        self._connections += 1
        try:
            await self._prove(wire)
            asked = await self._asked(wire)
            with (
                closing(self._memory(asked.region, asked.epoch)) as memory,
                closing(self._verbs.open(wire.local_address, asked.slots, _WRITES_PER_SLOT)) as pair,
            ):
                await self._carry(wire, pair, memory, asked)
        except LaneError as error:
            self._refused += 1
            self._reason = str(error)
            await _refuse(wire, str(error), self._options.attach_timeout_s)
        finally:
            self._connections -= 1

    async def _prove(self, wire: Wire) -> None:
        await wire.greet(self._rdma.key(), self._options.attach_timeout_s)
        if await wire.hear(self._options.attach_timeout_s) != PROOF:
            raise LaneError("the DPU process did not begin with a proof")
        wire.proven = True

    async def _asked(self, wire: Wire) -> RdmaAttach:
        card = self._card
        wire.tell(encode(Welcome(VERSION, card, self._options.max_slots)))
        asked = decode_attach(await wire.hear(self._options.attach_timeout_s))
        if not 1 <= asked.slots <= self._options.max_slots:
            raise LaneError(
                f"{asked.slots} slots asked for; this worker allows 1..{self._options.max_slots} (lane.max_slots)"
            )
        if (asked.payload_bytes, asked.top_k) != (card.payload_bytes, card.top_k):
            raise LaneError(
                f"slots of {asked.payload_bytes} bytes and {asked.top_k} rows do not fit model {card.name}: "
                f"{card.payload_bytes} bytes, {card.top_k} rows"
            )
        check_layout(asked)
        return asked

    async def _carry(self, wire: Wire, pair: QueuePair, memory: WorkerMemory, asked: RdmaAttach) -> None:
        card = self._card
        headers, payloads = memory.offer(pair)
        answers = memory.lane.answers
        local = pair.register(address_of(answers), len(answers), remote_write=False)
        stride = asked.region.answer_stride
        for slot in range(asked.slots):
            at = asked.region.answer_offset(slot)
            piece = Piece(local.address + at, local.key, stride, asked.answers.address + at, asked.answers.key)
            pair.prepare(slot, [piece])
        pair.connect(asked.endpoint)
        self._attached += 1
        session = ServerSession(wire, pair, memory, card, f"rdma-{self._attached}", self._options)
        self._sessions.append(session)
        self.on_lanes()
        wire.tell(encode_attached(RdmaAttached(pair.endpoint, headers, payloads)))
        if card != self._card:  # replaced while this one attached
            session.tell(encode(self._card))
        if self._draining.is_set():
            session.tell(signal(Kind.DRAIN))
        try:
            self._reason = await session.carry(self._readable)
        finally:
            self._sessions.remove(session)
            session.lane.end("the worker stopped")
            self.on_lanes()


async def _refuse(wire: Wire, reason: str, timeout_s: float) -> None:
    """Tell the peer why, if it has proven itself and still listens."""
    if wire.proven:
        wire.tell(encode(Refused(reason)))
        await wire.close_when_sent(timeout_s)
