"""Attach, refusals, reload, drain, loss: link and server in one loop, or one of them against a hand-made peer."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import socket
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pipelines.contracts import Taken
from pipelines.transport import handshake, memory, seqpacket
from pipelines.transport.message import (
    VERSION,
    Attach,
    Kind,
    Welcome,
    decode_refused,
    encode,
    parse_signals,
    signal,
    signals,
)
from pipelines.transport.options import LaneOptions
from pipelines.transport.reader import NO_ROWS, LaneReader
from pipelines.transport.region import RegionLayout
from pipelines.transport.ring import Ring
from pipelines.transport.shm import ShmLink, ShmServer
from pipelines.transport.writer import LaneWriter
from pipelines.values import AnswerCode, Priority
from tests.contracts.lane import Recorder, ShmLane, until
from tests.unit.transport.values import CARD, header

FAST = LaneOptions(
    slots=4, reserved_high=0, reserved_normal=0, connect_backoff_s=0.001, connect_backoff_max_s=0.002, max_lanes=3
)
OTHER = dataclasses.replace(CARD, name="other", input_w=32)


@pytest.fixture
async def lane(tmp_path: Path) -> AsyncIterator[ShmLane]:
    lane = ShmLane(FAST, tmp_path)
    await lane.start()
    yield lane
    await lane.stop()


@asynccontextmanager
async def running(*coroutines: Coroutine[object, object, None]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(one) for one in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            assert task.cancelled() or task.exception() is None


async def attached_by_hand(listener: socket.socket) -> tuple[socket.socket, LaneReader]:
    """A worker that attaches as it should; what it does then is the test's."""
    sock = await seqpacket.accept(listener)
    mapped = await handshake.accept(sock, CARD, FAST)
    handshake.confirm(sock)
    reader = LaneReader(mapped, CARD, lambda slot, generation: None)
    return sock, reader


def publish(writer: LaneWriter, task: int) -> bool:
    slot = writer.loan(Priority.NORMAL)
    return slot is not None and writer.publish(slot, header(task))


def closed(writer: LaneWriter) -> bool:
    """It lends no more."""
    if (slot := writer.loan(Priority.HIGH)) is not None:
        writer.discard(slot)
    return slot is None


async def taken_from(lane: LaneReader) -> Taken:
    found: list[Taken] = []

    def got() -> bool:
        found.extend(taken for taken in [lane.take()] if taken)
        return bool(found)

    await until(got)
    return found[0]


# --- the link against a peer that is wrong --------------------------------------------------------------------------


async def test_no_worker_is_tried_again_until_there_is_one(tmp_path: Path) -> None:
    events, path = Recorder(), tmp_path / "worker.sock"
    link = ShmLink(path, FAST, events)
    async with running(link.run()):
        await until(lambda: link.statistics().failures >= 2)
        assert link.statistics().reason == f"no worker at {path}: No such file or directory"
        assert link.writer is None
        async with running(ShmServer(path, CARD, FAST, lambda lane: None).run()):
            await until(lambda: link.writer)
    assert events.writers == [*events.writers[:1]]
    assert [tasks for tasks, _ in events.losses] == [()]


@pytest.mark.parametrize(
    ("first_words", "says"),
    [
        (b'\x01{"version": 7}', "version 7 of the lane protocol, this side version 2: install the same"),
        (b"HTTP/1.1 400", "does not speak this protocol"),
        (signal(Kind.PONG), "does not speak this protocol"),
        (encode(Welcome(VERSION, dataclasses.replace(CARD, input_w=1 << 40), 4)), "no memory for a lane"),
        (None, "closed the connection"),
    ],
)
async def test_a_wrong_worker_is_named(tmp_path: Path, first_words: bytes | None, says: str) -> None:
    events = Recorder()
    link = ShmLink(tmp_path / "worker.sock", FAST, events)
    with seqpacket.listen(tmp_path / "worker.sock") as listener:
        async with running(link.run()):
            with await seqpacket.accept(listener) as sock:
                if first_words:
                    sock.send(first_words)
                else:
                    sock.close()
                await until(lambda: says in link.statistics().reason)
    assert (events.writers, events.losses) == ([], [])


