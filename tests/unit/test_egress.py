"""From an answer to alerts at the sinks; every code has its outcome; nothing is lost when cameras and workers go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest

from pipelines.accounting import Ledger
from pipelines.attention import Attention
from pipelines.egress import OUTCOME_OF_CODE, CameraOut, Egress
from pipelines.event.episode import EpisodeOptions, EpisodeTracker
from pipelines.inflight import InFlight
from pipelines.sink.memory import MemoryOptions, MemorySink
from pipelines.transport.loopback import loopback
from pipelines.values import (
    Alert,
    AlertType,
    Answer,
    AnswerCode,
    FrameResult,
    Letterbox,
    Outcome,
    TaskContext,
    Timeline,
)
from tests.fakes.lane import CARD, KeptEvents, one_box

FIT = Letterbox(64, 32, 32, 16, 0, 0, 32, 16)


@dataclass
class Bench:
    """An egress with one camera and a memory sink."""

    inflight: InFlight = field(default_factory=InFlight)
    ledger: Ledger = field(default_factory=Ledger)
    sink: MemorySink = field(default_factory=lambda: MemorySink(MemoryOptions(results=100)))
    results: list[FrameResult] = field(default_factory=list)
    begun: list[Alert] = field(default_factory=list)
    worker: list[tuple[bool, str]] = field(default_factory=list)
    attention: Attention = field(default_factory=Attention)

    def __post_init__(self) -> None:
        self.egress = Egress(
            self.inflight,
            [self.sink],
            self.results.append,
            self.begun.append,
            lambda up, why: self.worker.append((up, why)),
        )
        self.egress.add("cam", self.out())
        self.egress.attached(loopback(2, CARD, KeptEvents()).writer)

    def out(self) -> CameraOut:
        tracker = EpisodeTracker("cam", EpisodeOptions(min_score=0.5))
        return CameraOut(self.ledger, tracker, lambda advice: 0.8 * advice, self.attention)

    def send(self) -> int:
        """One task under way."""
        task = self.inflight.number()
        now_ns = time.monotonic_ns()
        line = Timeline(arrival_ns=now_ns, read_ns=now_ns, decoded_ns=now_ns, gated_ns=now_ns, published_ns=now_ns)
        self.inflight.open(TaskContext(task, "cam", self.ledger.enter(), FIT, line, now_ns, 1234))
        return task

    def answer(self, task: int, code: AnswerCode = AnswerCode.OK, score: float = 0.9) -> None:
        rows = one_box(score) if code is AnswerCode.OK else np.zeros((0, 6), np.float32)
        self.egress.answered(Answer(task, code, rows, 1, 2, 3))


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    b = Bench()
    running = asyncio.create_task(b.egress.run())
    try:
        yield b
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        reading = b.ledger.snapshot()
        assert reading.imbalance == 0


async def test_a_box_becomes_an_alert_in_source_pixels() -> None:
    async with bench() as b:
        b.answer(b.send())
        b.send()
        assert b.inflight.turnaround_ns > 0, "of what is in flight now"
        await b.egress.drain()
        (alert,) = b.sink.alerts
        assert alert.type is AlertType.NEW
        assert alert.classes == ("person",)
        assert alert.boxes[0] == pytest.approx((16, 8, 48, 24))
        assert (alert.camera_id, alert.time_ms, alert.model) == ("cam", 1234, "toy")
        assert b.ledger.snapshot().outcomes == {Outcome.INFERRED: 1}
        assert b.attention.alive
        assert b.results[0].timeline.answered_ns >= b.results[0].timeline.published_ns


async def test_no_box_is_a_result_and_no_alert() -> None:
    async with bench() as b:
        b.answer(b.send(), score=0.1)
        await b.egress.drain()
        assert not b.sink.alerts
        assert [len(r.detections) for r in b.sink.results] == [0]
        assert not b.attention.alive


@pytest.mark.parametrize("code", [code for code in AnswerCode if code is not AnswerCode.OK])
async def test_every_error_code_has_its_outcome_and_cause(code: AnswerCode) -> None:
    async with bench() as b:
        b.answer(b.send(), code)
        outcome, cause = OUTCOME_OF_CODE[code]
        assert cause is not None
        assert b.ledger.snapshot().causes == {(outcome, cause): 1}
        assert not b.results


async def test_an_answer_to_an_unknown_task_is_counted_and_harmless() -> None:
    async with bench() as b:
        task = b.send()
        b.answer(task)
        b.answer(task)
        assert b.egress.orphans == 1


async def test_a_lost_worker_fails_its_tasks_and_the_next_one_goes_on() -> None:
    async with bench() as b:
        tasks = [b.send(), b.send()]
        b.egress.lost(tasks, "killed")
        assert b.inflight.writer is None
        assert b.ledger.snapshot().outcomes == {Outcome.FAILED: 2}
        b.egress.attached(loopback(2, CARD, KeptEvents()).writer)
        b.answer(b.send())
        assert b.ledger.snapshot().outcomes[Outcome.INFERRED] == 1
        assert [up for up, _ in b.worker] == [True, False, True]


async def test_removing_a_camera_settles_its_tasks_and_ends_its_episode() -> None:
    async with bench() as b:
        b.answer(b.send())
        late = b.send()
        b.egress.remove("cam")
        await b.egress.drain()
        assert [a.type for a in b.sink.alerts] == [AlertType.NEW, AlertType.END]
        assert b.ledger.snapshot().outcomes == {Outcome.INFERRED: 1, Outcome.STOPPED: 1}
        b.answer(late)
        assert b.egress.orphans == 1


async def test_tick_ends_episodes_and_tells_the_pump() -> None:
    async with bench() as b:
        b.answer(b.send())
        b.egress.tick(time.monotonic_ns() + 10_000_000_000)
        await b.egress.drain()
        assert [a.type for a in b.sink.alerts] == [AlertType.NEW, AlertType.END]
        assert not b.attention.alive
        assert b.egress.alerts == 1
