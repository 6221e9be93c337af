"""The two ends of a lane under stress, as processes to be killed at any moment. Counters lie in files: they survive.

python -m tests.contracts.stress_peer worker|dpu PATH COUNTERS W H
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.contracts import SlotWriter
from pipelines.transport.options import LaneOptions
from pipelines.transport.reader import LaneReader
from pipelines.transport.shm import ShmLink, ShmServer
from pipelines.values import (
    U8,
    Answer,
    AnswerCode,
    ColorMatrix,
    ColorRange,
    Letterbox,
    ModelCard,
    Priority,
    SlotHeader,
)

OPTIONS = LaneOptions(
    slots=16,
    reserved_high=0,
    reserved_normal=0,
    checksum=True,
    connect_backoff_s=0.005,
    connect_backoff_max_s=0.02,
)
_SHIFTS = 4093


class Count(IntEnum):
    OFFERED = 0
    """Before `publish`: one may not have gone out when its process was killed."""
    REFUSED = 1
    ANSWERED = 2
    LOST = 3
    LOSSES = 4
    WRONG = 5
    """Answers that are not their task's, that came twice, or to tasks that were never sent."""
    TAKEN = 6
    TAKEN_TWICE = 7
    CHECKSUM_FAILURES = 8


def counters(path: Path) -> npt.NDArray[np.int64]:
    """(len(Count),) of one process's life; the file is made with the first of it."""
    if not path.exists():
        path.write_bytes(bytes(8 * len(Count)))
    return np.memmap(path, np.int64, "r+", shape=(len(Count),))


def card(w: int, h: int) -> ModelCard:
    return ModelCard("stress", "null", w, h, ("person",), top_k=2)


class Picture:
    """A picture that only its task has, as far as a checksum can tell: noise, shifted by the task's number."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._noise = np.random.default_rng(1).integers(0, 256, size + _SHIFTS, np.uint8)

    def of(self, task: int) -> U8:
        shift = task % _SHIFTS
        return self._noise[shift : shift + self._size]


class Dpu:
    """LaneEvents that count, and a pump that publishes whatever a slot can be had for."""

    def __init__(self, counts: npt.NDArray[np.int64], size: int) -> None:
        self._counts, self._picture = counts, Picture(size)
        self._open: set[int] = set()
        self._writer: SlotWriter | None = None
        self.stopped = threading.Event()

    def attached(self, writer: SlotWriter) -> None:
        self._writer = writer
        threading.Thread(target=self._pump, args=(writer,), daemon=True, name="pump").start()

    def answered(self, answer: Answer) -> None:
        self._counts[Count.ANSWERED] += 1
        sent = self._picture.of(answer.task)
        told = answer.rows[0, :3].tolist() if len(answer.rows) else None
        if answer.code is not AnswerCode.OK or told != [answer.task % 65536, sent[0], sent[-1]]:
            self._counts[Count.WRONG] += 1
        self._settle(answer.task)

    def lost(self, tasks: Sequence[int], reason: str) -> None:
        self._writer = None
        self._counts[Count.LOSSES] += 1
        for task in tasks:
            self._counts[Count.LOST] += 1
            self._settle(task)

    def _settle(self, task: int) -> None:
        if task in self._open:
            self._open.remove(task)
        else:
            self._counts[Count.WRONG] += 1

    def _pump(self, writer: SlotWriter) -> None:
        fit = Letterbox(64, 64, 64, 64, 0, 0, 64, 64)
        while not self.stopped.is_set() and self._writer is writer:
            slot = writer.loan(Priority.NORMAL)
            if slot is None:
                time.sleep(0.0001)
                continue
            task = int(self._counts[Count.OFFERED])
            self._counts[Count.OFFERED] += 1
            picture = self._picture.of(task)
            np.copyto(slot.payload, picture)
            header = SlotHeader(
                task, "c", "stress", 0, 0, Priority.NORMAL, fit, ColorRange.FULL, ColorMatrix.BT601, picture.size
            )
            self._open.add(task)
            if not writer.publish(slot, header):
                self._open.discard(task)
                self._counts[Count.REFUSED] += 1


async def dpu(path: Path, counts: npt.NDArray[np.int64], wh: tuple[int, int]) -> None:
    """Publish until a line comes in; then wait for what is out, and say "settled"."""
    ends = Dpu(counts, card(*wh).payload_bytes)
    link = ShmLink(path, OPTIONS, ends)
    linking = asyncio.create_task(link.run())
    await asyncio.to_thread(sys.stdin.readline)
    ends.stopped.set()
    out = await link.drain(20)
    sys.stdout.write(f"settled {out}\n")
    sys.stdout.flush()
    linking.cancel()
    await asyncio.wait({linking})


def worker(path: Path, counts: npt.NDArray[np.int64], wh: tuple[int, int]) -> None:
    latest: dict[str, int] = {}
    batch = np.empty(card(*wh).payload_bytes, np.uint8)

    def serve(lane: LaneReader) -> None:
        while (taken := lane.take()) is not None:
            task = taken.header.task
            counts[Count.TAKEN] += 1
            counts[Count.TAKEN_TWICE] += task <= latest.get(lane.name, -1)  # one pump: they come in order
            latest[lane.name] = task
            np.copyto(batch, taken.payload)
            rows = np.zeros((1, 6), np.float32)
            rows[0, :3] = task % 65536, batch[0], batch[-1]
            lane.answer(taken, AnswerCode.OK, rows, 0, 0)
        counts[Count.CHECKSUM_FAILURES] += lane.statistics().checksum_failures > 0

    asyncio.run(ShmServer(path, card(*wh), OPTIONS, serve).run())


def main() -> None:
    role, path, file, w, h = sys.argv[1:]
    wh = int(w), int(h)
    if role == "dpu":
        asyncio.run(dpu(Path(path), counters(Path(file)), wh))
    else:
        worker(Path(path), counters(Path(file)), wh)


if __name__ == "__main__":
    main()