async def test_a_refusal_reaches_the_dpu_as_a_sentence(tmp_path: Path) -> None:
    options = FAST.model_copy(update={"max_lanes": 0})
    events, path = Recorder(), tmp_path / "worker.sock"
    server, link = ShmServer(path, CARD, options, lambda lane: None), ShmLink(path, FAST, events)
    async with running(server.run(), link.run()):
        await until(lambda: "the worker refused: this worker has its 0 lanes" in link.statistics().reason)
    assert server.statistics().refused >= 1


async def test_a_silent_worker_is_lost(tmp_path: Path) -> None:
    """It holds the connection open and takes; it never answers a ping."""
    options = FAST.model_copy(update={"ping_interval_s": 0.01, "ping_timeout_s": 0.05})
    events = Recorder()
    link = ShmLink(tmp_path / "worker.sock", options, events)
    with seqpacket.listen(tmp_path / "worker.sock") as listener:
        async with running(link.run()):
            sock, _ = await attached_by_hand(listener)
            with sock:
                await until(lambda: link.writer)
                assert link.writer
                assert publish(link.writer, 7)
                await until(lambda: events.losses)
    assert events.losses[0][0] == (7,)
    assert "silent for 0." in events.losses[0][1]


async def test_a_worker_with_nothing_to_do_is_not_silent(tmp_path: Path) -> None:
    lane = ShmLane(FAST.model_copy(update={"ping_interval_s": 0.02, "ping_timeout_s": 0.4}), tmp_path)
    await lane.start()
    until_s = asyncio.get_running_loop().time() + 0.5
    await until(lambda: asyncio.get_running_loop().time() > until_s)
    assert lane.events.losses == []
    await lane.stop()


async def test_a_late_loop_of_ours_is_not_the_workers_silence(tmp_path: Path) -> None:
    """What the worker said meanwhile lies in the socket: it is read before the verdict."""
    options, events = FAST.model_copy(update={"ping_timeout_s": 0.05}), Recorder()
    link = ShmLink(tmp_path / "worker.sock", options, events)
    with seqpacket.listen(tmp_path / "worker.sock") as listener:
        async with running(link.run()):
            sock, _ = await attached_by_hand(listener)
            with sock:
                await until(lambda: link.writer)
                session = link._session
                assert session
                ends = []
                for words in (signal(Kind.PONG), None):
                    if words:
                        sock.send(words)
                    time.sleep(0.06)  # noqa: ASYNC251 - the loop is to be late
                    session._check_end()
                    ends.append(session._over)
    assert ends[0] is None
    assert ends[1]
    assert "silent for 0." in ends[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (signal(Kind.PUBLISHED, 0, 1), "kind 16, which does not belong here"),
        (b"\x11", "bytes where a message of"),
        (bytes([Kind.CARD]) + b"{}", "CARD cannot be read"),
        (signal(Kind.ANSWERED, 0, 1), "holds no answer"),
    ],
)
async def test_a_worker_that_breaks_the_rules_is_left(tmp_path: Path, words: bytes, says: str) -> None:
    events = Recorder()
    link = ShmLink(tmp_path / "worker.sock", FAST, events)
    with seqpacket.listen(tmp_path / "worker.sock") as listener:
        async with running(link.run()):
            sock, _ = await attached_by_hand(listener)
            with sock:
                await until(lambda: link.writer)
                assert link.writer
                first = link.writer
                slots = [first.loan(Priority.NORMAL) for _ in range(4)]
                assert first.publish(next(s for s in slots if s and s.index == 0), header(5))
                sock.send(words)
                await until(lambda: events.losses)
                assert events.losses[0][0] == (5,)
                assert says in events.losses[0][1]
                assert first.statistics().imbalance == 0


