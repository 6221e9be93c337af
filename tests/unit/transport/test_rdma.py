"""An RDMA lane's two ends over a fabric of memory copies: attach, refusals, faults, late writes, reload, drain."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from pipelines.errors import LaneError
from pipelines.transport import rdma_message, rdma_server
from pipelines.transport.options import LaneOptions
from pipelines.transport.rdma import HostMemory, RdmaLink, RdmaServer, device_verbs
from pipelines.transport.rdma_auth import HELLO_BYTES, Side, pack_hello
from pipelines.transport.rdma_link_session import LinkSession
from pipelines.transport.rdma_memory import address_of, allocate
from pipelines.transport.rdma_notice import pack_notice
from pipelines.transport.rdma_verbs import Completion
from pipelines.transport.rdma_wire import Wire
from pipelines.transport.reader import NO_ROWS
from pipelines.values import AnswerCode, ModelCard, Priority
from tests.contracts.lane import Recorder, until
from tests.contracts.lane_rdma import SECRET, rdma
from tests.fakes.rdma import FakeFabric, FakePair
from tests.unit.transport.values import CARD, header

OPTIONS = LaneOptions(
    slots=4,
    reserved_high=0,
    reserved_normal=0,
    ping_interval_s=0.02,
    ping_timeout_s=0.3,
    attach_timeout_s=0.3,
    connect_backoff_s=0.005,
    connect_backoff_max_s=0.02,
    retire_timeout_s=0.2,
)


class Pair:
    """A link and a server on one fabric."""

    def __init__(self, server: RdmaServer, link: RdmaLink, fabric: FakeFabric, events: Recorder) -> None:
        self.server, self.link, self.fabric, self.events = server, link, fabric, events

    @property
    def session(self) -> LinkSession:
        """The DPU's present one."""
        assert self.link._session
        return self.link._session

    @property
    def worker_pair(self) -> FakePair:
        """The worker's present queue pair."""
        return self.fabric.pairs[self.server._sessions[-1]._pair.endpoint.queue_pair]

    def send(self, task: int) -> None:
        writer = self.link.writer
        assert writer
        slot = writer.loan(Priority.NORMAL)
        assert slot
        slot.payload[:] = task % 251
        assert writer.publish(slot, header(task))


@asynccontextmanager
async def pair(
    fabric: FakeFabric | None = None,
    link_options: LaneOptions = OPTIONS,
    server_options: LaneOptions = OPTIONS,
    link_secret: SecretStr = SECRET,
    attached: bool = True,
) -> AsyncIterator[Pair]:
    """Running, and attached unless said otherwise."""
    fabric, events = fabric or FakeFabric(), Recorder()
    anywhere = rdma().model_copy(update={"address": "127.0.0.1:0"})
    server = RdmaServer(anywhere, CARD, server_options, lambda lane: None, fabric, HostMemory)
    serving = asyncio.create_task(server.run())
    await server.listening.wait()
    link = RdmaLink(rdma(address=f"127.0.0.1:{server.port}", secret=link_secret), link_options, events, fabric)
    linking = asyncio.create_task(link.run())
    try:
        if attached:
            await until(lambda: link.writer and server.lanes)
        yield Pair(server, link, fabric, events)
    finally:
        linking.cancel()
        serving.cancel()
        await asyncio.wait({linking, serving})
    assert fabric.regions == 0, "nothing stays registered"


async def refused(**changes: object) -> str:
    """The link's reason after an attach that must fail; nobody was attached."""
    async with pair(attached=False, **changes) as both:  # type: ignore[arg-type]
        await until(lambda: both.link.statistics().failures and both.server.statistics().refused)
        assert both.events.writers == []
        assert both.fabric.regions == 0
        return both.link.statistics().reason


async def test_another_secret_gets_nothing_not_even_a_reason() -> None:
    assert "closed the connection" in await refused(link_secret=SecretStr("0123456789abcdef"))


