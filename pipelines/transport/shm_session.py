"""One attached DPU process as its worker sees it: doorbells in, notices of answers out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from pipelines.errors import LaneError
from pipelines.transport import seqpacket
from pipelines.transport.message import MAX_MESSAGE_BYTES, Kind, parse_signals, signal, signals
from pipelines.transport.reader import LaneReader
from pipelines.transport.writer import LaneMemory
from pipelines.values import ModelCard

_ROUNDS = 16
_SHARE = 4
"""Notices wait no longer once a quarter of what was announced has them: the pumps fill slots while we serve."""


class ServerSession:
    """One lane from ATTACHED to its end. Event-loop thread.

    Notices of answers wait until this turn of the loop is over, and go out in one message: a peer that wakes once for
    many is what makes the lane quick. A worker that serves slots as they come (within `readable`) tells of each quarter
    of what was announced; else both sides would take turns, each asleep while the other works. Bound: the slots.
    """

    def __init__(self, sock: socket.socket, memory: LaneMemory, card: ModelCard, name: str) -> None:
        self.lane = LaneReader(memory, card, self._answered, name)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray(MAX_MESSAGE_BYTES)
        self._notices: list[tuple[int, int]] = []
        self._most_notices = 1
        self._reading = self._flush_due = False
        self._readable: Callable[[LaneReader], None] = lambda lane: None
        self._over: asyncio.Future[None] = self._loop.create_future()
        self.lane.on_end = self._finish

    async def carry(self, readable: Callable[[LaneReader], None]) -> str:
        """Collect doorbells until the lane is over, and call `readable` for them. Returns why it is over.

        Raises what `readable` raises.
        """
        self._readable = readable
        if self.lane.end_reason is None:
            self._loop.add_reader(self._sock, self._read)
        try:
            await self._over
        finally:
            self._loop.remove_reader(self._sock)
        return self.lane.end_reason or ""

    def tell(self, message: bytes) -> None:
        """Say something to the DPU process, after all answers before it. Ends the lane if nobody listens."""
        self._flush()
        self._send(message)

    def end(self, reason: str) -> None:
        """Give the lane up; answers given so far still go out."""
        self._flush()
        self.lane.end(reason)

    def _read(self) -> None:
        self._reading = True  # flushed at the end of this turn
        try:
            for _ in range(_ROUNDS):
                if not seqpacket.receive_waiting(self._sock, self._buffer, self._handle):
                    break
                self._most_notices = max(1, self.lane.held // _SHARE)
                self._readable(self.lane)
        except LaneError as error:
            self.lane.end(str(error))
        except Exception as error:
            # A bug in the worker loop must not vanish in a loop callback: it goes out through run().
            if not self._over.done():
                self._over.set_exception(error)
        self._reading = False
        self._flush()

    def _handle(self, data: memoryview) -> None:
        kind, pairs = parse_signals(data)
        if kind == Kind.PUBLISHED:
            for slot, generation in pairs:
                self.lane.announced(slot, generation)
        elif kind == Kind.PING:
            self.tell(signal(Kind.PONG))
        else:
            raise LaneError(f"the DPU process sent a message of kind {kind}, which does not belong here")

    def _answered(self, slot: int, generation: int) -> None:
        self._notices.append((slot, generation))
        if self._reading:
            if len(self._notices) >= self._most_notices:
                self._flush()
        elif not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self._notices:
            notices, self._notices = self._notices, []
            self._send(signals(Kind.ANSWERED, notices))

    def _send(self, message: bytes) -> None:
        if self.lane.end_reason is not None:
            return
        try:
            sent = seqpacket.send(self._sock, message)
        except LaneError as error:
            self.lane.end(str(error))
            return
        if not sent:
            # The socket holds all answers of a lane: only a peer that broke the rules can fill it.
            self.lane.end("the DPU process does not read its answers")

    def _finish(self) -> None:
        if not self._over.done():
            self._over.set_result(None)