async def test_a_bug_in_events_comes_out_of_run(tmp_path: Path) -> None:
    class Broken(Recorder):
        def answered(self, answer: object) -> None:
            raise ZeroDivisionError

    events, path = Broken(), tmp_path / "worker.sock"
    server, link = ShmServer(path, CARD, FAST, lambda lane: None), ShmLink(path, FAST, events)
    async with running(server.run()):
        linking = asyncio.create_task(link.run())
        await until(lambda: link.writer and server.lanes)
        assert link.writer
        assert publish(link.writer, 1)
        server.lanes[0].answer(await taken_from(server.lanes[0]), AnswerCode.OK, NO_ROWS, 0, 0)
        with pytest.raises(ZeroDivisionError):
            await linking
    assert len(events.losses) == 1


async def test_a_full_socket_is_a_full_ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EAGAIN at the doorbell: the slot is rolled back, and all goes on when the reader reads."""
    monkeypatch.setattr(
        seqpacket, "size_send_buffer", lambda sock, slots: sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 0)
    )
    lane = ShmLane(FAST.model_copy(update={"slots": 64}), tmp_path)
    await lane.start()
    sent = 0
    while publish(lane.writer, sent):
        sent += 1
    figures = lane.writer.statistics()
    assert 0 < sent < 64, "the socket was full before the ring"
    assert (figures.published, figures.rolled_back, figures.refused_full, figures.free) == (sent, 1, 1, 64 - sent)
    assert figures.imbalance == 0
    for _ in range(sent):
        lane.reader.answer(await taken_from(lane.reader), AnswerCode.OK, NO_ROWS, 0, 0)
        await until(lambda: lane.writer.statistics().in_flight == sent - len(lane.events.answers))
    assert publish(lane.writer, 99)
    assert (await taken_from(lane.reader)).header.task == 99
    await lane.stop()
    assert lane.events.tasks_answered == list(range(sent))


# --- the server against a peer that is wrong ------------------------------------------------------------------------

LAYOUT = RegionLayout(4, CARD.payload_bytes, CARD.top_k)
GOOD = Attach(VERSION, 1, 4, CARD.payload_bytes, CARD.top_k)


@pytest.mark.parametrize(
    ("words", "files", "says"),
    [
        (encode(dataclasses.replace(GOOD, version=9)), 2, "DPU process speaks version 9"),
        (encode(dataclasses.replace(GOOD, slots=0)), 2, "0 slots asked for; this worker allows 1..1024"),
        (encode(dataclasses.replace(GOOD, slots=5000)), 2, "5000 slots asked for"),
        (encode(dataclasses.replace(GOOD, payload_bytes=1)), 2, "slots of 1 bytes and 4 rows do not fit model tiny"),
        (encode(dataclasses.replace(GOOD, slots=1000)), 2, "expected two files of"),
        (encode(GOOD), 1, "expected two files of"),
        (encode(GOOD), 0, "expected two files of"),
        (b"hello", 0, "does not speak this protocol"),
    ],
)
async def test_a_wrong_dpu_process_is_told_why(tmp_path: Path, words: bytes, files: int, says: str) -> None:
    path = tmp_path / "worker.sock"
    server = ShmServer(path, CARD, FAST, lambda lane: None)
    mapped, fds = memory.create(LAYOUT, 1)
    async with running(server.run()):
        await server.listening.wait()
        before = len(os.listdir("/proc/self/fd"))
        with seqpacket.make_socket() as sock:
            sock.connect(str(path))
            await seqpacket.receive(sock, 5)
            seqpacket.send_with_files(sock, words, fds[:files])
            reply, _ = await seqpacket.receive(sock, 5)
        assert says in decode_refused(reply).reason
        await until(lambda: server.statistics().refused == 1)
        assert says in server.statistics().reason
        assert len(os.listdir("/proc/self/fd")) == before, "descriptors of refused peers are closed"
    memory.close(fds)
    del mapped


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (signal(Kind.PUBLISHED, 4, 1), "announced slot 4"),
        (signal(Kind.ANSWERED, 0, 1), "kind 17"),
        (b"nonsense", "8 bytes where a message of"),
        (signal(Kind.PUBLISHED, 1, 1), "holds no header"),
    ],
)
async def test_a_dpu_process_that_breaks_the_rules_is_left(tmp_path: Path, words: bytes, says: str) -> None:
    path = tmp_path / "worker.sock"
    lanes: list[LaneReader] = []

    def take(lane: LaneReader) -> None:
        lanes.append(lane)
        lane.take()

    server = ShmServer(path, CARD, FAST, take)
    async with running(server.run()):
        await server.listening.wait()
        with seqpacket.make_socket() as sock:
            sock.connect(str(path))
            await handshake.attach(sock, FAST)
            sock.send(words)
            await until(lambda: says in server.statistics().reason)
            assert server.lanes == ()


@pytest.mark.parametrize(("later", "messages"), [(False, 4), (True, 1)])
async def test_answers_travel_together(tmp_path: Path, later: bool, messages: int) -> None:
    """All in one message when they come in one turn, as after a batch; by quarters from a worker that answers where it
    is told of the slots, so that the pumps fill the first ones while it serves the others."""
    path, options = tmp_path / "worker.sock", FAST.model_copy(update={"slots": 16})

    def answer(lane: LaneReader) -> None:
        while (taken := lane.take()) is not None:
            lane.answer(taken, AnswerCode.OK, NO_ROWS, 0, 0)

    def collect(lane: LaneReader) -> None:
        if later:
            asyncio.get_running_loop().call_later(0, answer, lane)
        else:
            answer(lane)

    async with running(ShmServer(path, CARD, options, collect).run()):
        await until(path.exists)
        with seqpacket.make_socket() as sock:
            sock.connect(str(path))
            card, mapped = await handshake.attach(sock, options)
            writer = LaneWriter(mapped, card, Ring(16), lambda slot, generation: True, False)
            pairs = []
            for task in range(8):
                slot = writer.loan(Priority.NORMAL)
                assert slot
                writer.publish(slot, header(task))
                pairs.append((slot.index, slot.generation))
            sock.send(signals(Kind.PUBLISHED, pairs))
            told = []
            for _ in range(messages):
                data, _ = await seqpacket.receive(sock, 5)
                kind, some = parse_signals(data)
                assert kind == Kind.ANSWERED
                told.append(list(some))
            assert [len(some) for some in told] == [8 // messages] * messages
            assert [pair for some in told for pair in some] == pairs
            for pair in pairs:
                assert writer.answered(*pair)


async def test_answers_given_before_a_stop_still_go_out(lane: ShmLane) -> None:
    publish(lane.writer, 1)
    lane.reader.answer(await taken_from(lane.reader), AnswerCode.OK, NO_ROWS, 0, 0)
    lane._serving.cancel()
    await until(lambda: lane.events.losses)
    assert lane.events.tasks_answered == [1]
    assert lane.events.losses[0][0] == ()


async def test_a_double_announcement_ends_the_lane(lane: ShmLane) -> None:
    publish(lane.writer, 1)
    taken = await taken_from(lane.reader)
    seqpacket.send(lane.link_socket(), signal(Kind.PUBLISHED, taken.index, taken.generation))
    await until(lambda: lane.events.losses)
    assert f"announced slot {taken.index}, which it does not hold" in lane.server.statistics().reason


async def test_a_bug_in_the_worker_loop_comes_out_of_run(tmp_path: Path) -> None:
    def broken(lane: LaneReader) -> None:
        raise ZeroDivisionError

    path, events = tmp_path / "worker.sock", Recorder()
    server, link = ShmServer(path, CARD, FAST, broken), ShmLink(path, FAST, events)
    serving = asyncio.create_task(server.run())
    await server.listening.wait()
    async with running(link.run()):
        await until(lambda: link.writer)
        assert link.writer
        publish(link.writer, 1)
        with pytest.raises(ExceptionGroup) as caught:
            await serving
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)
    assert not path.exists()


# --- reload, drain, many lanes --------------------------------------------------------------------------------------


async def test_a_new_model_brings_the_lane_back_with_its_card(lane: ShmLane) -> None:
    """What is in flight is answered by the old lane first."""
    old_writer, old_reader = lane.writer, lane.reader
    publish(old_writer, 1)
    taken = await taken_from(old_reader)
    lane.server.set_card(CARD)
    lane.server.set_card(OTHER)
    await until(lambda: closed(old_writer))
    assert lane.events.losses == []
    old_reader.answer(taken, AnswerCode.OK, NO_ROWS, 0, 0)
    await until(lambda: len(lane.events.writers) == 2)
    assert lane.writer.card == OTHER
    assert lane.server.lanes[0].card == OTHER
    assert lane.events.losses == [((), "the worker changed its model")]
    assert lane.events.tasks_answered == [1]


async def test_a_worker_that_never_answers_cannot_hold_up_a_reload(tmp_path: Path) -> None:
    lane = ShmLane(FAST.model_copy(update={"retire_timeout_s": 0.05}), tmp_path)
    await lane.start()
    publish(lane.writer, 1)
    lane.server.set_card(OTHER)
    await until(lambda: len(lane.events.writers) == 2)
    assert lane.events.losses == [((1,), "the worker changed its model")]
    await lane.stop()


async def test_a_card_that_cannot_travel_changes_nothing(lane: ShmLane) -> None:
    with pytest.raises(Exception, match="longer than 32 bytes: give it a shorter one"):
        lane.server.set_card(dataclasses.replace(CARD, name="x" * 33))
    assert publish(lane.writer, 1)


async def test_a_draining_worker_gets_its_answers_out(lane: ShmLane) -> None:
    publish(lane.writer, 1)
    taken = await taken_from(lane.reader)
    draining = asyncio.create_task(lane.server.drain(5))
    await until(lambda: closed(lane.writer))
    assert not draining.done()
    lane.reader.answer(taken, AnswerCode.LATE, NO_ROWS, 0, 0)
    assert await draining == 0
    assert lane.events.losses == [((), "the worker is draining")]
    assert [(a.task, a.code) for a in lane.events.answers] == [(1, AnswerCode.LATE)]


async def test_a_draining_link_waits_for_what_is_out(lane: ShmLane) -> None:
    publish(lane.writer, 1)
    taken = await taken_from(lane.reader)
    assert await lane.link.drain(0.02) == 1
    draining = asyncio.create_task(lane.link.drain(5))
    lane.reader.answer(taken, AnswerCode.OK, NO_ROWS, 0, 0)
    assert await draining == 0
    assert lane.writer.loan(Priority.HIGH) is None
    assert lane.events.tasks_answered == [1]


async def test_several_dpu_processes_share_a_worker_up_to_its_limit(tmp_path: Path) -> None:
    path, events = tmp_path / "worker.sock", [Recorder() for _ in range(4)]
    server = ShmServer(path, CARD, FAST, lambda lane: None)
    links = [ShmLink(path, FAST, one) for one in events]
    async with running(server.run(), *(link.run() for link in links)):
        await until(lambda: sum(bool(link.writer) for link in links) == 3 and server.statistics().refused)
        attached = [link for link in links if link.writer]
        for number, link in enumerate(attached):
            assert link.writer
            assert publish(link.writer, number)
        tasks = {(await taken_from(lane)).header.task for lane in server.lanes}
        assert tasks == {0, 1, 2}
    assert {lane.name for lane in server.lanes} == set()


async def test_attaching_again_and_again_leaves_nothing_behind(lane: ShmLane) -> None:
    def held() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), Path("/proc/self/maps").read_text().count("memfd:framegate-")

    shm = set(os.listdir("/dev/shm"))
    before = held()
    for task in range(20):
        publish(lane.writer, task)
        await lane.lose()
        await lane.attach_again()
        lane.events.writers[:-1] = []
    assert held() == before
    assert set(os.listdir("/dev/shm")) == shm, "no names, so nothing to clean up after a crash"


async def test_memory_goes_with_the_last_loan_of_a_lost_lane(lane: ShmLane) -> None:
    def mappings() -> int:
        return Path("/proc/self/maps").read_text().count("memfd:framegate-")

    slot = lane.writer.loan(Priority.NORMAL)
    assert slot
    before = mappings()
    await lane.lose()
    assert mappings() == before - 2, "the worker's two are gone; the writer keeps both until the loan is back"
    slot.payload[:] = 1
    lane.writer.discard(slot)
    del slot
    assert mappings() == before - 4
