"""Whatever an engine does becomes a code for each task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from pipelines.errors import DeviceLost, EngineError, OutOfMemory
from pipelines.values import F32, U8, AnswerCode
from pipelines.worker.contain import Container, Hang, Input
from pipelines.worker.limit import BatchLimit
from tests.fakes.lane import CARD, ToyEngine

OK, FAILED, BAD = AnswerCode.OK, AnswerCode.ENGINE_FAILED, AnswerCode.BAD_OUTPUT
FAR_NS = 1 << 62


class Spoiling(ToyEngine):
    """Answers what `spoil` makes of the right rows. Each task's first score is its payload's first byte / 100."""

    spoil: Callable[[F32], F32] = staticmethod(lambda rows: rows)

    def infer(self, payloads: Sequence[U8], color: F32) -> F32:
        rows = super().infer(payloads, color)
        rows[:, 0, 4] = [payload[0] / 100 for payload in payloads]
        return self.spoil(rows)


@pytest.fixture
def engine() -> Iterator[Spoiling]:
    made = Spoiling(max_batch=8)
    yield made
    made.close()


def contained(engine: ToyEngine, watchdog_s: float = 10) -> tuple[Container, BatchLimit]:
    limit = BatchLimit(8)
    return Container(engine, watchdog_s, limit), limit


def tasks(count: int, deadline_ns: int = FAR_NS) -> list[Input]:
    color = np.zeros((3, 4), np.float32)
    return [Input(np.full(CARD.payload_bytes, n, np.uint8), color, deadline_ns) for n in range(count)]


async def answered(container: Container, asked: Sequence[Input]) -> list[tuple[AnswerCode, int]]:
    """(code, the task whose rows they are), and the threads are gone."""
    outputs = await container.run(asked)
    container.close()
    return [(o.code, round(float(o.rows[0, 4]) * 100) if len(o.rows) else -1) for o in outputs]


async def test_a_sound_batch(engine: Spoiling) -> None:
    container, _ = contained(engine)
    assert await answered(container, tasks(3)) == [(OK, 0), (OK, 1), (OK, 2)]


@pytest.mark.parametrize("value", [np.nan, np.inf])
async def test_only_the_task_with_impossible_numbers_is_bad(engine: Spoiling, value: float) -> None:
    def spoil(rows: F32) -> F32:
        rows[1, 3, 0] = value
        return rows

    engine.spoil = spoil
    container, _ = contained(engine)
    assert await answered(container, tasks(3)) == [(OK, 0), (BAD, -1), (OK, 2)]


@pytest.mark.parametrize("cut", [np.s_[:, :-1], np.s_[:-1], np.s_[:, :, :5], np.s_[0]])
async def test_another_shape_is_bad_for_all(engine: Spoiling, cut: object) -> None:
    engine.spoil = lambda rows: rows[cut]  # type: ignore[call-overload]
    container, _ = contained(engine)
    assert await answered(container, tasks(2)) == [(BAD, -1), (BAD, -1)]


@pytest.mark.parametrize("error", [OutOfMemory("no room"), MemoryError()])
async def test_what_finds_no_room_is_run_in_halves(engine: Spoiling, error: Exception) -> None:
    def crowded(size: int) -> None:
        if size > 2:
            raise error

    engine.act = crowded
    container, limit = contained(engine)
    assert await answered(container, tasks(7)) == [(OK, n) for n in range(7)]
    assert engine.batches == [2, 2, 2, 1]
    assert (limit.at(0), limit.failures, container.retried) == (1, 3, 0)


async def test_no_room_for_one_task_fails_that_one(engine: Spoiling) -> None:
    def full(size: int) -> None:
        raise OutOfMemory("no room at all")

    engine.act = full
    container, _ = contained(engine)
    assert await answered(container, tasks(2)) == [(FAILED, -1), (FAILED, -1)]


async def test_a_batch_that_fails_is_run_once_more(engine: Spoiling) -> None:
    failures = iter([EngineError("a hiccup")])

    def stumble(size: int) -> None:
        if (error := next(failures, None)) is not None:
            raise error

    engine.act = stumble
    container, _ = contained(engine)
    assert await answered(container, tasks(2)) == [(OK, 0), (OK, 1)]
    assert container.retried == 1


async def test_one_that_fails_twice_has_failed(engine: Spoiling) -> None:
    def fail(size: int) -> None:
        raise EngineError("always")

    engine.act = fail
    container, limit = contained(engine)
    assert await answered(container, tasks(2)) == [(FAILED, -1), (FAILED, -1)]
    assert (container.retried, limit.failures) == (1, 0)


async def test_only_tasks_that_have_the_time_are_run_once_more(engine: Spoiling) -> None:
    failures = iter([EngineError("a hiccup")])

    def stumble(size: int) -> None:
        if (error := next(failures, None)) is not None:
            raise error

    engine.act = stumble
    container, _ = contained(engine)
    past, future = tasks(3, deadline_ns=1), tasks(3)
    assert await answered(container, [past[0], future[1], past[2]]) == [(FAILED, -1), (OK, 1), (FAILED, -1)]
    assert engine.batches == [1]


async def test_a_lost_device_is_not_tried_again(engine: Spoiling) -> None:
    def lose(size: int) -> None:
        raise DeviceLost("gone")

    engine.act = lose
    container, _ = contained(engine)
    with pytest.raises(DeviceLost, match="gone"):
        await container.run(tasks(2))
    assert container.retried == 0
    container.close()


async def test_a_batch_that_hangs_is_given_up(engine: Spoiling) -> None:
    engine.gate.clear()
    container, _ = contained(engine, watchdog_s=0.02)
    with pytest.raises(Hang, match=r"a batch of 2 ran longer than 0\.02 s"):
        await container.run(tasks(2))
    container.close()
