"""The DPU's end of a shared-memory lane: connect, attach, carry, notice the loss, start again.

Memory order: a pump writes payload and header and then sends the doorbell; the worker reads them after it received it.
Both system calls take the socket's lock in the kernel, so the writes are visible to the reader on every architecture;
no byte of shared memory is ever polled. The same holds for answers, the other way round.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from pipelines.contracts import LaneEvents
from pipelines.errors import LaneError
from pipelines.transport import handshake, seqpacket
from pipelines.transport.link import RETIRE_POLL_S, Link
from pipelines.transport.message import MAX_MESSAGE_BYTES, Kind, decode_card, parse_signals, signal
from pipelines.transport.options import LaneOptions
from pipelines.transport.ring import Ring
from pipelines.transport.writer import LaneWriter


class ShmCarrier:
    """Shared memory with a worker on this host, which listens on a Unix socket."""

    name = "shm"

    def __init__(self, path: Path, options: LaneOptions) -> None:
        self._path, self._options = path, options

    @asynccontextmanager
    async def attach(self, events: LaneEvents) -> AsyncIterator[_Session]:
        """See Carrier."""
        with seqpacket.make_socket() as sock:
            try:
                # A Unix connect ends at once, one way or the other; "again" means that the worker's backlog is full.
                sock.connect(str(self._path))
            except OSError as error:
                raise LaneError(f"no worker at {self._path}: {error.strerror or error}") from error
            yield await self._session(sock, events)

    def counters(self) -> Mapping[str, int]:
        """None beside the ring's."""
        return {}

    async def _session(self, sock: socket.socket, events: LaneEvents) -> _Session:
        card, memory = await handshake.attach(sock, self._options)
        ring = Ring(memory.layout.slots, self._options.reserved_high, self._options.reserved_normal)

        def doorbell(index: int, generation: int) -> bool:
            try:
                return seqpacket.send(sock, signal(Kind.PUBLISHED, index, generation))
            except LaneError:
                return False  # the loop will read the end of file and say so

        writer = LaneWriter(memory, card, ring, doorbell, self._options.checksum)
        return _Session(sock, writer, self._options, events)


class ShmLink(Link["_Session"]):
    """A link that has shared memory only."""

    def __init__(self, path: Path, options: LaneOptions, events: LaneEvents) -> None:
        super().__init__([ShmCarrier(path, options)], options, events)


class _Session:
    """One attach, from ATTACHED to its end."""

    def __init__(self, sock: socket.socket, writer: LaneWriter, options: LaneOptions, events: LaneEvents) -> None:
        self.writer = writer
        self._sock, self._options, self._events = sock, options, events
        self._loop = asyncio.get_running_loop()
        self._over: str | None = None
        self._bug: Exception | None = None
        self._news = asyncio.Event()
        """Something for `carry` to look at before its next tick."""
        self._buffer = bytearray(MAX_MESSAGE_BYTES)
        self._heard_s = self._pinged_s = self._loop.time()
        self._retiring: str | None = None
        self._retire_until_s = 0.0

    async def carry(self) -> str:
        """Deliver answers until the lane is over. Returns why."""
        self._loop.add_reader(self._sock, self._read)
        try:
            while self._over is None and self._bug is None:
                await self._next_tick()
                self._check_end()
            if self._bug is not None:
                raise self._bug
            return self._over or ""
        finally:
            self._loop.remove_reader(self._sock)

    async def _next_tick(self) -> None:
        tick_s = RETIRE_POLL_S if self._retiring else self._options.ping_interval_s / 2
        try:
            async with asyncio.timeout(tick_s):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    def _read(self) -> None:
        if self._over is not None:
            return
        try:
            seqpacket.receive_waiting(self._sock, self._buffer, self._handle)
        except LaneError as error:
            self._end(str(error))
        except Exception as error:
            # A bug in events must not vanish in a loop callback: it goes out through run().
            self._bug = error
            self._news.set()

    def _handle(self, data: memoryview) -> None:
        self._heard_s = self._loop.time()
        if data[0] == Kind.CARD:
            if decode_card(bytes(data)) != self.writer.card:
                self._retire("the worker changed its model")
            return
        kind, pairs = parse_signals(data)
        if kind == Kind.ANSWERED:
            for slot, generation in pairs:
                answer = self.writer.answered(slot, generation)
                if answer is not None:
                    self._events.answered(answer)
            if self._retiring and self.writer.used == 0:
                self._news.set()
        elif kind == Kind.DRAIN:
            self._retire("the worker is draining")
        elif kind != Kind.PONG:
            raise LaneError(f"the worker sent a message of kind {kind}, which does not belong here")

    def _check_end(self) -> None:
        if self._over is not None:
            return
        now_s = self._loop.time()
        if self._retiring and (self.writer.used == 0 or now_s >= self._retire_until_s):
            self._end(self._retiring)
        if now_s - self._heard_s >= self._options.ping_timeout_s:
            self._read()  # a late loop of ours is not the worker's silence: what it said may still be waiting
            silent_s = now_s - self._heard_s
            if silent_s >= self._options.ping_timeout_s:
                self._end(f"the worker has been silent for {silent_s:.1f} s")
        if now_s - self._pinged_s >= self._options.ping_interval_s:
            self._ping(now_s)

    def _ping(self, now_s: float) -> None:
        self._pinged_s = now_s
        try:
            seqpacket.send(self._sock, signal(Kind.PING))
        except LaneError:
            return  # the loop will read the end of file and say so

    def _retire(self, reason: str) -> None:
        """Lend no more; end when all is back, or when the time for it is over."""
        if self._retiring is None:
            self.writer.close()
            self._retiring = reason
            self._retire_until_s = self._loop.time() + self._options.retire_timeout_s
            self._news.set()

    def _end(self, reason: str) -> None:
        if self._over is None:
            self._over = reason
            self._news.set()
