"""Two batches in flight: with an engine that takes two, over the fake device, in its virtual time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from pipelines.contracts import Engine, SlotWriter
from pipelines.errors import DeviceLost
from pipelines.model.fold import fold
from pipelines.model.options import FoldOptions
from pipelines.transport.loopback import Loopback, loopback
from pipelines.values import F32, AnswerCode, ModelCard, Priority
from pipelines.worker.engines.device import Buffers
from pipelines.worker.engines.device_engine import DeviceEngine, RunOptions
from pipelines.worker.engines.device_fake import FakeDevice
from pipelines.worker.engines.device_fake_program import FakeProgram
from pipelines.worker.loop import WorkerLoop
from pipelines.worker.options import BatchOptions
from tests.fakes.detector import save_detector
from tests.fakes.lane import CARD, KeptEvents, ToyEngine, header

BATCH, BATCHES = 4, 20


class Paired(ToyEngine):
    """Takes two batches at once; `gates` holds the nth batch (from 0) until it is set."""

    def __init__(self) -> None:
        super().__init__(max_batch=BATCH)
        self.gates: dict[int, threading.Event] = {}
        self.entered = 0
        self.failing: dict[int, Exception] = {}
        self._lock = threading.Lock()

    @property
    def parallel(self) -> int:
        return 2

    def infer(self, payloads: object, color: F32) -> F32:
        with self._lock:
            number, self.entered = self.entered, self.entered + 1
        gate = self.gates.get(number)
        assert gate is None or gate.wait(5)
        if number in self.failing:
            raise self.failing[number]
        return super().infer([np.zeros(0, np.uint8)] * len(color), color)


@asynccontextmanager
async def working(
    engine: Engine, card: ModelCard, slots: int = 80
) -> AsyncIterator[tuple[WorkerLoop, Loopback, KeptEvents, asyncio.Task[None]]]:
    """A loop that takes all batches to last 10 ms, so that only full ones are worth no company."""
    events = KeptEvents()
    worker = WorkerLoop(engine, BatchOptions(max_batch=BATCH, max_wait_ms=0))
    for _ in range(130):
        for size in (1, 2, 4):
            worker._profile.record(size, 10_000_000)
    lane = loopback(slots, card, events)
    task = asyncio.create_task(worker.run())
    await asyncio.sleep(0)
    try:
        yield worker, lane, events, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        worker.close()


def send(writer: SlotWriter, tasks: range, card: ModelCard = CARD) -> None:
    for task in tasks:
        slot = writer.loan(Priority.NORMAL)
        assert slot is not None
        slot.payload[:] = task
        assert writer.publish(slot, header(task, camera=f"cam{task}", deadline_ns=(1 << 62) + task, card=card))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_full_batch_follows_while_one_runs_and_a_third_waits() -> None:
    engine = Paired()
    engine.gates = {0: threading.Event(), 1: threading.Event()}
    async with working(engine, CARD) as (worker, lane, events, _):
        send(lane.writer, range(12))
        worker.collect(lane.reader)
        await until(lambda: engine.entered == 2)
        assert worker.statistics().waiting == 4
        assert worker.in_hand == 12
        engine.gates[0].set()
        await until(lambda: engine.entered == 3)
        engine.gates[1].set()
        await until(lambda: len(events.answers) == 12)
        assert worker.statistics().batches == {4: 3}
        assert worker.statistics().overlapped == 2
        assert not worker.holds(lane.reader)


async def test_a_batch_that_company_would_make_cheaper_waits_for_the_engine() -> None:
    engine = Paired()
    engine.gates = {0: threading.Event()}
    async with working(engine, CARD) as (worker, lane, events, _):
        send(lane.writer, range(5))
        worker.collect(lane.reader)
        await until(lambda: engine.entered == 1)
        send(lane.writer, range(5, 6))
        worker.collect(lane.reader)
        engine.gates[0].set()
        await until(lambda: len(events.answers) == 6)
        assert engine.batches == [4, 2]
        assert worker.statistics().overlapped == 0


async def test_answers_come_in_the_order_of_the_batches() -> None:
    """The second one ends first, and waits for the first one's answers: episodes must not see frames swapped."""
    engine = Paired()
    engine.gates = {0: threading.Event()}
    async with working(engine, CARD) as (worker, lane, events, _):
        send(lane.writer, range(8))
        worker.collect(lane.reader)
        await until(lambda: len(engine.batches) == 1)  # the second
        assert events.answers == []
        engine.gates[0].set()
        await until(lambda: len(events.answers) == 8)
        assert [answer.task for answer in events.answers] == list(range(8))


async def test_a_device_lost_under_one_ends_both() -> None:
    engine = Paired()
    engine.gates = {1: threading.Event()}
    engine.failing = {0: DeviceLost("gone")}
    async with working(engine, CARD) as (worker, lane, events, task):
        send(lane.writer, range(8))
        worker.collect(lane.reader)
        with pytest.raises(DeviceLost, match="gone"):
            await task
        assert [answer.code for answer in events.answers] == [AnswerCode.ENGINE_FAILED] * 4
        assert worker.in_hand == 4, "the others are with the peer still, who sees the process end"
        engine.gates[1].set()


# --- over the fake device --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    target = folder / "folded.onnx"
    fold(save_detector(folder / "own.onnx", (64, 64)), target, FoldOptions(top_k=4))
    return target


class Chained(FakeProgram):
    """From `chain` on a batch computes only when the next one has been copied, so that the order of events is fixed."""

    def chain(self, batches: int) -> None:
        self._left, self._entered, self._changed = batches, 0, threading.Condition()

    def run(self, buffers: Buffers, batch: int) -> None:
        if hasattr(self, "_left"):
            with self._changed:
                number, self._entered = self._entered, self._entered + 1
                self._changed.notify_all()
                wanted = min(self._left, number + 2)
                assert self._changed.wait_for(lambda: self._entered >= wanted, 5), "nothing followed"
        super().run(buffers, batch)


@pytest.mark.parametrize("contexts", [1, 2])
async def test_copies_of_one_batch_hide_behind_the_work_of_another(model: Path, contexts: int) -> None:
    """Full batches, 1 ms of copies and 2.5 ms of work each: with two in flight only the first copies show."""
    device = FakeDevice()
    program = Chained(model, device)
    device._copy_gb_s = BATCH * program.card.payload_bytes / 1e6  # 1 ms for a batch
    engine = DeviceEngine(program, device, program.card, RunOptions(BATCH, contexts))
    assert engine.parallel == contexts
    tasks, started_ms = BATCHES * BATCH, device.now_ms
    async with working(engine, program.card) as (worker, lane, events, _):
        assert engine.pin(np.asarray(lane.reader.region))
        if contexts == 2:
            program.chain(BATCHES)
        send(lane.writer, range(tasks), program.card)
        worker.collect(lane.reader)
        await until(lambda: len(events.answers) == tasks)
        assert [(a.task, a.code) for a in events.answers] == [(n, AnswerCode.OK) for n in range(tasks)]
        seen = engine.statistics()
    work_ms, copies_ms = BATCHES * 2.5, BATCHES * 1.0
    shown_ms = device.now_ms - started_ms - work_ms
    assert seen.staged == 0
    assert seen.tasks == tasks
    if contexts == 2:
        assert shown_ms < 0.2 * copies_ms, "at least 80 % hidden"
    else:
        assert shown_ms >= copies_ms
    engine.close()
    assert device.allocations == 0
