"""The contract of a lane over gRPC: what applies of the common suite, by name, and what is its own.

Not applicable, as a message is not a slot: headers and payloads of other sizes than the model's, empty answers (a
tensor has its shape), announcements without an answer, checksums of ours, epochs at the worker. What they protect from
is tested here in this carrier's terms.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
import pytest

from pipelines.contracts import Slot, Taken
from pipelines.transport.options import LaneOptions
from pipelines.values import AnswerCode, ColorMatrix, ColorRange, PixelFormat, Priority
from tests.contracts.lane import until
from tests.contracts.lane_grpc import GrpcLane
from tests.contracts.test_lane import (
    loan,
    options,
    reply,
    rows,
    send,
    take,
    test_a_discarded_slot_is_never_seen,
    test_a_header_that_cannot_be_packed_leaves_the_slot_with_the_caller,
    test_a_slot_is_published_once,
    test_a_stalled_reader_costs_slots_and_nothing_else,
    test_low_priorities_leave_the_reserved_slots,
    test_pumps_in_threads_share_one_writer,
    test_the_worker_cannot_write_a_payload,
)
from tests.unit.transport.values import CARD, header

__all__ = [
    "test_a_discarded_slot_is_never_seen",
    "test_a_header_that_cannot_be_packed_leaves_the_slot_with_the_caller",
    "test_a_slot_is_published_once",
    "test_a_stalled_reader_costs_slots_and_nothing_else",
    "test_low_priorities_leave_the_reserved_slots",
    "test_pumps_in_threads_share_one_writer",
    "test_the_worker_cannot_write_a_payload",
]
"""Of the common suite: the same test code, run here with this module's `make`."""

Make = Callable[[LaneOptions], Awaitable[GrpcLane]]
IMPATIENT = {
    "ping_interval_s": 0.02,
    "ping_timeout_s": 0.3,
    "retire_timeout_s": 0.3,
    "connect_backoff_s": 0.005,
    "connect_backoff_max_s": 0.02,
}


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    lanes: list[GrpcLane] = []

    async def make(options: LaneOptions) -> GrpcLane:
        lane = GrpcLane(options)
        lanes.append(lane)
        await lane.start()
        return lane

    yield make
    for lane in lanes:
        await lane.stop()


def impatient(slots: int) -> LaneOptions:
    return options(slots).model_copy(update=IMPATIENT)


async def test_a_task_goes_there_and_its_answer_comes_back(make: Make) -> None:
    lane = await make(options(4))
    sent = dataclasses.replace(
        header(77),
        priority=Priority.HIGH,
        deadline_ns=time.monotonic_ns() + 5_000_000_000,
        color_range=ColorRange.FULL,
        color_matrix=ColorMatrix.BT601,
    )
    slot = loan(lane)
    slot.payload[:] = np.arange(CARD.payload_bytes) % 256
    assert lane.writer.publish(slot, sent)

    taken = await take(lane)
    got = taken.header
    assert (got.task, got.camera, got.model, got.priority) == (77, "gate-7", CARD.name, Priority.HIGH)
    assert (got.color_range, got.color_matrix) == (ColorRange.FULL, ColorMatrix.BT601)
    assert abs(got.deadline_ns - sent.deadline_ns) < 1_000_000_000
    assert taken.payload.tolist() == (np.arange(CARD.payload_bytes) % 256).tolist()
    lane.reader.answer(taken, AnswerCode.OK, rows(0.5, count=3), 11, 12)

    await until(lambda: lane.events.answers)
    [answer] = lane.events.answers
    assert (answer.task, answer.code) == (77, AnswerCode.OK)
    assert (answer.taken_ns, answer.started_ns, answer.finished_ns) == (0, 0, 0), "another host's clock"
    assert answer.rows.tolist() == [*rows(0.5, count=3).tolist(), [0.0] * 6]
    assert lane.writer.statistics().free == 4
    assert lane.writer.card == CARD


@pytest.mark.parametrize(
    ("code", "comes_back_as"),
    [
        (AnswerCode.LATE, AnswerCode.LATE),
        (AnswerCode.ENGINE_FAILED, AnswerCode.ENGINE_FAILED),
        (AnswerCode.BAD_INPUT, AnswerCode.BAD_INPUT),
        (AnswerCode.CHECKSUM, AnswerCode.ENGINE_FAILED),
    ],
)
async def test_codes_travel_as_statuses(make: Make, code: AnswerCode, comes_back_as: AnswerCode) -> None:
    lane = await make(options(1))
    send(lane, 1)
    reply(lane, await take(lane), code=code)
    await until(lambda: lane.events.answers)
    assert (lane.events.answers[0].code, len(lane.events.answers[0].rows)) == (comes_back_as, 0)
    assert lane.events.losses == []


