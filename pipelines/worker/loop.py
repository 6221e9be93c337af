"""The worker's loop: slots from all lanes into batches, batches through the engine, answers back into the slots.

The event loop's thread takes, decides and answers; engine threads run batches, as many at once as the engine takes: the
copies of one overlap with the work of the one before. Answers are given in the order in which batches were started.
Stateless: when the process dies, the DPU still has every task.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.color import affine
from pipelines.contracts import Engine, SlotReader, Taken
from pipelines.errors import DeviceLost, ModelError, OutOfMemory
from pipelines.values import F32, AnswerCode, ColorMatrix, ColorRange, PixelFormat
from pipelines.worker.batcher import Batcher, Job
from pipelines.worker.contain import NO_ROWS, Container, Hang, Input, Output
from pipelines.worker.health import Health
from pipelines.worker.limit import BatchLimit
from pipelines.worker.options import BatchOptions
from pipelines.worker.plateau import doublings
from pipelines.worker.profile import BatchProfile
from pipelines.worker.share import Share

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
    overlapped: int = 0
    """Batches that were started while another one ran."""
    retried: int = 0
    """Batches that failed and were run again."""
    no_room: int = 0
    """Batches for which there was not memory enough."""


class WorkerLoop:
    """One engine and everything that waits for it. Event-loop thread, but for the engine's own threads."""

    def __init__(
        self,
        engine: Engine,
        options: BatchOptions,
        on_bad: Callable[[], None] = lambda: None,
        share: Share | None = None,
    ) -> None:
        """
        Args:
            on_bad: Called when nothing comes of several batches in a row; the loop goes on trying.
            share: Of a device that other models use too; None: this one has its engine for itself.
        """
        self._engine, self._on_bad, self._share = engine, on_bad, share or Share()
        self._profile = BatchProfile()
        self._largest = min(options.max_batch, engine.max_batch)
        self._limit = BatchLimit(self._largest)
        self.batcher: Batcher[_Work] = Batcher(
            self._largest, int(options.max_wait_ms * 1e6), options.queue, self._profile
        )
        self._container = Container(engine, options.watchdog_s, self._limit)
        self._health = Health()
        self._news = asyncio.Event()
        self._running: list[asyncio.Task[None]] = []
        self._held: Counter[SlotReader] = Counter()
        self._taken = 0
        self._answers: Counter[AnswerCode] = Counter()
        self._batches: Counter[int] = Counter()
        self._affine: dict[tuple[ColorRange, ColorMatrix], F32] = {}

    def warm(self, known_ns: Mapping[int, float] | None = None) -> None:
        """Run batches of 1, 2, 4 ... up to the largest: the first camera does not pay, and times are known. Blocks.

        Args:
            known_ns: What the sizes take, see `usual_ns`; each is run only once then, so that it can allocate.

        Raises:
            ModelError: there is not memory enough for one picture. EngineError: it does not run. DeviceLost.
        """
        for run in range(1 if known_ns else _WARM_RUNS):  # in rounds: what slows the machine slows all sizes alike
            for size in doublings(self._largest):
                if size > self._limit.at(time.monotonic_ns()) or not self._warmed(size, measured=run > 0):
                    break
        for size, ns in (known_ns or {}).items():
            for _ in range(1, _WARM_RUNS):
                self._profile.record(size, int(ns))

    @property
    def usual_ns(self) -> dict[int, float]:
        """{batch size: what it takes now}; empty before anything was measured."""
        usual_ns = {size: self._profile.expected_ns(size) for size in doublings(self._largest)}
        return usual_ns if all(usual_ns.values()) else {}

    def collect(self, reader: SlotReader) -> None:
        """A lane has something: take all of it."""
        while (taken := reader.take()) is not None:
            self._taken += 1
            self._held[reader] += 1
            work = _Work(reader, taken)
            if not self._fits(taken):
                self._answer(work, AnswerCode.BAD_INPUT)
            else:
                header = taken.header
                self.batcher.add(Job(work, header.camera, header.priority, header.deadline_ns, taken.taken_ns))
        self._news.set()

    @property
    def in_hand(self) -> int:
        """Tasks taken and not yet answered."""
        return self._taken - self._answers.total()

    @property
    def bad(self) -> bool:
        """Nothing came of the last batches."""
        return self._health.bad

    def holds(self, reader: SlotReader) -> bool:
        """A task of that lane is waiting or being run."""
        return reader in self._held

    async def run(self) -> None:
        """Batches until cancelled.

        Raises:
            DeviceLost: the engine is gone or hangs; the process must end (the tasks it had were answered WATCHDOG or
                ENGINE_FAILED where the lane still listens).
        """
        self._share.join(self)
        try:
            while True:
                self._heed_ended()
                await self._wait(self._share.start_due(time.monotonic_ns()))
        finally:
            self._share.leave(self)
            for task in self._running:
                task.cancel()

    def secede(self) -> None:
        """Another model takes this one's place in its share: what it holds runs beside."""
        self._share.leave(self)
        self._share = Share()
        self._share.join(self)

    def close(self) -> None:
        self._container.close()

    def statistics(self) -> WorkerStatistics:
        return WorkerStatistics(
            dict(self._answers),
            dict(self._batches),
            len(self.batcher),
            self.batcher.peak,
            self._profile.table(),
            self._profile.plateau(self._largest),
            self.batcher.ended_late,
            self._share.overlapped,
            self._container.retried,
            self._limit.failures,
        )

    # --- share.Member ----------------------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        return sum(not task.done() for task in self._running)

    @property
    def parallel(self) -> int:
        return self._engine.parallel

    def heed(self, now_ns: int) -> None:
        self.batcher.limit = self._limit.at(now_ns)

    def refused(self, jobs: Sequence[Job[_Work]]) -> None:
        for job in jobs:
            self._answer(job.item, AnswerCode.LATE)

    def start(self, batch: Sequence[Job[_Work]]) -> None:
        before = self._running[-1] if self._running else None
        task = asyncio.get_running_loop().create_task(self._run_batch(batch, before))
        task.add_done_callback(lambda _: self._news.set())
        self._running.append(task)

    # --- internals -------------------------------------------------------------------------------------------------

    def _warmed(self, size: int, measured: bool) -> bool:
        """Run a batch of this size. False: there is no room for it."""
        card = self._engine.card
        blank = np.full(card.payload_bytes, 128, np.uint8)
        color = affine(card, ColorRange.LIMITED, ColorMatrix.BT601)
        started_ns = time.monotonic_ns()
        try:
            self._engine.infer([blank] * size, np.stack([color] * size))
        except (OutOfMemory, MemoryError) as error:
            if size == 1:
                raise ModelError(f"{card.name}: no memory even for a batch of 1: {error}") from error
            self._limit.failed(size, time.monotonic_ns())
            return False
        if measured:  # the first one allocates
            self._profile.record(size, time.monotonic_ns() - started_ns)
        return True

    def _heed_ended(self) -> None:
        """Forget batches that have ended. Raises what one of them raised."""
        ended = [task for task in self._running if task.done()]
        self._running = [task for task in self._running if not task.done()]
        for task in ended:
            task.result()

    async def _wait(self, wake_ns: int | None) -> None:
        timeout_s = None if wake_ns is None else max(0.0, (wake_ns - time.monotonic_ns()) / 1e9)
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    async def _run_batch(self, batch: Sequence[Job[_Work]], before: asyncio.Task[None] | None) -> None:
        """`before`: the batch that is answered first."""
        started_ns = time.monotonic_ns()
        works = [job.item for job in batch]
        inputs = [Input(w.taken.payload, self._color(w.taken), w.taken.header.deadline_ns) for w in works]
        try:
            outputs = await self._container.run(inputs)
        except DeviceLost as lost:
            code = AnswerCode.WATCHDOG if isinstance(lost, Hang) else AnswerCode.ENGINE_FAILED
            for work in works:
                self._answer(work, code)
            raise
        finished_ns = time.monotonic_ns()
        if before is not None and not before.done():
            await asyncio.wait({before})
        self._learn(batch, outputs, started_ns, finished_ns)
        for work, output in zip(works, outputs, strict=True):
            self._answer(work, output.code, output.rows, started_ns, finished_ns)

    def _learn(self, batch: Sequence[Job[_Work]], outputs: Sequence[Output], started_ns: int, finished_ns: int) -> None:
        """What one batch says of the engine."""
        good = sum(output.code is AnswerCode.OK for output in outputs)
        if self._health.ended(good):
            self._on_bad()
        own_ns = self._share.own_time.ended(started_ns, finished_ns)
        if good == len(batch):
            self.batcher.ended(batch, own_ns, finished_ns)
            self._batches[len(batch)] += 1

    def _fits(self, taken: Taken) -> bool:
        header, card = taken.header, self._engine.card
        form = PixelFormat.NONE if card.tensor_bytes else PixelFormat.I420
        return (
            header.pixel_format is form
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

    def _answer(
        self, work: _Work, code: AnswerCode, rows: F32 = NO_ROWS, started_ns: int = 0, finished_ns: int = 0
    ) -> None:
        if code is not AnswerCode.OK:
            started_ns = finished_ns = 0
        self._answers[code] += 1
        self._held[work.reader] -= 1
        if not self._held[work.reader]:
            del self._held[work.reader]
        work.reader.answer(work.taken, code, rows, started_ns, finished_ns)
