"""The worker's end of shared-memory lanes: listen on a path, attach DPU processes, collect their slots."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipelines.errors import LaneError
from pipelines.transport import handshake, seqpacket
from pipelines.transport.layout import MODEL_NAME_BYTES
from pipelines.transport.message import MAX_MESSAGE_BYTES, Kind, encode, parse_signal, signal
from pipelines.transport.options import LaneOptions
from pipelines.transport.reader import LaneReader
from pipelines.values import ModelCard

_DRAIN_POLL_S = 0.01
_ACCEPT_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class ServerStatistics:
    """Counters since start."""

    lanes: int
    attached: int
    refused: int
    reason: str
    """Of the latest refusal or end of a lane, for people."""


class ShmServer:
    """All lanes of one worker. Event-loop thread.

    `readable(lane)` is called in the loop whenever a lane has slots to take; take all of them there, or later.
    """

    def __init__(
        self, path: Path, card: ModelCard, options: LaneOptions, readable: Callable[[LaneReader], None]
    ) -> None:
        self._path, self._card, self._options, self._readable = path, card, options, readable
        self._lanes: dict[socket.socket, LaneReader] = {}
        self._connections = 0
        self._draining = asyncio.Event()
        self.listening = asyncio.Event()
        """Set once DPU processes can connect."""
        self._attached = self._refused = 0
        self._reason = ""

    @property
    def lanes(self) -> tuple[LaneReader, ...]:
        """Attached now."""
        return tuple(self._lanes.values())

    async def run(self) -> None:
        """Serve until cancelled; afterwards all lanes are over and the path is gone.

        Raises:
            LaneError: the path cannot be listened on, or the card cannot travel.
        """
        _check_card(self._card)
        with seqpacket.listen(self._path) as listener:
            inode = os.stat(self._path).st_ino
            self.listening.set()
            try:
                async with asyncio.TaskGroup() as group:
                    accepting = group.create_task(self._accept(listener, group), name="lanes")
                    await self._draining.wait()
                    accepting.cancel()
                    seqpacket.unlink_own(self._path, inode)
            finally:
                self.listening.clear()
                seqpacket.unlink_own(self._path, inode)

    def set_card(self, card: ModelCard) -> None:
        """The model was replaced. Lanes of another card are asked to come back; what they sent fits the old one.

        Raises:
            LaneError: the card cannot travel; nothing was changed.
        """
        _check_card(card)
        self._card = card
        for sock, lane in list(self._lanes.items()):
            if lane.card != card:
                self._tell(sock, lane, encode(card))

    async def drain(self, deadline_s: float) -> int:
        """Listen no more, ask all DPU processes to fetch their answers and go; wait at most so long for them.

        The worker loop goes on answering meanwhile. Returns the lanes that are still there.
        """
        self._draining.set()
        for sock, lane in list(self._lanes.items()):
            self._tell(sock, lane, signal(Kind.DRAIN))
        until = asyncio.get_running_loop().time() + deadline_s
        while self._lanes and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(_DRAIN_POLL_S)
        return len(self._lanes)

    def statistics(self) -> ServerStatistics:
        return ServerStatistics(len(self._lanes), self._attached, self._refused, self._reason)

    async def _accept(self, listener: socket.socket, group: asyncio.TaskGroup) -> None:
        while True:
            try:
                sock = await seqpacket.accept(listener)
            except OSError as error:  # out of descriptors, for one: those who are attached must not suffer
                self._reason = f"cannot accept a DPU process: {error}"
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            task = group.create_task(self._serve(sock), name=f"lane[{sock.fileno()}]")
            # Not `with` in the task: one that is cancelled before its first step never enters it.
            task.add_done_callback(partial(_close, sock))

    async def _serve(self, sock: socket.socket) -> None:
        """One connection, from WELCOME to its end."""
        self._connections += 1
        try:
            lane = await self._attach(sock)
        except LaneError as error:
            self._refused += 1
            self._reason = str(error)
            return
        finally:
            self._connections -= 1
        try:
            self._reason = await self._carry(sock, lane)
        finally:
            del self._lanes[sock]
            lane.end("the worker stopped")

    async def _attach(self, sock: socket.socket) -> LaneReader:
        if len(self._lanes) + self._connections > self._options.max_lanes:
            reason = f"this worker has its {self._options.max_lanes} lanes (lane.max_lanes)"
            handshake.refuse(sock, reason)
            raise LaneError(reason)
        card = self._card
        memory = await handshake.accept(sock, card, self._options)

        def announce(index: int, generation: int) -> None:
            self._tell(sock, lane, signal(Kind.ANSWERED, index, generation))

        self._attached += 1
        lane = LaneReader(memory, card, announce, name=f"shm-{self._attached}")
        handshake.confirm(sock)
        self._lanes[sock] = lane
        if card != self._card:  # replaced while this one attached
            self._tell(sock, lane, encode(self._card))
        if self._draining.is_set():
            self._tell(sock, lane, signal(Kind.DRAIN))
        return lane

    async def _carry(self, sock: socket.socket, lane: LaneReader) -> str:
        """Collect doorbells until the lane is over. Returns why."""
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        buffer = bytearray(MAX_MESSAGE_BYTES)

        def handle(data: memoryview) -> None:
            kind, slot, generation = parse_signal(data)
            if kind == Kind.PUBLISHED:
                lane.announced(slot, generation)
            elif kind == Kind.PING:
                self._tell(sock, lane, signal(Kind.PONG))
            else:
                raise LaneError(f"the DPU process sent a message of kind {kind}, which does not belong here")

        def read() -> None:
            try:
                seqpacket.receive_waiting(sock, buffer, handle)
                if lane.end_reason is None:
                    self._readable(lane)
            except LaneError as error:
                lane.end(str(error))
            except Exception as error:
                # A bug in the worker loop must not vanish in a loop callback: it goes out through run().
                if not over.done():
                    over.set_exception(error)

        def finish() -> None:
            if not over.done():
                over.set_result(None)

        lane.on_end = finish
        if lane.end_reason is not None:
            return lane.end_reason
        loop.add_reader(sock, read)
        try:
            await over
        finally:
            loop.remove_reader(sock)
        return lane.end_reason or ""

    def _tell(self, sock: socket.socket, lane: LaneReader, message: bytes) -> None:
        try:
            sent = seqpacket.send(sock, message)
        except LaneError as error:
            lane.end(str(error))
            return
        if not sent:
            # The socket holds all answers of a lane: only a peer that broke the rules can fill it.
            lane.end("the DPU process does not read its answers")


def _close(sock: socket.socket, task: asyncio.Task[None]) -> None:
    sock.close()


def _check_card(card: ModelCard) -> None:
    """Raises LaneError if the card does not fit the messages or its name the slot header."""
    if len(card.name.encode()) > MODEL_NAME_BYTES:
        raise LaneError(f"the model name {card.name!r} is longer than {MODEL_NAME_BYTES} bytes: give it a shorter one")
    encode(card)
