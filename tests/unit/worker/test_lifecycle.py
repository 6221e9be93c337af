"""A model takes another's place under load: every task taken is answered by the model it was sent for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from pipelines.contracts import Engine
from pipelines.errors import DeviceLost, EngineError, LaneError, ModelError
from pipelines.transport.loopback import Loopback, loopback
from pipelines.transport.reader import LaneReader
from pipelines.values import F32, AnswerCode, ModelCard, Priority
from pipelines.worker.health import STRIKES
from pipelines.worker.lifecycle import Lifecycle
from pipelines.worker.lifecycle_terms import Candidate
from pipelines.worker.options import BatchOptions
from tests.fakes.lane import CARD, KeptEvents, ToyEngine, header, one_box

NEWER = replace(CARD, sha256="newer")
WIDER = replace(CARD, name="wider", input_w=64)
FIRST = Candidate("first", "/first.onnx", "1")


class Marked(ToyEngine):
    """Writes its mark into the score of every answer."""

    def __init__(self, mark: float, card: ModelCard = CARD) -> None:
        super().__init__(card)
        self.mark = mark
        self.closed = False

    def infer(self, payloads: object, color: F32) -> F32:
        super().infer([np.zeros(0, np.uint8)] * len(color), color)
        return np.stack([one_box(self.mark, card=self.card)] * len(color))

    def close(self) -> None:
        assert not self.closed, "freed once"
        self.closed = True


class Shelf:
    """A CandidateSource of engines that the test made, by reference."""

    def __init__(self, **engines: Engine) -> None:
        self.engines = engines
        self.sha256: dict[str, str] = {}

    async def check(self, reference: str) -> Candidate:
        name = reference.strip("/").removesuffix(".onnx")
        if name not in self.engines:
            raise ModelError("no such model")
        return Candidate(reference, f"/{name}.onnx", self.sha256.get(name, name))

    def open(self, candidate: Candidate) -> Engine:
        return self.engines[candidate.path.strip("/").removesuffix(".onnx")]


class Stage:
    """A lifecycle with lanes of its own; `told` are the cards that were announced."""

    def __init__(self, first: Engine, shelf: Shelf) -> None:
        self.lanes: list[LaneReader] = []
        self.told: list[ModelCard] = []
        self.cannot_travel = False
        options = BatchOptions(max_batch=4, max_wait_ms=0)
        self.models = Lifecycle(FIRST, first, options, shelf, lambda: self.lanes, self._announce, drain_s=0.05)

    def lane(self, card: ModelCard, slots: int = 8) -> tuple[Loopback, KeptEvents]:
        events = KeptEvents()
        lane = loopback(slots, card, events)
        self.lanes.append(lane.reader)
        return lane, events

    def send(self, lane: Loopback, task: int, card: ModelCard = CARD) -> None:
        slot = lane.writer.loan(Priority.NORMAL)
        assert slot is not None
        assert lane.writer.publish(slot, header(task, card=card))
        self.models.collect(lane.reader)

    def leave(self, lane: Loopback) -> None:
        self.lanes.remove(lane.reader)

    def _announce(self, card: ModelCard) -> None:
        if self.cannot_travel:
            raise LaneError("the name is too long")
        self.told.append(card)


@asynccontextmanager
async def staged(engine: Engine, /, **engines: Engine) -> AsyncIterator[tuple[Stage, Shelf]]:
    shelf = Shelf(**engines)
    stage = Stage(engine, shelf)
    running = asyncio.create_task(stage.models.run())
    await asyncio.sleep(0)
    try:
        yield stage, shelf
    finally:
        running.cancel()
        await asyncio.wait({running})
        stage.models.close()


async def answers(events: KeptEvents, count: int) -> list[tuple[int, AnswerCode, float]]:
    """(task, code, mark of the model), once there are so many."""
    async with asyncio.timeout(5):
        while len(events.answers) < count:
            await asyncio.sleep(0)
    return [(a.task, a.code, float(a.rows[0, 4].round(3)) if a.code is AnswerCode.OK else 0.0) for a in events.answers]


def is_open(engine: Marked) -> bool:
    return not engine.closed


async def test_a_lane_goes_on_under_a_newer_model_of_the_same_kind() -> None:
    old = Marked(0.25)
    async with staged(old, newer=Marked(0.5, NEWER)) as (stage, _):
        lane, events = stage.lane(CARD)
        stage.send(lane, 1)
        await answers(events, 1)
        swap = await stage.models.load("newer")
        stage.send(lane, 2)
        assert await answers(events, 2) == [(1, AnswerCode.OK, 0.25), (2, AnswerCode.OK, 0.5)]
        assert not swap.reattached
        assert stage.told == []
        assert old.closed
        assert stage.models.card.sha256 == "newer"


async def test_what_the_old_model_has_taken_it_answers_and_nothing_waits_for_it() -> None:
    old = Marked(0.25)
    async with staged(old, newer=Marked(0.5, NEWER)) as (stage, _):
        lane, events = stage.lane(CARD)
        old.gate.clear()
        stage.send(lane, 1)
        async with asyncio.timeout(5):
            while stage.models.loop_statistics().waiting:
                await asyncio.sleep(0)  # until its batch is running
        stage.send(lane, 2)
        loading = asyncio.create_task(stage.models.load("newer"))
        async with asyncio.timeout(5):
            while stage.models.card.sha256 != "newer":
                await asyncio.sleep(0)
        stage.send(lane, 3)
        assert await answers(events, 1) == [(3, AnswerCode.OK, 0.5)], "the new one answers while the old one hangs"
        assert is_open(old)
        old.gate.set()
        swap = await loading
        assert await answers(events, 3) == [
            (3, AnswerCode.OK, 0.5),
            (1, AnswerCode.OK, 0.25),
            (2, AnswerCode.OK, 0.25),
        ]
        assert old.closed
        assert swap.drained_ns > 0


async def test_another_kind_of_model_gets_new_lanes_and_the_old_lanes_their_old_model() -> None:
    old = Marked(0.25)
    async with staged(old, wider=Marked(0.5, WIDER)) as (stage, _):
        lane, events = stage.lane(CARD)
        swap = await stage.models.load("wider")  # nobody leaves: it does not wait for ever
        assert swap.reattached
        assert swap.drained_ns == 0
        assert stage.told == [WIDER]
        fresh, fresh_events = stage.lane(WIDER)
        stage.send(lane, 1)
        stage.send(fresh, 2, WIDER)
        assert await answers(events, 1) == [(1, AnswerCode.OK, 0.25)]
        assert await answers(fresh_events, 1) == [(2, AnswerCode.OK, 0.5)]
        with pytest.raises(ModelError, match="still has lanes"):
            await stage.models.load("wider")

        stage.leave(lane)
        async with asyncio.timeout(5):
            while not old.closed:
                await asyncio.sleep(0.001)
        stage.send(lane, 3)
        assert (await answers(events, 2))[1:] == [(3, AnswerCode.BAD_INPUT, 0.0)], (
            "its model is gone: refused, not lost"
        )


async def test_a_refused_candidate_changes_nothing() -> None:
    sick = Marked(0.5, NEWER)

    def fail(size: int) -> None:
        raise EngineError("out of memory")

    sick.act = fail
    async with staged(Marked(0.25), sick=sick, wider=Marked(0.5, WIDER)) as (stage, _):
        lane, events = stage.lane(CARD)
        with pytest.raises(ModelError, match="missing: no such model"):
            await stage.models.load("missing")
        with pytest.raises(ModelError, match="sick: out of memory"):
            await stage.models.load("sick")
        stage.cannot_travel = True
        with pytest.raises(ModelError, match="the name is too long"):
            await stage.models.load("wider")
        assert sick.closed, "freed"
        stage.send(lane, 1)
        assert await answers(events, 1) == [(1, AnswerCode.OK, 0.25)]
        assert (stage.models.model, stage.models.before) == (FIRST, None)
        statistics = stage.models.statistics()
        assert (statistics.loads, statistics.refused, statistics.retiring) == (0, 3, 0)
        assert "too long" in statistics.last_error


async def test_a_candidate_that_loses_the_device_ends_the_process() -> None:
    sick = Marked(0.5)

    def lose(size: int) -> None:
        raise DeviceLost("fell off the bus")

    sick.act = lose
    stage = Stage(Marked(0.25), Shelf(sick=sick))
    running = asyncio.create_task(stage.models.run())
    await asyncio.sleep(0)
    with pytest.raises(ModelError, match="fell off the bus"):
        await stage.models.load("sick")
    with pytest.raises(ExceptionGroup) as lost:
        await running
    assert lost.group_contains(DeviceLost)
    stage.models.close()


async def test_rollback_goes_back_to_the_very_file() -> None:
    async with staged(Marked(0.25), second=Marked(0.5), first=Marked(0.75)) as (stage, shelf):
        with pytest.raises(ModelError, match="nothing to go back to"):
            await stage.models.rollback()
        await stage.models.load("second")
        shelf.sha256["first"] = "1"
        assert (await stage.models.rollback()).model == Candidate("/first.onnx", "/first.onnx", "1")
        assert stage.models.before == Candidate("second", "/second.onnx", "second")
        shelf.sha256["second"] = "changed"
        with pytest.raises(ModelError, match="no longer the file that served"):
            await stage.models.rollback()


async def test_reload_asks_again_for_what_was_asked_for() -> None:
    async with staged(Marked(0.25), first=Marked(0.5), again=Marked(0.75)) as (stage, shelf):
        await stage.models.load("first")
        shelf.engines["first"] = shelf.engines["again"]
        assert (await stage.models.reload()).model.reference == "first"
        lane, events = stage.lane(CARD)
        stage.send(lane, 1)
        assert await answers(events, 1) == [(1, AnswerCode.OK, 0.75)]


async def test_attached_lanes_are_pinned_for_the_model_that_serves() -> None:
    """Of the old one while it may still run, of the new one as soon as it serves, and of nobody when they end."""
    old, new = Marked(0.25), Marked(0.5, NEWER)
    async with staged(old, newer=new) as (stage, _):
        lane, events = stage.lane(CARD)
        stage.models.lanes_changed()
        await until(lambda: len(old.pinned) == 1)
        assert np.shares_memory(old.pinned[0], np.asarray(lane.reader.region))
        await stage.models.load("newer")
        await until(lambda: len(new.pinned) == 2)  # at the swap, and again when the old one has let go
        stage.send(lane, 1)
        assert await answers(events, 1) == [(1, AnswerCode.OK, 0.5)]
        stage.leave(lane)
        stage.models.lanes_changed()
        await until(lambda: new.pinned == [])


async def test_a_first_model_that_does_not_run_is_an_error_of_the_model() -> None:
    sick = Marked(0.25)

    def fail(size: int) -> None:
        raise EngineError("no kernel for it")

    sick.act = fail
    stage = Stage(sick, Shelf())
    with pytest.raises(ModelError, match="first does not run: no kernel"):
        stage.models.warm()
    stage.models.close()


async def test_a_model_that_answers_nothing_well_is_said_to_be_bad() -> None:
    sick = Marked(0.25)

    def fail(size: int) -> None:
        raise EngineError("boom")

    sick.act = fail
    async with staged(sick) as (stage, _):
        told: list[bool] = []
        stage.models._on_bad = lambda: told.append(True)
        lane, events = stage.lane(CARD)
        for task in range(STRIKES + 1):
            stage.send(lane, task)
            await answers(events, task + 1)
        assert told == [True]
        assert stage.models.statistics().bad


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)
