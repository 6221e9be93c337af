"""The lane of a split model: pictures on this side, tensors in the slots, whole answers told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.contracts import SlotWriter
from pipelines.transport.loopback import Loopback, loopback
from pipelines.transport.options import LaneOptions
from pipelines.transport.tensor_lane import TensorEvents, misfit
from pipelines.transport.workers import Workers
from pipelines.values import F32, U8, AnswerCode, ColorMatrix, ColorRange, ModelCard, PixelFormat, Priority
from tests.fakes.lane import CARD, KeptEvents, header, one_box

LANE_CARD = replace(CARD, family="split", top_k=2, tensor_bytes=64, sha256="parts")
LANE = LaneOptions(slots=8)
NO_ROWS: F32 = np.zeros((0, 6), np.float32)


class ToyEnds:
    """Sends the picture's first 16 values as numbers; keeps their sum; adds it to the first score."""

    card: ModelCard = CARD
    lane_card: ModelCard = LANE_CARD
    tensor = ("float32", (1, 16))

    def before(self, picture: U8, color_range: ColorRange, matrix: ColorMatrix, out: U8) -> dict[str, npt.NDArray[Any]]:
        out.view(np.float32)[:] = picture[:16]
        return {"sum": picture[:16].sum()}

    def after(self, rows: F32, kept: Mapping[str, npt.NDArray[Any]]) -> F32:
        if rows[0, 0] < 0:
            raise ZeroDivisionError("bug")
        return one_box(float(kept["sum"]))


class WholeEvents(KeptEvents):
    """FrontEvents that remembers, and can be waited for."""

    def gave_up(self, tasks: object, reason: str) -> None:
        self.losses.append((tuple(tasks), reason))  # type: ignore[arg-type]

    async def told(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.answers) < count:
                await asyncio.sleep(0)


@asynccontextmanager
async def split_lane() -> AsyncIterator[tuple[Loopback, WholeEvents, SlotWriter]]:
    events = WholeEvents()
    between = TensorEvents(ToyEnds(), events)
    lane = loopback(2, LANE_CARD, between)
    yield lane, events, events.writers[0]
    between.close()


def publish(writer: SlotWriter, task: int, value: int) -> U8:
    slot = writer.loan(Priority.NORMAL)
    assert slot is not None
    assert slot.payload.nbytes == CARD.payload_bytes
    slot.payload[:] = value
    assert writer.publish(slot, header(task))
    return slot.payload


async def test_a_picture_goes_in_a_tensor_goes_up_and_rows_come_out() -> None:
    async with split_lane() as (lane, events, writer):
        assert writer.card == CARD
        publish(writer, 7, 2)
        taken = lane.reader.take()
        assert taken is not None
        assert (taken.header.dtype, taken.header.shape) == ("float32", (1, 16))
        assert (taken.header.pixel_format, taken.header.payload_bytes) == (PixelFormat.NONE, 64)
        assert taken.payload.view(np.float32).tolist() == [2.0] * 16
        lane.reader.answer(taken, AnswerCode.OK, np.zeros((2, 6), np.float32), 1, 2)
        await events.told(1)
        (answer,) = events.answers
        assert (answer.task, answer.code, answer.rows[0, 4]) == (7, AnswerCode.OK, 32.0)


@pytest.mark.parametrize("code", [AnswerCode.ENGINE_FAILED, AnswerCode.LATE])
async def test_what_fails_comes_back_with_its_picture(code: AnswerCode) -> None:
    async with split_lane() as (lane, events, writer):
        picture = publish(writer, 7, 3)
        taken = lane.reader.take()
        assert taken is not None
        lane.reader.answer(taken, code, NO_ROWS, 1, 2)
        (answer,) = events.answers
        assert answer.code is code
        assert answer.payload is (picture if code is AnswerCode.ENGINE_FAILED else None)


async def test_a_last_part_that_fails_fails_its_task() -> None:
    async with split_lane() as (lane, events, writer):
        picture = publish(writer, 7, 3)
        taken = lane.reader.take()
        assert taken is not None
        lane.reader.answer(taken, AnswerCode.OK, np.full((2, 6), -1, np.float32), 1, 2)
        await events.told(1)
        assert (events.answers[0].code, events.answers[0].payload is picture) == (AnswerCode.BAD_OUTPUT, True)


async def test_slots_come_back_and_losses_go_on() -> None:
    async with split_lane() as (lane, events, writer):
        slot = writer.loan(Priority.NORMAL)
        assert slot is not None
        writer.discard(slot)
        publish(writer, 7, 1)
        publish(writer, 8, 1)
        assert writer.loan(Priority.NORMAL) is None
        lane.end("killed")
        assert events.losses == [((7, 8), "killed")]
        assert writer.statistics().discarded == 1


async def test_a_first_part_that_fails_leaves_the_slot_to_its_pump(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*arguments: object) -> None:
        raise ZeroDivisionError("bug")

    monkeypatch.setattr(ToyEnds, "before", explode)
    async with split_lane() as (_, _, writer):
        slot = writer.loan(Priority.NORMAL)
        assert slot is not None
        with pytest.raises(ZeroDivisionError):
            writer.publish(slot, header(1))
        writer.discard(slot)
        assert writer.statistics().free == 2


async def test_a_worker_with_a_whole_model_is_passed_on() -> None:
    events = WholeEvents()
    lane = loopback(2, CARD, TensorEvents(ToyEnds(), events))
    assert events.writers == [lane.writer]
    publish(lane.writer, 1, 5)
    taken = lane.reader.take()
    assert taken is not None
    assert taken.header.pixel_format is PixelFormat.I420
    lane.reader.answer(taken, AnswerCode.OK, one_box(), 1, 2)
    assert [answer.task for answer in events.answers] == [1]


def test_a_worker_of_parts_that_nobody_has_here_gets_nothing() -> None:
    events = WholeEvents()
    workers = Workers(["a", "b"], LANE, events, misfit=lambda card: misfit(None, card))
    for member, card in zip(workers.members, (LANE_CARD, CARD), strict=True):
        Loopback(card, LANE, member).attach()
    assert [writer.card for writer in events.writers] == [CARD]
    assert "name the folder" in workers.observe().refused["a"]
