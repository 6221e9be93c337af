"""The contract of a lane, the same for every carrier."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.contracts import Slot, Taken
from pipelines.errors import LaneError
from pipelines.transport.options import LaneOptions
from pipelines.values import F32, AnswerCode, Priority
from tests.contracts.lane import Lane, LoopbackLane, ShmLane, until
from tests.contracts.lane_rdma import RdmaLane
from tests.unit.transport.values import CARD, header

Make = Callable[[LaneOptions], Awaitable[Lane]]
NORMAL = Priority.NORMAL
VERBS = ("loan", "publish", "discard", "take", "answer", "turn", "lose")
WEIGHTS = (5, 4, 1, 4, 4, 3, 0.02)


def options(slots: int, checksum: bool = False, reserved_high: int = 0, reserved_normal: int = 0) -> LaneOptions:
    return LaneOptions(slots=slots, checksum=checksum, reserved_high=reserved_high, reserved_normal=reserved_normal)


@pytest.fixture(params=["loopback", "shm", "rdma"])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    lanes: list[Lane] = []

    async def make(options: LaneOptions) -> Lane:
        lane: Lane
        match request.param:
            case "loopback":
                lane = LoopbackLane(options)
            case "shm":
                lane = ShmLane(options, tmp_path)
            case _:
                lane = RdmaLane(options)
        await lane.start()
        lanes.append(lane)
        return lane

    yield make
    for lane in lanes:
        await lane.stop()


def loan(lane: Lane, priority: Priority = NORMAL) -> Slot:
    slot = lane.writer.loan(priority)
    assert slot is not None
    return slot


def send(lane: Lane, task: int, fill: int = 0) -> Slot:
    """Loan, write, publish."""
    slot = loan(lane)
    slot.payload[:] = fill or task % 251
    assert lane.writer.publish(slot, header(task))
    return slot


async def take(lane: Lane) -> Taken:
    taken: list[Taken] = []

    def got() -> bool:
        if (one := lane.reader.take()) is not None:
            taken.append(one)
        return bool(taken)

    await until(got)
    return taken[0]


def rows(value: float, count: int = 2) -> F32:
    return np.full((count, 6), value, np.float32)


def reply(lane: Lane, taken: Taken, value: float = 1.0, code: AnswerCode = AnswerCode.OK) -> None:
    lane.reader.answer(taken, code, rows(value), 5, 6)


async def test_a_task_goes_there_and_its_answer_comes_back(make: Make) -> None:
    lane = await make(options(4))
    before_ns = time.monotonic_ns()
    sent = dataclasses.replace(header(77), priority=Priority.HIGH, shape=(12, 16), flags=1)
    slot = loan(lane)
    assert slot.payload.shape == (CARD.payload_bytes,)
    slot.payload[:] = np.arange(CARD.payload_bytes) % 256
    assert lane.writer.publish(slot, sent)

    taken = await take(lane)
    assert taken.header == sent
    assert taken.payload.tolist() == (np.arange(CARD.payload_bytes) % 256).tolist()
    assert before_ns <= taken.taken_ns <= time.monotonic_ns()
    lane.reader.answer(taken, AnswerCode.OK, rows(0.5, count=3), 11, 12)

    await until(lambda: lane.events.answers)
    [answer] = lane.events.answers
    assert (answer.task, answer.code, answer.taken_ns) == (77, AnswerCode.OK, taken.taken_ns)
    assert (answer.started_ns, answer.finished_ns) == (11, 12)
    assert answer.rows.tolist() == rows(0.5, count=3).tolist()
    assert lane.writer.statistics().free == 4
    assert lane.writer.card == lane.reader.card == CARD


@pytest.mark.parametrize("code", list(AnswerCode))
async def test_every_code_travels_with_or_without_rows(make: Make, code: AnswerCode) -> None:
    lane = await make(options(1))
    send(lane, 1)
    lane.reader.answer(await take(lane), code, rows(0.0, count=0), 0, 0)
    await until(lambda: lane.events.answers)
    assert lane.events.answers[0].code is code
    assert lane.events.answers[0].rows.shape == (0, 6)


async def test_a_short_payload_is_as_long_as_its_header_says(make: Make) -> None:
    lane = await make(options(1))
    slot = loan(lane)
    slot.payload[:5] = 9
    assert lane.writer.publish(slot, header(1, size=5))
    assert (await take(lane)).payload.tolist() == [9] * 5


async def test_the_worker_cannot_write_a_payload(make: Make) -> None:
    lane = await make(options(1))
    send(lane, 1)
    taken = await take(lane)
    with pytest.raises(ValueError, match="read-only"):
        taken.payload[0] = 1


async def test_a_stalled_reader_costs_slots_and_nothing_else(make: Make) -> None:
    lane = await make(options(3))
    for task in range(3):
        send(lane, task)
    assert [lane.writer.loan(p) for p in (NORMAL, Priority.HIGH, Priority.LOW)] == [None] * 3
    assert lane.writer.statistics().refused_full == 3

    reply(lane, await take(lane))
    await until(lambda: lane.events.answers)
    send(lane, 3)
    assert lane.writer.statistics().peak_used == 3


async def test_low_priorities_leave_the_reserved_slots(make: Make) -> None:
    lane = await make(options(4, reserved_high=1, reserved_normal=1))
    loan(lane, Priority.LOW)
    loan(lane, Priority.LOW)
    assert lane.writer.loan(Priority.LOW) is None
    loan(lane, Priority.NORMAL)
    assert lane.writer.loan(Priority.NORMAL) is None
    loan(lane, Priority.HIGH)
    assert lane.writer.loan(Priority.HIGH) is None


async def test_a_discarded_slot_is_never_seen(make: Make) -> None:
    lane = await make(options(1))
    for _ in range(3):
        lane.writer.discard(loan(lane))
    send(lane, 9)
    assert (await take(lane)).header.task == 9
    assert lane.writer.statistics().discarded == 3
    assert lane.reader.take() is None


async def test_answers_may_come_in_any_order(make: Make) -> None:
    lane = await make(options(4))
    for task in range(4):
        send(lane, task)
    taken = [await take(lane) for _ in range(4)]
    assert [one.header.task for one in taken] == [0, 1, 2, 3]
    for position in (2, 0, 3, 1):
        reply(lane, taken[position], value=position)
    await until(lambda: len(lane.events.answers) == 4)
    assert [(a.task, a.rows[0, 0]) for a in lane.events.answers] == [(2, 2.0), (0, 0.0), (3, 3.0), (1, 1.0)]


async def test_a_second_answer_is_refused_at_both_ends(make: Make) -> None:
    """By the reader, which knows what it holds; and by the writer's generations, should a reader go wrong."""
    lane = await make(options(1))
    send(lane, 1)
    first = await take(lane)
    reply(lane, first)
    reply(lane, first, value=2.0)
    assert lane.reader.statistics().refused_answers == 1
    lane.announce(first)
    await until(lambda: lane.writer.statistics().stale_answers)
    send(lane, 2)
    lane.announce(first)
    await until(lambda: lane.writer.statistics().stale_answers == 2)
    reply(lane, await take(lane), value=3.0)
    await until(lambda: len(lane.events.answers) == 2)
    assert [(a.task, a.rows[0, 0]) for a in lane.events.answers] == [(1, 1.0), (2, 3.0)]