async def test_answers_may_come_in_any_order(make: Make) -> None:
    lane = await make(options(4))
    for task in range(4):
        send(lane, task)
    taken = {one.header.task: one for one in [await take(lane) for _ in range(4)]}
    for task in (2, 0, 3, 1):
        reply(lane, taken[task], value=task)
        await until(lambda: task in lane.events.tasks_answered)  # noqa: B023
    assert [(a.task, a.rows[0, 0]) for a in lane.events.answers] == [(2, 2.0), (0, 0.0), (3, 3.0), (1, 1.0)]


async def test_a_second_answer_is_refused(make: Make) -> None:
    lane = await make(options(1))
    send(lane, 1)
    first = await take(lane)
    reply(lane, first)
    reply(lane, first, value=2.0)
    await until(lambda: lane.events.answers)
    send(lane, 2)
    reply(lane, first, value=9.0)
    reply(lane, await take(lane), value=3.0)
    await until(lambda: len(lane.events.answers) == 2)
    assert [(a.task, a.rows[0, 0]) for a in lane.events.answers] == [(1, 1.0), (2, 3.0)]


async def test_a_task_whose_deadline_has_passed_is_not_sent(make: Make) -> None:
    lane = await make(options(1))
    assert lane.writer.publish(loan(lane), dataclasses.replace(header(1), deadline_ns=time.monotonic_ns() - 1))
    await until(lambda: lane.events.answers)
    assert lane.events.answers[0].code is AnswerCode.LATE
    assert lane.reader.take() is None


async def test_a_task_that_nobody_answers_in_time_is_late_and_its_slot_free(make: Make) -> None:
    lane = await make(options(1))
    soon = dataclasses.replace(header(1), deadline_ns=time.monotonic_ns() + 30_000_000)
    assert lane.writer.publish(loan(lane), soon)
    taken = await take(lane)
    await until(lambda: lane.events.answers)
    assert lane.events.answers[0].code is AnswerCode.LATE
    send(lane, 2)
    reply(lane, taken, value=9.0)  # late, and nobody's
    reply(lane, await take(lane), value=3.0)
    await until(lambda: len(lane.events.answers) == 2)
    assert lane.events.answers[1].rows[0, 0] == 3.0


async def test_what_is_no_picture_of_the_model_is_bad_input(make: Make) -> None:
    lane = await make(options(1))
    assert lane.writer.publish(loan(lane), dataclasses.replace(header(1), pixel_format=PixelFormat.NONE))
    await until(lambda: lane.events.answers)
    assert lane.events.answers[0].code is AnswerCode.BAD_INPUT
    assert lane.events.losses == []


async def test_a_loss_names_every_unanswered_task_once(make: Make) -> None:
    lane = await make(options(5))
    for task in range(4):
        send(lane, task)
    held = loan(lane)
    taken = [await take(lane) for _ in range(4)]
    reply(lane, next(one for one in taken if one.header.task == 0))
    await until(lambda: lane.events.answers)
    writer = lane.writer

    await lane.lose()

    assert len(lane.events.losses) == 1
    assert sorted(lane.events.tasks_lost) == [1, 2, 3]
    assert writer.loan(Priority.HIGH) is None
    held.payload[:] = 1
    assert writer.publish(held, header(9)) is False, "and the slot is given back"
    figures = writer.statistics()
    assert (figures.free, figures.imbalance, figures.lost, figures.answered) == (5, 0, 3, 1)
    for one in taken:
        reply(lane, one)  # to nobody
    assert lane.events.tasks_answered == [0]


async def test_a_new_attach_is_a_new_epoch(make: Make) -> None:
    lane = await make(options(1))
    old_writer = lane.writer
    send(lane, 1, fill=1)
    old_taken = await take(lane)
    await lane.lose()
    await lane.attach_again()
    assert lane.writer.epoch > old_writer.epoch

    send(lane, 2, fill=2)
    taken = await take(lane)
    reply(lane, old_taken, value=6.0)
    assert old_taken.payload[0] == 1, "a copy of its own"
    reply(lane, taken, value=2.0)
    await until(lambda: lane.events.answers)
    assert [(a.task, a.rows[0, 0]) for a in lane.events.answers] == [(2, 2.0)]
    assert old_writer.statistics().imbalance == lane.writer.statistics().imbalance == 0


