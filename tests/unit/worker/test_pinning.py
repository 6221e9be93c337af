"""Which lanes' memory is pinned: attached ones, and ended ones while a batch may still read from them."""

from __future__ import annotations

import asyncio
import threading

import numpy as np

from pipelines.contracts import SlotReader
from pipelines.transport.loopback import loopback
from pipelines.transport.reader import LaneReader
from pipelines.values import U8
from pipelines.worker.pinning import Pinning
from tests.fakes.lane import CARD, KeptEvents, ToyEngine


class Stage:
    """An engine, a pinning, and which lanes are said to hold tasks."""

    def __init__(self) -> None:
        self.engine = ToyEngine()
        self.held: set[SlotReader] = set()
        self.pinning = Pinning(self.engine, lambda lane: lane in self.held)


def lane() -> LaneReader:
    return loopback(2, CARD, KeptEvents()).reader


def covers(pinned: list[U8], reader: LaneReader) -> bool:
    region = reader.region
    return region is not None and any(np.shares_memory(region, other) for other in pinned)


async def test_attached_lanes_are_pinned_once_and_let_go_when_they_end() -> None:
    stage, one, other = Stage(), lane(), lane()
    await stage.pinning.follow([one])
    await stage.pinning.follow([one, other])
    assert [covers(stage.engine.pinned, reader) for reader in (one, other)] == [True, True]
    assert len(stage.engine.pinned) == 2
    await stage.pinning.follow([other])
    assert [covers(stage.engine.pinned, reader) for reader in (one, other)] == [False, True]


async def test_a_region_that_batches_read_from_outlives_its_lane() -> None:
    stage, gone = Stage(), lane()
    await stage.pinning.follow([gone])
    stage.held.add(gone)
    gone.end("the peer is gone")
    following = asyncio.create_task(stage.pinning.follow([]))
    done, _ = await asyncio.wait({following}, timeout=0.02)
    assert not done
    assert len(stage.engine.pinned) == 1
    stage.held.clear()
    await following
    assert stage.engine.pinned == []


async def test_a_lane_that_ended_before_its_turn_is_passed_over() -> None:
    stage, gone = Stage(), lane()
    gone.end("at once")
    await stage.pinning.follow([gone])
    assert stage.engine.pinned == []


async def test_payloads_on_the_device_need_no_pinning() -> None:
    class Remote(LaneReader):
        region = None

    stage = Stage()
    memory = lane()._memory
    assert memory is not None
    await stage.pinning.follow([Remote(memory, CARD, lambda *_: None)])
    assert stage.engine.pinned == []


async def test_after_the_end_nothing_is_asked_of_the_engine() -> None:
    """The end waits for a pinning under way: an engine that is being closed must not be given memory."""
    stage, entered, go = Stage(), threading.Event(), threading.Event()

    def slowly(region: U8) -> bool:
        entered.set()
        return go.wait(5)

    stage.engine.pin = slowly  # type: ignore[method-assign]
    following = asyncio.create_task(stage.pinning.follow([lane()]))
    await asyncio.to_thread(entered.wait, 5)
    ending = asyncio.create_task(stage.pinning.end())
    await asyncio.sleep(0)
    assert not ending.done()
    go.set()
    await asyncio.gather(following, ending)


async def test_all_are_pinned_again_for_an_engine_that_could_not_before() -> None:
    stage, one = Stage(), lane()
    stage.engine.pin = lambda region: False  # type: ignore[method-assign]
    await stage.pinning.follow([one])
    del stage.engine.pin
    await stage.pinning.again()
    assert covers(stage.engine.pinned, one)
