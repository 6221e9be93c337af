"""An RDMA lane between two hosts, of which anything may break: what is lost is known, and what can come back does.

Run in the guests of scripts/rdma_vm. Times to recover go to its report; none is asserted but by patience.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from pipelines.transport.rdma import RdmaLink, RdmaServer
from pipelines.transport.reader import LaneReader
from pipelines.transport.writer import LaneWriter
from pipelines.values import AnswerCode, Priority
from tests.contracts.lane import Recorder
from tests.hardware import roles
from tests.hardware.far import Far, Hosts, note
from tests.unit.transport.values import header

PATIENCE_S = 90.0
pytestmark = pytest.mark.timeout(400)


async def until(condition: Callable[[], object]) -> float:
    """Seconds until it held."""
    began = time.monotonic()
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.002)
    return time.monotonic() - began


class Pump(threading.Thread):
    """A camera's thread that publishes whenever a worker is there, and knows what it handed over."""

    def __init__(self, link: RdmaLink) -> None:
        super().__init__(name="pump")
        self._link = link
        self._stopped = threading.Event()
        self.published: list[int] = []

    def run(self) -> None:
        task = 0
        while not self._stopped.is_set():
            writer = self._link.writer
            slot = writer.loan(Priority.NORMAL) if writer else None
            if writer is None or slot is None:
                time.sleep(0.002)
                continue
            slot.payload[:] = task % 251
            if writer.publish(slot, header(task)):
                self.published.append(task)
            task += 1

    def stop(self) -> None:
        self._stopped.set()
        self.join()


class Traffic:
    """A link under load, and what came of it."""

    def __init__(self, link: RdmaLink, events: Recorder) -> None:
        self.link, self.events = link, events

    @property
    def answers(self) -> int:
        return len(self.events.answers)

    async def flows(self, more: int = 20) -> float:
        """Seconds until so many more answers came."""
        wanted = self.answers + more
        return await until(lambda: self.answers >= wanted)


@asynccontextmanager
async def traffic(host: str, secret: str = roles.SECRET) -> AsyncIterator[Traffic]:
    """Publishes all the time. At the end every task was answered or lost, once, and nothing is registered."""
    events = Recorder()
    link = roles.link(host, events, secret)
    running = asyncio.create_task(link.run())
    pump = Pump(link)
    pump.start()
    try:
        yield Traffic(link, events)
    finally:
        pump.stop()
        running.cancel()
        await asyncio.wait({running})
    assert sorted(events.tasks_answered + events.tasks_lost) == pump.published
    assert all(a.code is AnswerCode.OK and a.rows[0, 0] == a.task for a in events.answers)
    assert len(events.losses) == len(events.writers)
    for writer in events.writers:
        assert isinstance(writer, LaneWriter)
        figures = writer.statistics()
        assert (figures.imbalance, figures.in_flight, figures.free) == (0, 0, roles.OPTIONS.slots)
    assert roles.registered() == 0, "teardown leaves no registered memory"


async def test_a_killed_worker_costs_what_it_held(far: Far, pair_of_hosts: Hosts) -> None:
    worker = far.start("echo", host=pair_of_hosts.far)
    async with traffic(pair_of_hosts.far) as lane:
        await lane.flows()
        far.kill(worker)
        killed = time.monotonic()
        await until(lambda: lane.events.losses)
        lost_s = time.monotonic() - killed
        assert far.registered() == 0, "the kernel took the dead worker's memory back"
        far.start("echo", host=pair_of_hosts.far)
        recovered_s = await lane.flows(1)
    note(recovery_s={"worker_killed": round(recovered_s, 2)}, noticed_s={"worker_killed": round(lost_s, 2)})


async def test_a_killed_dpu_process_ends_its_lane_alone(far: Far, pair_of_hosts: Hosts) -> None:
    seen: list[LaneReader] = []

    def readable(lane: LaneReader) -> None:
        if lane not in seen:
            seen.append(lane)
        roles.echo_all(lane)

    async with serving(roles.server(pair_of_hosts.near, readable)) as server:
        first = far.start("dpu", host=pair_of_hosts.near)
        far.start("dpu", host=pair_of_hosts.near)
        await until(lambda: len(seen) == 2 and all(lane.statistics().answered > 20 for lane in seen))
        far.kill(first)
        gone_s = await until(lambda: len(server.lanes) == 1)
        [ended] = [lane for lane in seen if lane.end_reason]
        figures = ended.statistics()
        assert figures.announced == figures.answered + figures.dropped
        [alive] = server.lanes
        more = alive.statistics().answered + 20
        await until(lambda: alive.statistics().answered > more)
        again = far.start("dpu", host=pair_of_hosts.near)
        recovered_s = await until(lambda: len(server.lanes) == 2 and seen[-1].statistics().answered)
        far.kill(again)
    assert roles.registered() == 0
    note(recovery_s={"dpu_killed": round(recovered_s, 2)}, noticed_s={"dpu_killed": round(gone_s, 2)})


async def test_a_link_that_is_down_for_three_seconds_comes_back(far: Far, pair_of_hosts: Hosts) -> None:
    """Down at the far end: this side sees silence only."""
    far.start("echo", host=pair_of_hosts.far)
    async with traffic(pair_of_hosts.far) as lane:
        await lane.flows()
        far.link("down")
        cut = time.monotonic()
        await asyncio.sleep(3)
        far.link("up")
        down_s = time.monotonic() - cut
        recovered_s = await lane.flows(1)
    note(recovery_s={"link_down_3s": round(recovered_s, 2)}, link_was_down_s=round(down_s, 1))