async def test_a_damaged_payload_is_answered_and_the_next_one_taken(make: Make) -> None:
    lane = await make(options(2, checksum=True))
    damaged = send(lane, 1)
    lane.corrupt(damaged)
    send(lane, 2)
    taken = await take(lane)
    assert taken.header.task == 2
    await until(lambda: lane.events.answers)
    assert (lane.events.answers[0].task, lane.events.answers[0].code) == (1, AnswerCode.CHECKSUM)
    assert lane.reader.statistics().checksum_failures == 1


async def test_a_header_that_cannot_be_packed_leaves_the_slot_with_the_caller(make: Make) -> None:
    lane = await make(options(1))
    slot = loan(lane)
    with pytest.raises(LaneError, match="camera name"):
        lane.writer.publish(slot, header(1, camera="x" * 49))
    with pytest.raises(LaneError, match="193 bytes do not fit a slot of 192"):
        lane.writer.publish(slot, header(1, size=193))
    lane.writer.discard(slot)
    send(lane, 2)


async def test_a_slot_is_published_once(make: Make) -> None:
    lane = await make(options(2))
    slot = send(lane, 1)
    with pytest.raises(LaneError, match="is not loaned"):
        lane.writer.publish(slot, header(2))
    with pytest.raises(LaneError, match="is not loaned"):
        lane.writer.discard(slot)
    assert (await take(lane)).header.task == 1


async def test_too_many_rows_are_a_bug_of_the_engine(make: Make) -> None:
    lane = await make(options(1))
    send(lane, 1)
    taken = await take(lane)
    with pytest.raises(LaneError, match="holds up to 4 rows"):
        lane.reader.answer(taken, AnswerCode.OK, rows(1.0, count=5), 0, 0)
    reply(lane, taken)
    await until(lambda: lane.events.answers)


