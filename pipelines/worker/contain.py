"""One batch through an engine, contained: whatever the engine does becomes a code for each task.

| the engine                          | then                                                                 |
|-------------------------------------|----------------------------------------------------------------------|
| answers in another shape            | all are BAD_OUTPUT                                                   |
| answers what is not finite          | those tasks are BAD_OUTPUT                                           |
| has no room (OutOfMemory)           | in halves, down to one task; larger batches wait for a while         |
| fails (EngineError)                 | once more, for those that have the time; then ENGINE_FAILED          |
| is lost (DeviceLost)                | raised: the process must end                                         |
| does not return within the watchdog | raised as Hang, a DeviceLost: its thread cannot be had back          |
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipelines.contracts import Engine
from pipelines.errors import DeviceLost, EngineError, OutOfMemory
from pipelines.values import F32, U8, AnswerCode
from pipelines.worker.limit import BatchLimit

NO_ROWS: F32 = np.zeros((0, 6), np.float32)


class Hang(DeviceLost):
    """A batch ran longer than the watchdog allows."""


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """What an engine is given of one task."""

    payload: U8
    color: F32
    """(3, 4)"""
    deadline_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """What a task is answered. rows: (top_k, 6) where the code is OK, else none."""

    code: AnswerCode
    rows: F32 = field(default_factory=lambda: NO_ROWS)


class Container:
    """Runs batches on threads of its own, as many at once as the engine takes. Event-loop thread."""

    def __init__(self, engine: Engine, watchdog_s: float, limit: BatchLimit) -> None:
        self._engine, self._watchdog_s, self._limit = engine, watchdog_s, limit
        self._threads = ThreadPoolExecutor(engine.parallel, thread_name_prefix="engine")
        self.retried = 0
        """Batches that failed and were run again."""

    async def run(self, tasks: Sequence[Input]) -> list[Output]:
        """Answers in the order of the tasks.

        Raises:
            DeviceLost: see above; nothing was answered.
        """
        began_ns = time.monotonic_ns()
        try:
            return self._judged(await self._infer(tasks), len(tasks))
        except DeviceLost:
            raise
        except (OutOfMemory, MemoryError):
            return await self._in_halves(tasks)
        except EngineError:
            return await self._once_more(tasks, time.monotonic_ns() - began_ns)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_halves(self, tasks: Sequence[Input]) -> list[Output]:
        self._limit.failed(len(tasks), time.monotonic_ns())
        if len(tasks) == 1:
            return [Output(AnswerCode.ENGINE_FAILED)]
        half = (len(tasks) + 1) // 2
        return [*await self.run(tasks[:half]), *await self.run(tasks[half:])]

    async def _once_more(self, tasks: Sequence[Input], took_ns: int) -> list[Output]:
        """For tasks that can still make it, if it takes as long as it took to fail."""
        possible_ns = time.monotonic_ns() + took_ns
        hopeful = [task for task in tasks if task.deadline_ns > possible_ns]
        outputs: list[Output] = []
        if hopeful:
            self.retried += 1
            try:
                outputs = self._judged(await self._infer(hopeful), len(hopeful))
            except DeviceLost:
                raise
            except (EngineError, MemoryError):
                pass
        done = dict(zip(map(id, hopeful), outputs, strict=False))
        return [done.get(id(task), Output(AnswerCode.ENGINE_FAILED)) for task in tasks]

    async def _infer(self, tasks: Sequence[Input]) -> F32:
        payloads, color = [task.payload for task in tasks], np.stack([task.color for task in tasks])
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._threads, self._engine.infer, payloads, color)
        done, _ = await asyncio.wait({running}, timeout=self._watchdog_s)
        if not done:
            raise Hang(f"a batch of {len(tasks)} ran longer than {self._watchdog_s:g} s")
        return running.result()

    def _judged(self, rows: F32, count: int) -> list[Output]:
        if rows.shape != (count, self._engine.card.top_k, 6):
            return [Output(AnswerCode.BAD_OUTPUT)] * count
        sound: npt.NDArray[np.bool_] = np.asarray(np.isfinite(rows).all(axis=(1, 2)))
        return [
            Output(AnswerCode.OK, answer) if fine else Output(AnswerCode.BAD_OUTPUT)
            for answer, fine in zip(rows, sound, strict=True)
        ]
