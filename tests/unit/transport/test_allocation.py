"""A lane in its stride keeps nothing and makes nothing of a payload's size: what is allocated is let go at once."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pipelines.transport.loopback import loopback
from pipelines.transport.options import LaneOptions
from pipelines.transport.reader import LaneReader
from pipelines.values import Answer, AnswerCode, ModelCard, Priority
from tests.contracts.lane import Lane, LoopbackLane, Recorder, ShmLane, until
from tests.unit.transport.values import header

OPTIONS = LaneOptions(slots=64, reserved_high=0, reserved_normal=0)


class Forgetful(Recorder):
    """LaneEvents that keep nothing but a number."""

    def __init__(self) -> None:
        super().__init__()
        self.answered_so_far = 0

    def answered(self, answer: Answer) -> None:
        self.answered_so_far += 1


async def run(lane: Lane, rounds: int) -> None:
    """Full rings, one after another."""
    rows = np.zeros((4, 6), np.float32)

    def serve(reader: LaneReader) -> bool:
        while (taken := reader.take()) is not None:
            reader.answer(taken, AnswerCode.OK, rows, 0, 0)
        return lane.writer.statistics().free == OPTIONS.slots

    for number in range(rounds):
        for each in range(OPTIONS.slots):
            slot = lane.writer.loan(Priority.NORMAL)
            assert slot is not None
            lane.writer.publish(slot, header(number * OPTIONS.slots + each))
        await until(lambda: serve(lane.reader))
        lane.events.answers.clear()


@pytest.mark.parametrize("carrier", ["loopback", "shm"])
async def test_a_lane_keeps_nothing_of_its_tasks(carrier: str, tmp_path: Path) -> None:
    lane: Lane = LoopbackLane(OPTIONS) if carrier == "loopback" else ShmLane(OPTIONS, tmp_path)
    await lane.start()
    await run(lane, 2)
    gc.collect()
    only_ours = [tracemalloc.Filter(True, "*/pipelines/transport/*")]
    tracemalloc.start()
    try:
        await run(lane, 2)
        before = tracemalloc.take_snapshot().filter_traces(only_ours)
        await run(lane, 10)
        after = tracemalloc.take_snapshot().filter_traces(only_ours)
    finally:
        tracemalloc.stop()
    grown = [stat for stat in after.compare_to(before, "lineno") if stat.size_diff > 0]
    assert sum(stat.size_diff for stat in grown) < 1024, grown
    await lane.stop()


def test_the_hot_path_makes_nothing_as_large_as_a_payload() -> None:
    """One task through all verbs: the peak is a header, an answer and its rows; the payload is written in place."""
    card = ModelCard("m", "null", 640, 640, ("x",), top_k=100)
    events = Forgetful()
    lane = loopback(4, card, events)
    sent, picture = header(1, size=card.payload_bytes), np.full(card.payload_bytes, 7, np.uint8)
    rows, batch = np.zeros((100, 6), np.float32), np.empty(card.payload_bytes, np.uint8)

    def task() -> None:
        slot = lane.writer.loan(Priority.NORMAL)
        assert slot is not None
        np.copyto(slot.payload, picture)
        lane.writer.publish(slot, sent)
        taken = lane.reader.take()
        assert taken is not None
        np.copyto(batch, taken.payload)
        lane.reader.answer(taken, AnswerCode.OK, rows, 0, 0)

    task()
    tracemalloc.start()
    try:
        task()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(100):
            task()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert events.answered_so_far == 102
    assert after - before < 512, "nothing stays"
    assert peak - before < rows.nbytes + 4096 < card.payload_bytes / 50