async def test_a_server_that_goes_and_comes_back(make: Make) -> None:
    """What it held is lost, named once; the link attaches to the next one by itself."""
    lane = await make(impatient(4))
    for task in range(3):
        send(lane, task)
    first = await take(lane)
    reply(lane, first)
    await until(lambda: lane.events.answers)
    await lane.stop_server()
    await until(lambda: lane.events.losses)
    assert sorted(lane.events.tasks_lost + lane.events.tasks_answered) == [0, 1, 2]
    assert lane.link.writer is None

    await until(lambda: lane.link.statistics().failures)
    assert "no server at 127.0.0.1" in lane.link.statistics().reason
    await lane.start_server()
    await until(lambda: len(lane.events.writers) == 2)
    lane.desk.waiting.clear()
    send(lane, 7)
    reply(lane, await take(lane))
    await until(lambda: lane.events.answers[-1].task == 7)
    assert lane.events.writers[0].statistics().free == 4


async def test_a_server_that_is_draining_answers_what_it_has(make: Make) -> None:
    lane = await make(impatient(2))
    send(lane, 1)
    taken = await take(lane)
    lane.server.drain()
    await until(lambda: lane.writer.loan(Priority.HIGH) is None)
    assert lane.events.losses == []
    reply(lane, taken)
    await until(lambda: lane.events.losses)
    assert (lane.events.tasks_answered, lane.events.losses) == ([1], [((), "the server is draining")])


async def test_a_refused_call_ends_the_lane_after_the_others(make: Make) -> None:
    """The server says it is going: what it still has comes back, the refused task is lost."""
    lane = await make(options(2))
    send(lane, 1)
    taken = await take(lane)
    lane.server.drain()
    send(lane, 2)
    await until(lambda: lane.writer.loan(Priority.HIGH) is None)
    reply(lane, taken)
    await until(lambda: lane.events.losses)
    assert lane.events.tasks_answered == [1]
    [(tasks, reason)] = lane.events.losses
    assert tasks == (2,)
    assert "unavailable: the worker is stopping" in reason


async def test_another_model_makes_a_new_lane(make: Make) -> None:
    lane = await make(impatient(2))
    send(lane, 1)
    taken = await take(lane)
    lane.desk.card = dataclasses.replace(CARD, top_k=5)
    await until(lambda: lane.writer.loan(Priority.HIGH) is None)
    reply(lane, taken)
    await until(lambda: len(lane.events.writers) == 2)
    assert lane.events.losses[0] == ((), "the server changed its model")
    assert lane.writer.card.top_k == 5
    assert lane.events.tasks_answered == [1]


async def test_every_task_settles_once_whatever_happens(make: Make) -> None:
    """Random verbs, losses among them: the laws hold after each."""
    lane, rng = await make(options(6, reserved_high=1, reserved_normal=1)), random.Random(3)
    loaned: list[Slot] = []
    in_hand: list[Taken] = []
    published: list[int] = []
    for step in range(1500):
        match rng.choices(("loan", "publish", "discard", "take", "answer", "turn", "lose"), (5, 4, 1, 4, 4, 3, 0.05))[
            0
        ]:
            case "loan" if (slot := lane.writer.loan(rng.choice(list(Priority)))) is not None:
                loaned.append(slot)
            case "publish" if loaned:
                slot = loaned.pop(rng.randrange(len(loaned)))
                slot.payload[:] = step % 251
                assert lane.writer.publish(slot, header(step))
                published.append(step)
            case "discard" if loaned:
                lane.writer.discard(loaned.pop(rng.randrange(len(loaned))))
            case "take" if (taken := lane.reader.take()) is not None:
                assert (taken.payload == taken.header.task % 251).all()
                in_hand.append(taken)
            case "answer" if in_hand:
                taken = in_hand.pop(rng.randrange(len(in_hand)))
                reply(lane, taken, value=taken.header.task)
            case "turn":
                await asyncio.sleep(0.001)  # the calls travel through threads of gRPC
            case "lose":
                writer = lane.writer
                await lane.lose()
                for slot in loaned:
                    writer.discard(slot)
                assert writer.statistics().free == 6
                loaned, in_hand = [], []
                lane.desk.waiting.clear()
                await lane.attach_again()
            case _:
                pass
        figures = lane.writer.statistics()
        assert (figures.imbalance, figures.loaned_now) == (0, len(loaned))
    await lane.lose()
    assert sorted(lane.events.tasks_answered + lane.events.tasks_lost) == published
    assert all(answer.rows[0, 0] == answer.task for answer in lane.events.answers)
    assert len(lane.events.answers) > 50, "or the walk proves little"
