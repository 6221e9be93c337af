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
from pipelines.transport.message import Kind, encode, signal
from pipelines.transport.options import LaneOptions
from pipelines.transport.reader import LaneReader
from pipelines.transport.shm_session import ServerSession
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
        self._sessions: list[ServerSession] = []
        self._connections = 0
        self._draining = asyncio.Event()
        self.listening = asyncio.Event()
        """Set once DPU processes can connect."""
        self.on_lanes: Callable[[], None] = lambda: None
        """Called when a lane was attached, and when one has ended."""
        self._attached = self._refused = 0
        self._reason = ""

    @property
    def lanes(self) -> tuple[LaneReader, ...]:
        """Attached now."""
        return tuple(session.lane for session in self._sessions)

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
            session = await self._attach(sock)
        except LaneError as error:
            self._refused += 1
            self._reason = str(error)
            return
        finally:
            self._connections -= 1
        try:
            self._reason = await session.carry(self._readable)
        finally:
            self._sessions.remove(session)
            session.end("the worker stopped")
            self.on_lanes()

    async def _attach(self, sock: socket.socket) -> ServerSession:
        if len(self._sessions) + self._connections > self._options.max_lanes:
            reason = f"this worker has its {self._options.max_lanes} lanes (lane.max_lanes)"
            handshake.refuse(sock, reason)
            raise LaneError(reason)
        card = self._card
        memory = await handshake.accept(sock, card, self._options)
        handshake.confirm(sock)
        self._attached += 1
        session = ServerSession(sock, memory, card, f"shm-{self._attached}")
        self._sessions.append(session)
        self.on_lanes()
        if card != self._card:  # replaced while this one attached
            session.tell(encode(self._card))
        if self._draining.is_set():
            session.tell(signal(Kind.DRAIN))
        return session


def _close(sock: socket.socket, task: asyncio.Task[None]) -> None:
    sock.close()


def _check_card(card: ModelCard) -> None:
    """Raises LaneError if the card does not fit the messages or its name the slot header."""
    if len(card.name.encode()) > MODEL_NAME_BYTES:
        raise LaneError(f"the model name {card.name!r} is longer than {MODEL_NAME_BYTES} bytes: give it a shorter one")
    encode(card)