async def test_a_worker_that_does_not_know_the_secret_is_not_believed() -> None:
    """It could forge regions: the link must register nothing for it."""
    fabric, events = FakeFabric(), Recorder()

    async def forge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(reader, writer, Side.WORKER)
        try:
            await wire.greet(b"guessed, and wrong", 1)
            wire.tell(b"\x01{}")
            await reader.read(1)
        except LaneError:
            pass
        finally:
            wire.close()

    listener = await asyncio.start_server(forge, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    link = RdmaLink(rdma(address=f"127.0.0.1:{port}"), OPTIONS, events, fabric)
    linking = asyncio.create_task(link.run())
    await until(lambda: link.statistics().failures)
    linking.cancel()
    await asyncio.wait({linking})
    listener.close()
    assert "not sealed with our secret" in link.statistics().reason
    assert fabric.opened == []


async def test_strangers_are_cut_off_without_a_word() -> None:
    async with pair() as both:
        for words in (b"GET / HTTP/1.1\r\n\r\n".ljust(HELLO_BYTES), pack_hello(b"n" * 32) + b"\xff" * 64):
            reader, writer = await asyncio.open_connection("127.0.0.1", both.server.port)
            writer.write(words)
            assert len(await reader.read(1000)) in (0, HELLO_BYTES)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await reader.readexactly(1)
            writer.close()
        assert both.server.statistics().refused == 2
        both.send(1)
        await until(lambda: both.server.lanes[0].take())


async def test_another_layout_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = rdma_message.decode_attach
    other = lambda data: dataclasses.replace(plain(data), header_version=7)  # noqa: E731
    monkeypatch.setattr(rdma_server, "decode_attach", other)
    reason = await refused()
    assert "the worker refused: the two sides lay out slots differently (header version: 7" in reason


async def test_too_many_slots_are_not_asked_for_and_not_given() -> None:
    async with pair(server_options=OPTIONS.model_copy(update={"max_slots": 2})) as both:
        assert both.link.writer
        assert both.link.writer.statistics().slots == 2
    reason = await refused(
        server_options=OPTIONS.model_copy(update={"max_slots": 2}),
        link_options=OPTIONS.model_copy(update={"reserved_high": 1, "reserved_normal": 1}),
    )
    assert "not more than are reserved" in reason


async def test_a_link_that_is_down_ends_the_lane_and_comes_back() -> None:
    async with pair() as both:
        both.send(1)
        await until(lambda: both.server.lanes[0].statistics().announced)
        both.fabric.down = True
        both.send(2)
        await until(lambda: both.events.losses)
        assert sorted(both.events.tasks_lost) == [1, 2]
        assert "has not acknowledged in time" in both.events.losses[0][1]
        both.fabric.down = False
        await until(lambda: len(both.events.writers) == 2 and both.server.lanes)
        assert both.events.writers[0].statistics().imbalance == 0  # type: ignore[attr-defined]


async def test_a_full_send_queue_is_a_full_ring() -> None:
    async with pair() as both:
        both.fabric.opened[-1].room = both.fabric.opened[0].room = False
        writer = both.link.writer
        assert writer
        slot = writer.loan(Priority.NORMAL)
        assert slot
        assert writer.publish(slot, header(1)) is False
        assert (writer.statistics().rolled_back, writer.statistics().free) == (1, 4)


async def test_a_silent_worker_is_lost_and_a_silent_dpu_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its host may vanish without closing anything: no end of file ever comes."""
    async with pair() as both:
        session = both.server._sessions[0]
        monkeypatch.setattr(session._wire, "tell", lambda body: None)
        await until(lambda: both.events.losses)
        assert "silent for" in both.events.losses[0][1]
        monkeypatch.undo()
        await until(lambda: both.link.writer and both.server.lanes)
        lane = both.server.lanes[-1]
        monkeypatch.setattr(both.session._wire, "tell", lambda body: None)
        await until(lambda: lane.end_reason)
        assert "said nothing for" in str(lane.end_reason) or "closed" in str(lane.end_reason)


async def test_a_late_write_meets_a_key_that_is_gone() -> None:
    """An old worker keeps address and key of the DPU's answers: they open nothing; the new epoch's would."""
    mark = allocate(4096)
    mark[:4] = b"LATE"
    async with pair() as both:
        [old] = both.worker_pair._pieces[0]
        old_answers = both.session._answers
        both.server._sessions[0]._wire.close()
        await until(lambda: len(both.events.writers) == 2 and both.server.lanes)

        late, lane = both.worker_pair, both.server.lanes[0]
        late.prepare(0, [dataclasses.replace(old, address=address_of(mark))])
        late.post(0, 4, 0)
        assert bytes(old_answers[:4]) == bytes(4)
        await until(lambda: lane.end_reason)
        assert "no such memory, or not for us" in str(lane.end_reason)

        await until(lambda: len(both.events.writers) == 3 and both.server.lanes)
        live = both.worker_pair
        [good] = live._pieces[0]
        live.prepare(0, [dataclasses.replace(good, address=address_of(mark))])
        live.post(0, 4, 0)
        assert bytes(both.session._answers[:4]) == b"LATE", "or this test could not see an overwrite"


async def test_a_new_model_makes_the_lane_come_back() -> None:
    async with pair() as both:
        both.send(1)
        await until(lambda: both.server.lanes[0].statistics().announced)
        lane = both.server.lanes[0]
        new = dataclasses.replace(CARD, name="next")
        both.server.set_card(new)
        taken = lane.take()
        assert taken
        lane.answer(taken, AnswerCode.OK, NO_ROWS, 0, 0)
        await until(lambda: len(both.events.writers) == 2)
        assert both.events.tasks_answered == [1]
        assert "changed its model" in both.events.losses[0][1]
        assert both.events.writers[1].card == new
        with pytest.raises(LaneError, match="shorter one"):
            both.server.set_card(ModelCard("n" * 33, "yolox", 16, 8, ("a",)))


async def test_draining_waits_for_answers_at_either_end() -> None:
    async with pair() as both:
        both.send(1)
        await until(lambda: both.server.lanes[0].statistics().announced)
        lane = both.server.lanes[0]
        draining = asyncio.create_task(both.server.drain(5))
        await until(lambda: both.link._session is None or both.link._session._retiring)
        taken = lane.take()
        assert taken
        lane.answer(taken, AnswerCode.OK, NO_ROWS, 0, 0)
        assert await draining == 0
        assert both.events.tasks_answered == [1]
        assert "draining" in both.events.losses[0][1]
    async with pair() as both:
        both.send(1)
        assert await both.link.drain(0.05) == 1
        assert both.link.writer
        assert both.link.writer.loan(Priority.HIGH) is None


async def test_a_bug_in_the_workers_loop_goes_out_through_run() -> None:
    def broken(lane: object) -> None:
        raise ZeroDivisionError

    fabric, events = FakeFabric(), Recorder()
    anywhere = rdma().model_copy(update={"address": "127.0.0.1:0"})
    server = RdmaServer(anywhere, CARD, OPTIONS, broken, fabric, HostMemory)
    serving = asyncio.create_task(server.run())
    await server.listening.wait()
    link = RdmaLink(rdma(address=f"127.0.0.1:{server.port}"), OPTIONS, events, fabric)
    linking = asyncio.create_task(link.run())
    await until(lambda: link.writer)
    Pair(server, link, fabric, events).send(1)
    await asyncio.wait({serving})
    linking.cancel()
    await asyncio.wait({linking})
    error = serving.exception()
    assert isinstance(error, ExceptionGroup)
    assert error.subgroup(ZeroDivisionError)


async def test_notices_of_slots_that_are_not_there_end_the_lane() -> None:
    async with pair() as both:
        lane = both.server.lanes[0]
        both.worker_pair.complete(Completion(pack_notice(4000, 1)))
        await until(lambda: lane.end_reason)
        assert "slot 4000, which there is not" in str(lane.end_reason)


def test_without_pyverbs_the_operator_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyverbs", None)
    monkeypatch.delitem(sys.modules, "pipelines.transport.rdma_pyverbs", raising=False)
    with pytest.raises(LaneError, match="python3-pyverbs"):
        device_verbs(rdma())
