"""A link with several carriers: the first that attaches is taken, and the choice is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from pipelines.contracts import LaneEvents
from pipelines.errors import LaneError
from pipelines.transport.link import Link, NoCarrier
from pipelines.transport.loopback import loopback
from pipelines.transport.options import LaneOptions
from pipelines.transport.writer import LaneWriter
from tests.contracts.lane import Recorder, until
from tests.unit.transport.values import CARD

OPTIONS = LaneOptions(slots=2, reserved_high=0, reserved_normal=0, connect_backoff_s=1e-4, connect_backoff_max_s=1e-3)


class FakeSession:
    def __init__(self) -> None:
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._lane = loopback(2, CARD, Recorder())

    @property
    def writer(self) -> LaneWriter:
        return self._lane.writer

    async def carry(self) -> str:
        return await self.over


class FakeCarrier:
    """Attaches while `up`."""

    def __init__(self, name: str, up: bool = True) -> None:
        self.name, self.up, self.tried = name, up, 0
        self.session: FakeSession | None = None

    @asynccontextmanager
    async def attach(self, events: LaneEvents) -> AsyncIterator[FakeSession]:
        self.tried += 1
        if not self.up:
            raise LaneError(f"{self.name} is down")
        self.session = FakeSession()
        yield self.session
        self.session = None

    def counters(self) -> Mapping[str, int]:
        return {"tried": self.tried}


@asynccontextmanager
async def linked(
    *carriers: FakeCarrier | NoCarrier, options: LaneOptions = OPTIONS
) -> AsyncIterator[Link[FakeSession]]:
    link: Link[FakeSession] = Link(carriers, options, Recorder())
    task = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_the_best_is_taken_and_the_others_are_left_alone() -> None:
    shm, grpc = FakeCarrier("shm"), FakeCarrier("grpc")
    async with linked(shm, grpc) as link:
        await until(lambda: link.writer)
        told = link.statistics()
        assert (told.carrier, told.choice, told.failures) == ("shm", "the best way there is", 0)
        assert told.counters == {"shm_tried": 1, "grpc_tried": 0}


async def test_what_is_not_there_is_passed_over_with_its_reason() -> None:
    shm, grpc = FakeCarrier("shm", up=False), FakeCarrier("grpc")
    async with linked(shm, NoCarrier("rdma", "this machine has no RDMA device"), grpc) as link:
        await until(lambda: link.writer)
        told = link.statistics()
        assert told.carrier == "grpc"
        assert told.choice == "no shm: shm is down; no rdma: this machine has no RDMA device"
        assert (told.attached, told.failures) == (True, 0)


async def test_it_is_chosen_anew_when_a_lane_ends() -> None:
    """A lane stays with its carrier until it ends: going over in the midst of it would lose what is out."""
    shm, grpc = FakeCarrier("shm", up=False), FakeCarrier("grpc")
    async with linked(shm, grpc) as link:
        await until(lambda: link.writer)
        shm.up = True
        assert grpc.session
        grpc.session.over.set_result("the server is draining")
        await until(lambda: shm.session)
        told = link.statistics()
        assert (told.carrier, told.attaches, told.losses) == ("shm", 2, 1)
        assert told.reason == "the server is draining"


async def test_only_a_lane_that_had_lasted_is_followed_at_once() -> None:
    """A worker that changed its model is back at once; one that ends each lane at once would keep both sides busy."""
    shm, loop = FakeCarrier("shm"), asyncio.get_running_loop()
    async with linked(shm, options=OPTIONS.model_copy(update={"connect_backoff_s": 60.0})) as link:
        await until(lambda: link.writer)
        lasted_s = loop.time() + OPTIONS.connect_backoff_max_s
        await until(lambda: loop.time() > lasted_s)
        assert shm.session
        shm.session.over.set_result("the worker changed its model")
        await until(lambda: shm.tried == 2)
        shm.session.over.set_result("the worker changed its model")
        await until(lambda: link.statistics().losses == 2)
        for _ in range(10):
            await asyncio.sleep(0)
        assert shm.tried == 2


async def test_where_none_attaches_all_say_why() -> None:
    async with linked(FakeCarrier("shm", up=False), FakeCarrier("grpc", up=False)) as link:
        await until(lambda: link.statistics().failures > 2)
        assert link.statistics().reason == "no shm: shm is down; no grpc: grpc is down"
        assert not link.statistics().attached


async def test_one_that_was_configured_alone_is_no_choice() -> None:
    async with linked(FakeCarrier("grpc")) as link:
        await until(lambda: link.writer)
        assert link.statistics().choice == "as configured"
