"""A shared-memory lane between real processes, either of which may be killed or stopped at any moment."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import threading
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pipelines.contracts import SlotWriter, Taken
from pipelines.transport.answer import MAGIC
from pipelines.transport.layout import Buffer
from pipelines.transport.reader import NO_ROWS, LaneReader
from pipelines.transport.shm import ShmLink, ShmServer
from pipelines.transport.writer import LaneWriter
from pipelines.values import AnswerCode, Priority
from tests.contracts.lane import Recorder, until
from tests.contracts.lane_peer import OPTIONS, echo
from tests.unit.transport.values import CARD, header

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def peer(role: str, path: Path) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.contracts.lane_peer", role, str(path), cwd=ROOT, stdin=PIPE, stdout=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def running(link_or_server: ShmLink | ShmServer) -> AsyncIterator[None]:
    task = asyncio.create_task(link_or_server.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def says(process: Process, word: str) -> None:
    assert process.stdout
    async with asyncio.timeout(20):
        assert (await process.stdout.readline()).decode().startswith(word)


class Pump(threading.Thread):
    """A camera's thread that publishes whenever a worker is there, and knows what it handed over."""

    def __init__(self, link: ShmLink, first_task: int) -> None:
        super().__init__(name=f"pump[{first_task}]")
        self._link, self._task = link, first_task
        self._stopped = threading.Event()
        self.published: list[int] = []

    def run(self) -> None:
        while not self._stopped.is_set():
            writer = self._link.writer
            slot = writer.loan(Priority.NORMAL) if writer else None
            if writer is None or slot is None:
                time.sleep(0.0001)  # not to starve the loop of the interpreter
                continue
            slot.payload[:] = self._task % 251
            if writer.publish(slot, header(self._task)):
                self.published.append(self._task)
            self._task += 1

    def stop(self) -> None:
        self._stopped.set()
        self.join()


async def test_a_killed_worker_costs_what_it_held_and_nothing_else(tmp_path: Path) -> None:
    """kill -9 at seeded random moments under load: every task handed over is answered or lost, once."""
    events, path, rng = Recorder(), tmp_path / "worker.sock", random.Random(7)
    link = ShmLink(path, OPTIONS, events)
    pumps = [Pump(link, number * 1_000_000) for number in (1, 2)]
    async with running(link):
        for pump in pumps:
            pump.start()
        for answers in (0, rng.randrange(300), rng.randrange(300), rng.randrange(2000)):
            wanted = len(events.answers) + answers
            async with peer("echo", path) as worker:
                await until(lambda: path.exists())
                await until(lambda: len(events.answers) >= wanted)  # noqa: B023
                attached = link.writer
                worker.send_signal(signal.SIGKILL)
                await worker.wait()
                await until(lambda: link.writer is not attached or not attached)  # noqa: B023
                path.unlink()
        for pump in pumps:
            pump.stop()
    published = pumps[0].published + pumps[1].published
    assert sorted(events.tasks_answered + events.tasks_lost) == sorted(published)
    assert all(a.code is AnswerCode.OK and a.rows[0, 0] == a.task for a in events.answers)
    assert len(events.losses) == len(events.writers) >= 3
    for writer in events.writers:
        assert isinstance(writer, LaneWriter)
        figures = writer.statistics()
        assert (figures.imbalance, figures.in_flight, figures.free) == (0, 0, OPTIONS.slots)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_killed_dpu_process_ends_its_lane_alone(tmp_path: Path, seed: int) -> None:
    path, rng = tmp_path / "worker.sock", random.Random(seed)
    held: dict[str, Taken] = {}
    seen: dict[str, LaneReader] = {}

    def keep_one_and_echo(lane: LaneReader) -> None:
        seen[lane.name] = lane
        if lane.name not in held and (taken := lane.take()) is not None:
            held[lane.name] = taken
        echo(lane)

    server = ShmServer(path, CARD, OPTIONS, keep_one_and_echo)
    async with running(server):
        await server.listening.wait()
        async with peer("dpu", path) as first, peer("dpu", path):
            await until(lambda: len(held) == 2)
            moment = rng.randrange(500)
            await until(lambda: all(lane.statistics().answered > moment for lane in seen.values()))
            first.send_signal(signal.SIGKILL)
            await until(lambda: len(server.lanes) == 1)
            [ended] = [lane for lane in seen.values() if lane.end_reason]
            figures = ended.statistics()
            assert figures.announced == figures.answered + figures.dropped
            assert (figures.pending, figures.in_hand) == (0, 0)
            kept = held[ended.name]
            assert kept.payload.tolist() == [kept.header.task % 251] * CARD.payload_bytes
            ended.answer(kept, AnswerCode.OK, NO_ROWS, 0, 0)
            [alive] = server.lanes
            more = alive.statistics().answered + 500
            await until(lambda: alive.statistics().answered > more)


async def test_a_hung_old_worker_writes_into_its_own_old_memory(tmp_path: Path) -> None:
    """Stopped with a task in hand, replaced, woken: its late answer reaches neither the new lane nor its memory."""
    events, path = Recorder(), tmp_path / "worker.sock"
    link = ShmLink(path, OPTIONS, events)
    async with running(link), peer("hold", path) as old:
        await until(lambda: link.writer)
        publish(link.writer, 1)
        await says(old, "taken")
        old_answers = answers(link.writer)
        old.send_signal(signal.SIGSTOP)
        await until(lambda: events.losses)
        assert events.losses[0][0] == (1,)
        assert "silent for" in events.losses[0][1]

        new = ShmServer(path, CARD, OPTIONS, lambda lane: None)
        async with running(new):
            await until(lambda: link.writer and new.lanes)
            publish(link.writer, 2)
            old.send_signal(signal.SIGCONT)
            tell(old)
            await says(old, "answered, lane the peer is gone")
            assert bytes(old_answers).count(MAGIC) == 1, "it did write, and the old memory took it"
            assert not any(answers(link.writer)), "the new one did not"
            assert events.answers == []

            echo(new.lanes[0])
            await until(lambda: events.answers)
    assert events.tasks_answered == [2]
    assert events.tasks_lost == [1]
    assert [w.statistics().stale_answers for w in events.writers] == [0, 0]


def publish(writer: SlotWriter | None, task: int) -> None:
    assert writer
    slot = writer.loan(Priority.NORMAL)
    assert slot
    slot.payload[:] = task % 251
    assert writer.publish(slot, header(task))


def answers(writer: LaneWriter | None) -> Buffer:
    """The region of all answers."""
    assert writer
    return writer._areas[0].answer._buffer


def tell(process: Process) -> None:
    assert process.stdin
    process.stdin.write(b"answer\n")
