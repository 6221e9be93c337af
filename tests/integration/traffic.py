"""Sixty-four cameras that exist on the lane only: steady tasks into a real worker, every answer accounted for."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from pipelines.contracts import SlotWriter
from pipelines.transport.options import LaneOptions
from pipelines.transport.shm_link import ShmLink
from pipelines.values import Answer, AnswerCode, Priority
from tests.fakes.lane import header

CAMERAS = 64
_TICK_S = 0.002


class Traffic:
    """Implements LaneEvents; publishes whatever is due, and remembers what became of it."""

    def __init__(self, fps: float) -> None:
        self._per_s = CAMERAS * fps
        self._writer: SlotWriter | None = None
        self._published: dict[int, int] = {}
        """Task -> when, until it is answered."""
        self.answers: Counter[AnswerCode] = Counter()
        self.lost: list[int] = []
        self.attaches = 0
        self.sent = 0
        self.no_lane = 0
        """Frames that came while no lane was attached."""
        self.ring_full = 0
        self.longest_batch_ns = 0
        self.longest_gap_ns = 0
        """Between two answers."""
        self._answered_ns = 0
        self.overtaken = 0
        """Answers that came after one to a later frame of the same camera."""
        self._newest: Counter[int] = Counter()
        self._next = 0

    def mark(self) -> None:
        """Look for the longest gap and batch from now on."""
        self.longest_gap_ns = self.longest_batch_ns = 0
        self._answered_ns = time.monotonic_ns()

    @property
    def published(self) -> int:
        return self.answers.total() + len(self._published) + len(self.lost)

    @property
    def model(self) -> str:
        """Whose lane it is."""
        return self._writer.card.name if self._writer else ""

    @property
    def open(self) -> int:
        return len(self._published)

    # --- contracts.LaneEvents ---

    def attached(self, writer: SlotWriter) -> None:
        self._writer = writer
        self.attaches += 1

    def answered(self, answer: Answer) -> None:
        del self._published[answer.task]  # a KeyError is an answer given twice
        self.answers[answer.code] += 1
        camera = answer.task % CAMERAS
        self.overtaken += answer.task < self._newest[camera]
        self._newest[camera] = max(answer.task, self._newest[camera])
        now_ns = time.monotonic_ns()
        self.longest_gap_ns = max(self.longest_gap_ns, now_ns - self._answered_ns)
        self.longest_batch_ns = max(self.longest_batch_ns, answer.finished_ns - answer.started_ns)
        self._answered_ns = now_ns

    def lost_tasks(self, tasks: Sequence[int]) -> None:
        for task in tasks:
            del self._published[task]
            self.lost.append(task)

    # --- the cameras ---

    async def run(self) -> None:
        """Publish what is due, until cancelled."""
        began = time.monotonic()
        due_before = 0
        while True:
            due = int((time.monotonic() - began) * self._per_s)
            for _ in range(due - due_before):
                self._publish()
            due_before = due
            await asyncio.sleep(_TICK_S)

    def _publish(self) -> None:
        if self._writer is None:
            self.no_lane += 1
            return
        slot = self._writer.loan(Priority.NORMAL)
        if slot is None:
            self.ring_full += 1
            return
        self._next += 1
        slot.payload[: 1 << 10] = np.uint8(self._next % 251)
        wanted = header(self._next, camera=f"cam{self._next % CAMERAS}", card=self._writer.card)
        if self._writer.publish(slot, wanted):
            self._published[self._next] = time.monotonic_ns()
            self.sent += 1
        else:
            self.ring_full += 1


class _Events:
    """The lane tells the traffic; `lost` is a list there."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self.attached, self.answered = traffic.attached, traffic.answered

    def lost(self, tasks: Sequence[int], reason: str) -> None:
        self._traffic._writer = None
        self._traffic.lost_tasks(tasks)


async def _once_attached(traffic: Traffic) -> None:
    while not traffic.attaches:
        await asyncio.sleep(0.01)
    await traffic.run()


@asynccontextmanager
async def flowing(socket: Path, fps: float, slots: int = 128) -> AsyncIterator[Traffic]:
    """Traffic into the worker at `socket` while the context is open; drained at the end."""
    traffic = Traffic(fps)
    options = LaneOptions(slots=slots)
    link = ShmLink(socket, options, _Events(traffic))
    linking = asyncio.create_task(link.run())
    publishing = asyncio.create_task(_once_attached(traffic))
    try:
        async with asyncio.timeout(30):
            while not traffic.answers.total():
                await asyncio.sleep(0.01)
        yield traffic
        publishing.cancel()
        async with asyncio.timeout(30):
            while traffic.open:
                await asyncio.sleep(0.01)
    finally:
        publishing.cancel()
        linking.cancel()
        await asyncio.gather(publishing, linking, return_exceptions=True)