async def test_a_loss_names_every_unanswered_task_once(make: Make) -> None:
    lane = await make(options(5))
    for task in range(4):
        send(lane, task)
    held = loan(lane)
    reply(lane, await take(lane))
    await until(lambda: lane.events.answers)
    in_hand = await take(lane)
    writer, reader = lane.writer, lane.reader

    await lane.lose()

    assert len(lane.events.losses) == 1
    assert sorted(lane.events.tasks_lost) == [1, 2, 3]
    assert writer.loan(Priority.HIGH) is None
    held.payload[:] = 1
    assert writer.publish(held, header(9)) is False, "and the slot is given back"
    figures = writer.statistics()
    assert (figures.free, figures.imbalance, figures.lost, figures.answered) == (5, 0, 3, 1)

    assert reader.end_reason
    assert reader.take() is None
    assert in_hand.payload.tolist() == [1] * CARD.payload_bytes, "readable until the worker lets go"
    reader.answer(in_hand, AnswerCode.OK, rows(1.0), 0, 0)
    assert reader.statistics().refused_answers == 1
    assert reader.statistics().dropped in (2, 3), "announced ones; a bell may have been lost with the lane"
    assert lane.events.tasks_answered == [0]


async def test_a_new_attach_is_a_new_epoch(make: Make) -> None:
    lane = await make(options(1))
    old_writer, old_reader = lane.writer, lane.reader
    send(lane, 1, fill=1)
    old_taken = await take(lane)
    await lane.lose()
    await lane.attach_again()
    assert lane.writer.epoch > old_writer.epoch
    assert lane.writer.epoch == lane.reader.epoch

    send(lane, 2, fill=2)
    taken = await take(lane)
    old_reader.answer(old_taken, AnswerCode.OK, rows(6.0), 0, 0)
    assert old_taken.payload[0] == 1, "the old epoch's memory is its own"
    reply(lane, taken, value=2.0)
    await until(lambda: lane.events.answers)
    assert [(a.task, a.rows[0, 0]) for a in lane.events.answers] == [(2, 2.0)]
    assert old_writer.statistics().imbalance == lane.writer.statistics().imbalance == 0


@pytest.mark.parametrize("seed", range(3))
async def test_every_task_settles_once_whatever_happens(make: Make, seed: int) -> None:
    """Thousands of random verbs, losses among them: the laws hold after each."""
    lane, rng = await make(options(6, reserved_high=1, reserved_normal=1)), random.Random(seed)
    loaned: list[Slot] = []
    in_hand: list[Taken] = []
    published: list[int] = []
    for step in range(3000):
        verb = rng.choices(VERBS, WEIGHTS)[0]
        if verb == "loan" and (slot := lane.writer.loan(rng.choice(list(Priority)))) is not None:
            loaned.append(slot)
        elif verb == "publish" and loaned:
            slot = loaned.pop(rng.randrange(len(loaned)))
            slot.payload[:] = step % 251
            assert lane.writer.publish(slot, header(step, size=step % 193))
            published.append(step)
        elif verb == "discard" and loaned:
            lane.writer.discard(loaned.pop(rng.randrange(len(loaned))))
        elif verb == "take" and (taken := lane.reader.take()) is not None:
            task = taken.header.task
            assert taken.header == header(task, size=task % 193)
            assert (taken.payload == task % 251).all()
            in_hand.append(taken)
        elif verb == "answer" and in_hand:
            taken = in_hand.pop(rng.randrange(len(in_hand)))
            reply(lane, taken, value=taken.header.task)
        elif verb == "turn":
            await asyncio.sleep(0)
        elif verb == "lose":
            writer = lane.writer
            await lane.lose()
            for slot in loaned:
                writer.discard(slot)
            assert writer.statistics().free == 6
            loaned, in_hand = [], []
            await lane.attach_again()
        figures = lane.writer.statistics()
        assert figures.imbalance == 0
        assert figures.loaned_now == len(loaned)
    await lane.lose()
    assert sorted(lane.events.tasks_answered + lane.events.tasks_lost) == published
    assert all(answer.rows[0, 0] == answer.task for answer in lane.events.answers)
    assert len(lane.events.answers) > 100, "or the walk proves little"


async def test_pumps_in_threads_share_one_writer(make: Make) -> None:
    """Eight threads and the loop; no task is lost, doubled or mixed up."""
    lane, each = await make(options(8)), 100

    def pump(number: int) -> None:
        sent = 0
        while sent < each:
            slot = lane.writer.loan(NORMAL)
            if slot is None:
                time.sleep(0)  # the loop needs the interpreter
                continue
            slot.payload[:] = number
            if sent % 7 == 3 and slot.generation % 2:
                lane.writer.discard(slot)
            elif lane.writer.publish(slot, header(number * 1000 + sent)):
                sent += 1

    threads = [threading.Thread(target=pump, args=(number,), name=f"pump[{number}]") for number in range(8)]
    for thread in threads:
        thread.start()

    def serve() -> bool:
        while (taken := lane.reader.take()) is not None:
            assert (taken.payload == taken.header.task // 1000).all()
            reply(lane, taken, value=taken.header.task)
        return len(lane.events.answers) == 8 * each

    await until(serve)
    for thread in threads:
        thread.join()
    assert sorted(lane.events.tasks_answered) == sorted(n * 1000 + i for n in range(8) for i in range(each))
    figures = lane.writer.statistics()
    assert (figures.imbalance, figures.free, figures.stale_answers) == (0, 8, 0)
