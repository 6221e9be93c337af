"""What a lane must let a test do to it. A new carrier joins the suite by one more harness here."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pipelines.contracts import Slot, SlotWriter, Taken
from pipelines.transport.loopback import Loopback
from pipelines.transport.options import LaneOptions
from pipelines.transport.reader import LaneReader
from pipelines.transport.shm import ShmLink, ShmServer
from pipelines.transport.writer import LaneWriter
from pipelines.values import Answer
from tests.unit.transport.values import CARD

PATIENCE_S = 20.0


class Recorder:
    """LaneEvents that remember."""

    def __init__(self) -> None:
        self.writers: list[SlotWriter] = []
        self.answers: list[Answer] = []
        self.losses: list[tuple[tuple[int, ...], str]] = []
        self.given_up: list[tuple[tuple[int, ...], str]] = []

    def attached(self, writer: SlotWriter) -> None:
        self.writers.append(writer)

    def answered(self, answer: Answer) -> None:
        self.answers.append(answer)

    def lost(self, tasks: Sequence[int], reason: str) -> None:
        self.losses.append((tuple(tasks), reason))

    def gave_up(self, tasks: Sequence[int], reason: str) -> None:
        self.given_up.append((tuple(tasks), reason))

    @property
    def tasks_answered(self) -> list[int]:
        return [answer.task for answer in self.answers]

    @property
    def tasks_lost(self) -> list[int]:
        return [task for tasks, _ in self.losses + self.given_up for task in tasks]


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until the condition holds; after a few turns, leave the processor to others in between."""
    async with asyncio.timeout(PATIENCE_S):
        turns = 0
        while not condition():
            turns += 1
            await asyncio.sleep(0 if turns < 100 else 0.001)


class Lane(Protocol):
    """Both ends of one lane in one event loop."""

    events: Recorder

    @property
    def writer(self) -> LaneWriter: ...

    @property
    def reader(self) -> LaneReader: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def lose(self) -> None:
        """Cut the lane; returns when both ends have noticed."""

    async def attach_again(self) -> None:
        """After a loss, or instead of the present lane: a new epoch."""

    def corrupt(self, slot: Slot) -> None:
        """Change a byte of a published payload on its way."""

    def announce(self, taken: Taken) -> None:
        """Ring for an answer once more, as a worker gone wrong would."""


class LoopbackLane:
    def __init__(self, options: LaneOptions) -> None:
        self.events = Recorder()
        self._lane = Loopback(CARD, options, self.events)

    @property
    def writer(self) -> LaneWriter:
        return self._lane.writer

    @property
    def reader(self) -> LaneReader:
        return self._lane.reader

    async def start(self) -> None:
        self._lane.attach()

    async def stop(self) -> None:
        self._lane.end("stopped")

    async def lose(self) -> None:
        self._lane.end("cut")

    async def attach_again(self) -> None:
        self._lane.attach()

    def corrupt(self, slot: Slot) -> None:
        slot.payload[0] ^= 0xFF

    def announce(self, taken: Taken) -> None:
        self._lane._answered(taken.index, taken.generation)


class ShmLane:
    """Link and server as two tasks of one loop; losing the lane means that the link's end hangs up."""

    def __init__(self, options: LaneOptions, directory: Path) -> None:
        self.events = Recorder()
        path = directory / "worker.sock"
        self.server = ShmServer(path, CARD, options, lambda lane: None)
        self.link = ShmLink(path, options, self.events)
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

    def link_socket(self) -> socket.socket:
        """The DPU's end, to say wrong things through."""
        assert self.link._session
        return self.link._session._sock

    def corrupt(self, slot: Slot) -> None:
        slot.payload[0] ^= 0xFF

    def announce(self, taken: Taken) -> None:
        self._reader._announce(taken.index, taken.generation)
