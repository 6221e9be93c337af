"""What a queue pair of a real device tells of, and what not. Run in the guests of scripts/rdma_vm."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.transport.options import LaneOptions
from pipelines.transport.reader import NO_ROWS
from pipelines.values import AnswerCode, Priority
from tests.contracts.lane import until
from tests.contracts.lane_rdma import RdmaLane, device_addresses
from tests.hardware.far import REASON
from tests.unit.transport.values import header

SLOTS, TASKS = 8, 64


async def exchange(lane: RdmaLane, task: int) -> None:
    """One task there and its answer back."""
    slot = lane.writer.loan(Priority.NORMAL)
    assert slot
    assert lane.writer.publish(slot, header(task))

    def answered() -> bool:
        if (taken := lane.reader.take()) is not None:
            lane.reader.answer(taken, AnswerCode.OK, NO_ROWS, 0, 0)
        return len(lane.events.answers) > task

    await until(answered)


async def test_writes_that_went_well_are_hardly_told_of() -> None:
    """A completion for each would wake the loop twice as often as there is something to do."""
    if not device_addresses():
        pytest.skip(REASON)
    lane = RdmaLane(LaneOptions(slots=SLOTS, reserved_high=0, reserved_normal=0))
    await lane.start()
    try:
        assert lane.link._session
        pairs: list[Any] = [lane.link._session._pair, lane.server._sessions[-1]._pair]
        for task in range(TASKS):
            await exchange(lane, task)
        for pair in pairs:
            assert TASKS <= pair.fetched <= TASKS + TASKS // (SLOTS // 2), "one write in four asks for one"
    finally:
        await lane.stop()
