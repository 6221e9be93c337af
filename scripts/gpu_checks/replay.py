"""The product's own worker loop over the engine: 64 cameras at their real rate, and as many tasks as it will take."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import count

import numpy as np

from pipelines.contracts import Taken
from pipelines.values import (
    F32,
    U8,
    AnswerCode,
    ColorMatrix,
    ColorRange,
    Letterbox,
    Priority,
    SlotHeader,
)
from pipelines.worker.loop import WorkerLoop
from pipelines.worker.options import BatchOptions
from scripts.gpu_checks.ring import ring
from scripts.gpu_checks.subject import Figures, Subject, percentile, pictures

CAMERAS = 64
FPS = 5.0
"""Frames that each camera sends to the worker: all of them analysed, none filtered away."""
DEADLINE_MS = 100.0
_DEPTH = 4
"""Batches that wait in the saturating replay."""


class Feeder:
    """Plays a lane (contracts.SlotReader): hands out payloads of the ring, and times their answers."""

    def __init__(self, payloads: list[U8], header: Callable[[int, int], SlotHeader]) -> None:
        self._payloads, self._header, self._numbers = payloads, header, count()
        self._waiting: list[Taken] = []
        self.times_ms: list[float] = []
        self.codes: Counter[AnswerCode] = Counter()
        self.refill: Callable[[], None] = lambda: None

    def offer(self, now_ns: int, arrival_ns: int) -> None:
        """One task that came at `arrival_ns`."""
        task = next(self._numbers)
        slot = task % len(self._payloads)
        self._waiting.append(Taken(slot, task, self._header(task, arrival_ns), self._payloads[slot], now_ns))

    def take(self) -> Taken | None:
        return self._waiting.pop(0) if self._waiting else None

    def answer(self, taken: Taken, code: AnswerCode, rows: F32, started_ns: int, finished_ns: int) -> None:
        del rows, started_ns, finished_ns
        self.codes[code] += 1
        if code is AnswerCode.OK:
            self.times_ms.append((time.monotonic_ns() - taken.header.arrival_ns) / 1e6)
        self.refill()


def check(subject: Subject) -> Figures:
    """`ok`: every task has an answer and none failed; on a real device 99 of 100 are in time at the cameras' own rate.

    The fake device computes on the CPU, whose speed is not what is checked.
    """
    with ring(subject.card, pictures(subject.card)) as (region, payloads):
        subject.engine.pin(region)
        real = asyncio.run(_real_rate(subject, payloads))
        full = asyncio.run(_saturating(subject, payloads))
        subject.engine.unpin(region)
    in_time = subject.candidate.name == "fake" or real["late"] <= 0.01 * real["tasks"]
    return {
        "ok": real["failed"] == full["failed"] == 0 < real["ok_answers"] and in_time,
        "real_rate": real,
        "saturating": full,
    }


def _header(subject: Subject) -> Callable[[int, int], SlotHeader]:
    card = subject.card
    fit = Letterbox(card.input_w, card.input_h, card.input_w, card.input_h, 0, 0, card.input_w, card.input_h)
    deadline_ns = int(DEADLINE_MS * 1e6)

    def header(task: int, arrival_ns: int) -> SlotHeader:
        return SlotHeader(
            task,
            f"cam-{task % CAMERAS}",
            card.name,
            arrival_ns,
            arrival_ns + deadline_ns,
            Priority.NORMAL,
            fit,
            ColorRange.LIMITED,
            ColorMatrix.BT709,
            card.payload_bytes,
        )

    return header


def _loop(subject: Subject) -> WorkerLoop:
    loop = WorkerLoop(subject.engine, BatchOptions(max_batch=subject.engine.max_batch))
    loop.warm()
    return loop


async def _real_rate(subject: Subject, payloads: list[U8]) -> Figures:
    """64 cameras, each with its own phase, for as long as the settings say."""
    feeder, loop = Feeder(payloads, _header(subject)), _loop(subject)
    phases_s = np.sort(np.random.default_rng(0).random(CAMERAS)) / FPS
    running = asyncio.ensure_future(loop.run())
    start_ns, offered = time.monotonic_ns(), 0
    rounds = max(1, int(subject.settings.seconds * FPS))
    for turn in range(rounds):
        for phase_s in phases_s:
            due_ns = start_ns + int((turn / FPS + phase_s) * 1e9)
            if (wait_s := (due_ns - time.monotonic_ns()) / 1e9) > 0:
                await asyncio.sleep(wait_s)
            feeder.offer(time.monotonic_ns(), max(due_ns, start_ns))
            loop.collect(feeder)
            offered += 1
    await _until(lambda: feeder.codes.total() == offered)
    await _stop(loop, running)
    return {"cameras": CAMERAS, "fps": FPS, "deadline_ms": DEADLINE_MS, "tasks": offered, **_figures(feeder, loop)}


async def _saturating(subject: Subject, payloads: list[U8]) -> Figures:
    """Always a few batches waiting. Deadlines are far, so nothing is refused."""
    feeder, loop = Feeder(payloads, _header(subject)), _loop(subject)
    far_ns = 3600 * 10**9
    most = _DEPTH * subject.engine.max_batch
    offered = 0
    until = time.monotonic() + subject.settings.seconds

    def refill() -> None:
        nonlocal offered
        if time.monotonic() < until and offered - feeder.codes.total() < most:
            feeder.offer(time.monotonic_ns(), time.monotonic_ns() + far_ns)
            offered += 1
            loop.collect(feeder)

    feeder.refill = refill
    before, started_ms, started = subject.engine.statistics(), subject.now_ms(), time.monotonic()
    for _ in range(most):
        refill()
    running = asyncio.ensure_future(loop.run())
    while feeder.codes.total() < offered or time.monotonic() < until:
        await asyncio.sleep(0.005)
    passed_s, passed_ms = time.monotonic() - started, subject.now_ms() - started_ms
    await _stop(loop, running)
    after = subject.engine.statistics()
    return {
        **_figures(feeder, loop),
        "tasks_per_s": round((after.tasks - before.tasks) / passed_s, 1),
        "mean_batch": round((after.tasks - before.tasks) / max(1, after.batches - before.batches), 2),
        "device_use": round(min(1.0, (after.compute_ms - before.compute_ms) / passed_ms), 3) if passed_ms else None,
    }


def _figures(feeder: Feeder, loop: WorkerLoop) -> Figures:
    codes, times = feeder.codes, feeder.times_ms or [0.0]
    return {
        "ok_answers": codes[AnswerCode.OK],
        "late": codes[AnswerCode.LATE],
        "failed": codes.total() - codes[AnswerCode.OK] - codes[AnswerCode.LATE],
        "in_worker_p50_ms": percentile(times, 50),
        "in_worker_p99_ms": percentile(times, 99),
        "batches": {str(size): n for size, n in sorted(loop.statistics().batches.items())},
    }


async def _until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not done():
            await asyncio.sleep(0.005)


async def _stop(loop: WorkerLoop, running: asyncio.Future[None]) -> None:
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    loop.close()