async def test_a_link_that_stays_down_is_an_error_not_silence(far: Far, pair_of_hosts: Hosts) -> None:
    far.start("echo", host=pair_of_hosts.far)
    async with traffic(pair_of_hosts.far) as lane:
        await lane.flows()
        far.link("down")
        noticed_s = await until(lambda: lane.events.losses)
        reason = lane.events.losses[0][1]
        assert "has not acknowledged in time" in reason or "silent for" in reason
        failures = lane.link.statistics().failures
        await until(lambda: lane.link.statistics().failures > failures)
        assert lane.link.writer is None
        assert "no worker at" in lane.link.statistics().reason
        far.link("up")
        recovered_s = await lane.flows(1)
    note(recovery_s={"link_down_for_ever": round(recovered_s, 2)})
    note(noticed_s={"link_down_for_ever": round(noticed_s, 2)})


async def test_a_worker_that_hangs_is_lost_and_comes_back(far: Far, pair_of_hosts: Hosts) -> None:
    worker = far.start("echo", host=pair_of_hosts.far)
    async with traffic(pair_of_hosts.far) as lane:
        await lane.flows()
        far.kill(worker, 19)  # SIGSTOP
        noticed_s = await until(lambda: lane.events.losses)
        assert "silent for" in lane.events.losses[0][1]
        far.kill(worker, 18)  # SIGCONT
        recovered_s = await lane.flows(1)
    note(recovery_s={"worker_hung": round(recovered_s, 2)}, noticed_s={"worker_hung": round(noticed_s, 2)})


async def test_a_receiver_that_answers_nothing_fills_the_ring_and_nothing_else(far: Far, pair_of_hosts: Hosts) -> None:
    worker = far.start("hold", host=pair_of_hosts.far)
    async with traffic(pair_of_hosts.far) as lane:
        await until(lambda: lane.link.writer and lane.link.writer.statistics().refused_full > 20)
        writer = lane.link.writer
        assert writer
        assert (writer.statistics().in_flight, lane.answers) == (roles.OPTIONS.slots, 0)
        far.kill(worker)
        await until(lambda: lane.events.losses)
        assert len(lane.events.tasks_lost) == roles.OPTIONS.slots
        far.start("echo", host=pair_of_hosts.far)
        recovered_s = await lane.flows(1)
    note(recovery_s={"receiver_silent": round(recovered_s, 2)})


async def test_a_forged_handshake_gets_nothing(far: Far, pair_of_hosts: Hosts) -> None:
    worker = far.start("echo", host=pair_of_hosts.far, secret="another secret, as long")
    async with traffic(pair_of_hosts.far) as lane:
        await until(lambda: "closed the connection" in lane.link.statistics().reason)
        assert (lane.events.writers, far.registered(), roles.registered()) == ([], 0, 0)
        far.kill(worker)
        far.start("echo", host=pair_of_hosts.far)
        recovered_s = await lane.flows(1)
    note(recovery_s={"forged_handshake": round(recovered_s, 2)})


async def test_another_layout_is_refused_in_words(far: Far, pair_of_hosts: Hosts) -> None:
    worker = far.start("other_layout", host=pair_of_hosts.far)
    async with traffic(pair_of_hosts.far) as lane:
        await until(lambda: "lay out slots differently (header version: 7" in lane.link.statistics().reason)
        assert lane.events.writers == []
        far.kill(worker)
        far.start("echo", host=pair_of_hosts.far)
        recovered_s = await lane.flows(1)
    note(recovery_s={"layout_mismatch": round(recovered_s, 2)})


async def test_a_late_write_is_refused_by_the_device(far: Far, pair_of_hosts: Hosts) -> None:
    """The old lane's address and key, used by its worker in the next one: refused, and that memory stays as it was.

    In the lane after that the same worker writes where it may: that is seen, so an overwrite would have been.
    """
    worker = far.start("late", host=pair_of_hosts.far)
    events = Recorder()
    link = roles.link(pair_of_hosts.far, events)
    running = asyncio.create_task(link.run())

    def send(task: int) -> memoryview:
        """Publish one; the memory that this lane's answers come to."""
        assert link._session
        slot = link._session.writer.loan(Priority.NORMAL)
        assert slot
        assert link._session.writer.publish(slot, header(task))
        return link._session._answers

    await until(lambda: link.writer)
    old = send(1)
    assert link._session
    link._session._end("the test wants another lane")
    await until(lambda: len(events.writers) == 2 and link.writer)
    send(2)
    await until(lambda: len(events.losses) == 2)
    assert bytes(old[: len(roles.MARK)]) == bytes(len(roles.MARK))
    recovered_s = await until(lambda: len(events.writers) == 3 and link.writer)
    new = send(3)
    await until(lambda: bytes(new[: len(roles.MARK)]) == roles.MARK)
    running.cancel()
    await asyncio.wait({running})
    assert "lane 3; the one before: the RDMA connection failed: the peer's device refused a write" in far.output(worker)
    assert bytes(old[: len(roles.MARK)]) == bytes(len(roles.MARK))
    assert roles.registered() == 0
    note(recovery_s={"late_write": round(recovered_s, 2)})


@asynccontextmanager
async def serving(server: RdmaServer) -> AsyncIterator[RdmaServer]:
    task = asyncio.create_task(server.run())
    try:
        await until(server.listening.is_set)
        yield server
    finally:
        task.cancel()
        await asyncio.wait({task})
