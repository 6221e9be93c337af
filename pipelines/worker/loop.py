"""The worker's loop: slots from all lanes into batches, batches through the engine, answers back into the slots.

The event loop's thread takes, decides and answers; one engine thread runs batches, one at a time. Stateless: when the
process dies, the DPU still has every task.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pipelines.color import affine
from pipelines.contracts import Engine, SlotReader, Taken
from pipelines.errors import DeviceLost, EngineError
from pipelines.values import F32, AnswerCode, ColorMatrix, ColorRange, PixelFormat
from pipelines.worker.batcher import Batcher, Job
from pipelines.worker.options import BatchOptions
from pipelines.worker.plateau import doublings
from pipelines.worker.profile import BatchProfile

_WARM_RUNS = 3


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    reader: SlotReader
    taken: Taken


@dataclass(frozen=True, slots=True)
class WorkerStatistics:
    """Counters since start."""

    answers: dict[AnswerCode, int]
    batches: dict[int, int]
    """{batch size: count}"""
    waiting: int
    peak_waiting: int
    profile_ns: dict[int, int]
    """{batch size: measured time within which 99 of 100 end}"""
    plateau: int = 0
    """The batch worth waiting for."""
    ended_late: int = 0
    """Tasks that were let run and ended after their deadline."""


class WorkerLoop:
    """One engine and everything that waits for it. Event-loop thread, but for the engine's own thread."""

    def __init__(self, engine: Engine, options: BatchOptions) -> None:
        self._engine = engine
        self._options = options
        self._profile = BatchProfile()
        self._largest = min(options.max_batch, engine.max_batch)
        self._batcher: Batcher[_Work] = Batcher(
            self._largest, int(options.max_wait_ms * 1e6), options.queue, self._profile
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._news = asyncio.Event()
        self._taken = 0
        self._answers: Counter[AnswerCode] = Counter()
        self._batches: Counter[int] = Counter()
        self._no_rows = np.zeros((0, 6), np.float32)
        self._affine: dict[tuple[ColorRange, ColorMatrix], F32] = {}

    def warm(self) -> None:
        """Run batches of 1, 2, 4 ... up to the largest: the first camera does not pay, and times are known. Blocks."""
        card = self._engine.card
        blank = np.full(card.payload_bytes, 128, np.uint8)
        color = affine(card, ColorRange.LIMITED, ColorMatrix.BT601)
        for run in range(_WARM_RUNS):  # in rounds: what slows the machine for a moment slows all sizes alike
            for size in doublings(self._largest):
                started_ns = time.monotonic_ns()
                self._engine.infer([blank] * size, np.stack([color] * size))
                if run:  # the first one allocates
                    self._profile.record(size, time.monotonic_ns() - started_ns)

    def collect(self, reader: SlotReader) -> None:
        """A lane has something: take all of it."""
        while (taken := reader.take()) is not None:
            self._taken += 1
            work = _Work(reader, taken)
            if not self._fits(taken):
                self._answer(work, AnswerCode.BAD_INPUT)
            else:
                header = taken.header
                self._batcher.add(Job(work, header.camera, header.priority, header.deadline_ns, taken.taken_ns))
        self._news.set()

    @property
    def in_hand(self) -> int:
        """Tasks taken and not yet answered."""
        return self._taken - self._answers.total()

    async def run(self) -> None:
        """Batches until cancelled.

        Raises:
            DeviceLost: the engine is gone or hangs; the process must end (the tasks it had were answered WATCHDOG or
                ENGINE_FAILED where the lane still listens).
        """
        while True:
            decision = self._batcher.poll(time.monotonic_ns())
            for job in decision.late:
                self._answer(job.item, AnswerCode.LATE)
            if decision.batch:
                await self._run_batch(decision.batch)
                continue
            await self._wait(decision.wake_ns)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def statistics(self) -> WorkerStatistics:
        return WorkerStatistics(
            dict(self._answers),
            dict(self._batches),
            len(self._batcher),
            self._batcher.peak,
            self._profile.table(),
            self._profile.plateau(self._largest),
            self._batcher.ended_late,
        )

    # --- internals -------------------------------------------------------------------------------------------------

    async def _wait(self, wake_ns: int | None) -> None:
        timeout_s = None if wake_ns is None else max(0.0, (wake_ns - time.monotonic_ns()) / 1e9)
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    async def _run_batch(self, batch: Sequence[Job[_Work]]) -> None:
        started_ns = time.monotonic_ns()
        works = [job.item for job in batch]
        payloads = [work.taken.payload for work in works]
        color = np.stack([self._color(work.taken) for work in works])
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._engine.infer, payloads, color)
        done, _ = await asyncio.wait({running}, timeout=self._options.watchdog_s)
        if not done:
            self._fail(works, AnswerCode.WATCHDOG)
            raise DeviceLost(f"a batch of {len(works)} ran longer than {self._options.watchdog_s:g} s")
        try:
            rows = running.result()
        except DeviceLost:
            self._fail(works, AnswerCode.ENGINE_FAILED)
            raise
        except EngineError:
            self._fail(works, AnswerCode.ENGINE_FAILED)
            return
        finished_ns = time.monotonic_ns()
        self._batcher.ended(batch, finished_ns - started_ns, finished_ns)
        self._batches[len(works)] += 1
        for work, answer in zip(works, rows, strict=True):
            self._answers[AnswerCode.OK] += 1
            work.reader.answer(work.taken, AnswerCode.OK, answer, started_ns, finished_ns)

    def _fits(self, taken: Taken) -> bool:
        header, card = taken.header, self._engine.card
        return (
            header.pixel_format is PixelFormat.I420
            and header.payload_bytes == card.payload_bytes
            and (header.fit.input_w, header.fit.input_h) == (card.input_w, card.input_h)
            and header.color_range is not ColorRange.UNSPECIFIED
            and header.color_matrix is not ColorMatrix.UNSPECIFIED
        )

    def _color(self, taken: Taken) -> F32:
        key = taken.header.color_range, taken.header.color_matrix
        if key not in self._affine:
            self._affine[key] = affine(self._engine.card, *key)
        return self._affine[key]

    def _fail(self, works: Sequence[_Work], code: AnswerCode) -> None:
        for work in works:
            self._answer(work, code)

    def _answer(self, work: _Work, code: AnswerCode) -> None:
        self._answers[code] += 1
        work.reader.answer(work.taken, code, self._no_rows, 0, 0)
