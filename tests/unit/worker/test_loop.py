"""The worker's loop over an in-process lane: every task taken is answered, whatever the engine does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from pipelines.contracts import SlotWriter
from pipelines.errors import DeviceLost, EngineError, ModelError, OutOfMemory
from pipelines.transport.loopback import Loopback, loopback
from pipelines.values import F32, U8, AnswerCode, ColorRange, Priority, SlotHeader
from pipelines.worker.loop import WorkerLoop
from pipelines.worker.options import BatchOptions
from tests.fakes.lane import CARD, KeptEvents, ToyEngine, header


@asynccontextmanager
async def working(engine: ToyEngine, options: BatchOptions) -> AsyncIterator[tuple[WorkerLoop, Loopback, KeptEvents]]:
    events = KeptEvents()
    worker = WorkerLoop(engine, options)
    lane = loopback(8, CARD, events)
    task = asyncio.create_task(worker.run())
    try:
        yield worker, lane, events
    finally:
        engine.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        worker.close()


def publish(writer: SlotWriter, wanted: SlotHeader) -> None:
    slot = writer.loan(Priority.NORMAL)
    assert slot is not None
    assert writer.publish(slot, wanted)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_tasks_are_answered_with_their_rows() -> None:
    async with working(ToyEngine(), BatchOptions(max_batch=4)) as (worker, lane, events):
        for task in range(3):
            publish(lane.writer, header(task, camera=f"cam{task}"))
        worker.collect(lane.reader)
        await until(lambda: len(events.answers) == 3)

        assert sorted(a.task for a in events.answers) == [0, 1, 2]
        assert all(a.code is AnswerCode.OK and a.rows[0, 4] == pytest.approx(0.9) for a in events.answers)
        assert all(0 < a.taken_ns <= a.started_ns <= a.finished_ns for a in events.answers)
        assert worker.statistics().answers == {AnswerCode.OK: 3}


async def test_what_comes_while_the_engine_works_becomes_one_batch() -> None:
    engine = ToyEngine()
    async with working(engine, BatchOptions(max_batch=4)) as (worker, lane, events):
        engine.gate.clear()
        publish(lane.writer, header(0))
        worker.collect(lane.reader)
        await asyncio.sleep(0)
        for task in range(1, 5):
            publish(lane.writer, header(task))
            worker.collect(lane.reader)
        assert worker.in_hand == 5
        engine.gate.set()
        await until(lambda: len(events.answers) == 5)
        assert engine.batches == [1, 4]
        assert worker.in_hand == 0


async def test_a_task_past_its_deadline_is_refused_unrun() -> None:
    engine = ToyEngine()
    async with working(engine, BatchOptions()) as (worker, lane, events):
        publish(lane.writer, header(0, deadline_ns=time.monotonic_ns() - 1))
        worker.collect(lane.reader)
        await until(lambda: len(events.answers) == 1)
        assert events.answers[0].code is AnswerCode.LATE
        assert engine.batches == []


@pytest.mark.parametrize(
    "broken",
    [
        replace(header(0), payload_bytes=CARD.payload_bytes - 2),
        replace(header(0), fit=replace(header(0).fit, input_w=64)),
        replace(header(0), color_range=ColorRange.UNSPECIFIED),
    ],
)
async def test_a_task_that_does_not_fit_the_model_is_bad_input(broken: SlotHeader) -> None:
    async with working(ToyEngine(), BatchOptions()) as (worker, lane, events):
        publish(lane.writer, broken)
        worker.collect(lane.reader)
        assert [a.code for a in events.answers] == [AnswerCode.BAD_INPUT]


async def test_one_failed_batch_does_not_end_the_worker() -> None:
    engine = ToyEngine()

    def fail(size: int) -> None:
        raise EngineError("boom")

    async with working(engine, BatchOptions()) as (worker, lane, events):
        engine.act = fail
        publish(lane.writer, header(0))
        worker.collect(lane.reader)
        await until(lambda: len(events.answers) == 1)
        engine.act = lambda size: None
        publish(lane.writer, header(1))
        worker.collect(lane.reader)
        await until(lambda: len(events.answers) == 2)
        assert [a.code for a in events.answers] == [AnswerCode.ENGINE_FAILED, AnswerCode.OK]


async def test_a_hanging_batch_is_answered_and_ends_the_worker() -> None:
    engine = ToyEngine()
    events = KeptEvents()
    worker = WorkerLoop(engine, BatchOptions(watchdog_s=0.05))
    lane = loopback(8, CARD, events)
    engine.gate.clear()
    publish(lane.writer, header(0))
    worker.collect(lane.reader)
    with pytest.raises(DeviceLost, match=r"longer than 0\.05 s"):
        await worker.run()
    assert [a.code for a in events.answers] == [AnswerCode.WATCHDOG]
    engine.gate.set()
    worker.close()


async def test_warm_measures_the_batch_range() -> None:
    worker = WorkerLoop(ToyEngine(max_batch=6), BatchOptions(max_batch=8))
    worker.warm()
    assert set(worker.statistics().profile_ns) == {1, 2, 4, 6}
    worker.close()


async def test_a_model_of_known_times_is_warmed_by_one_run_of_each_size() -> None:
    engine = ToyEngine()
    worker = WorkerLoop(engine, BatchOptions(max_batch=4))
    worker.warm({1: 1e6, 2: 2e6, 4: 4e6})
    assert engine.batches == [1, 2, 4]
    assert worker.usual_ns == pytest.approx({1: 1e6, 2: 2e6, 4: 4e6})
    worker.close()


async def test_warm_finds_the_batch_for_which_there_is_room() -> None:
    engine = ToyEngine(max_batch=8)

    def crowded(size: int) -> None:
        if size > 3:
            raise OutOfMemory("no room")

    engine.act = crowded
    async with working(engine, BatchOptions(max_batch=8)) as (worker, lane, events):
        worker.warm()
        assert set(worker.statistics().profile_ns) == {1, 2}
        for task in range(5):
            publish(lane.writer, header(task))
        worker.collect(lane.reader)
        await until(lambda: len(events.answers) == 5)
        assert max(engine.batches) == 2
        assert worker.statistics().no_room == 1


async def test_no_room_for_one_picture_is_an_error_of_the_model() -> None:
    engine = ToyEngine()

    def full(size: int) -> None:
        raise OutOfMemory("no room")

    engine.act = full
    worker = WorkerLoop(engine, BatchOptions())
    with pytest.raises(ModelError, match="no memory even for a batch of 1"):
        worker.warm()
    worker.close()


async def test_bad_output_is_told_by_its_own_code_and_nobody_else_suffers() -> None:
    engine = ToyEngine()
    infer = engine.infer

    def spoiled(payloads: Sequence[U8], color: F32) -> F32:
        rows = infer(payloads, color)
        rows[0, 0, 4] = np.nan
        return rows

    engine.infer = spoiled  # type: ignore[method-assign]
    async with working(engine, BatchOptions(max_batch=4)) as (worker, lane, events):
        publish(lane.writer, header(0))
        worker.collect(lane.reader)
        await until(lambda: len(events.answers) == 1)
        assert events.answers[0].code is AnswerCode.BAD_OUTPUT
        assert events.answers[0].rows.shape == (0, 6)
        assert worker.statistics().answers == {AnswerCode.BAD_OUTPUT: 1}
        engine.infer = infer  # type: ignore[method-assign]
        publish(lane.writer, header(1))
        worker.collect(lane.reader)
        await until(lambda: len(events.answers) == 2)
        assert events.answers[1].code is AnswerCode.OK
