"""What a shared-memory lane costs, against bare copies of the same bytes.

    python scripts/bench/lane.py [--tasks N]

Two processes. This one is the DPU: it loans, copies a picture into the slot and publishes, at most `in_flight` at a
time; the event loop receives the answers. The other is a worker that copies each payload out (what a batch gather
does) and answers with top_k rows. `pump`: who publishes, a thread beside the loop as in the product (both then share
one interpreter), or the loop itself when an answer has come. Round trip: from before the loan to the answer in the
loop, both copies included. Bare: the same two copies, in and out, through as many buffers, in one thread with nothing
between them; these bytes never leave one core. Bare in two processes (lane_bare.py): the same copies between two
processes that spin on counters; these bytes go from one core to the other, as the lane's do. Lane and bare runs
alternate, so that a change of the machine's mood meets all. At normal priority: under SCHED_IDLE Linux was seen to wake
the worker on the core that rang for it, so that the two took turns while the other core idled.

Doorbell: from before `publish` to the worker's `take`, one task at a time with a pause before it, so that the worker
sleeps and its wake-up is within. Beside it, in turn, the same wake-up with nothing else: a byte over a socket to a
process that is blocked in read.
"""

from __future__ import annotations

import argparse
import asyncio
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.contracts import SlotWriter
from pipelines.transport.options import LaneOptions
from pipelines.transport.reader import LaneReader
from pipelines.transport.shm import ShmLink, ShmServer
from pipelines.values import (
    U8,
    Answer,
    AnswerCode,
    ColorMatrix,
    ColorRange,
    Letterbox,
    ModelCard,
    Priority,
    SlotHeader,
)
from scripts.bench.lane_bare import two_processes
from scripts.bench.record import percentiles, record

SIZES_WH = ((640, 640), (416, 256))
ROUNDS = 5
PAUSE_S = 0.002
MOST_APART = 500
"""Tasks of a round between two spinning processes: on a busy machine each may cost milliseconds."""
FOR_EVER_NS = 1 << 62
FIT = Letterbox(1920, 1080, 640, 640, 0, 140, 640, 360)
OPTIONS = LaneOptions(slots=16, reserved_high=0, reserved_normal=0, connect_backoff_max_s=0.05)


def card(wh: tuple[int, int]) -> ModelCard:
    return ModelCard("bench", "null", wh[0], wh[1], ("person",), top_k=100)


def worker(path: Path, wh: tuple[int, int]) -> None:
    """Until killed. `started_ns` of an answer carries this process's CPU time before it was woken for it."""
    batch = np.empty(card(wh).payload_bytes, np.uint8)
    rows = np.zeros((100, 6), np.float32)

    def serve(lane: LaneReader) -> None:
        spent_ns = time.process_time_ns()
        while (taken := lane.take()) is not None:
            np.copyto(batch, taken.payload)
            lane.answer(taken, AnswerCode.OK, rows, spent_ns, 0)

    asyncio.run(ShmServer(path, card(wh), OPTIONS, serve).run())


class Dpu:
    """LaneEvents that measure, and the publishing of tasks, `in_flight` at a time.

    What it does for each task is the lane's account too, so it notes four numbers and works on them afterwards.
    """

    def __init__(self, picture: U8) -> None:
        self.attach: asyncio.Future[SlotWriter] = asyncio.get_running_loop().create_future()
        self.writer: SlotWriter
        self.picture = picture
        self.sent_ns: dict[int, tuple[int, int]] = {}
        """Of each task that is out: before the loan, before the doorbell."""
        self.times: list[tuple[int, int, int, int, int]] = []
        """Of each answer: these two; when it was taken; the worker's CPU time; when the answer came. All ns."""
        self.done = asyncio.Event()
        self.on_answer: Callable[[], object] = lambda: None
        self.next_task = self.last_task = 0

    def attached(self, writer: SlotWriter) -> None:
        self.writer = writer
        self.attach.set_result(writer)

    def answered(self, answer: Answer) -> None:
        assert answer.code is AnswerCode.OK, answer.code
        sent_ns = self.sent_ns.pop(answer.task)
        self.times.append((*sent_ns, answer.taken_ns, answer.started_ns, time.monotonic_ns()))
        self.on_answer()
        if not self.sent_ns and self.next_task == self.last_task:
            self.done.set()

    def lost(self, tasks: Sequence[int], reason: str) -> None:
        assert not tasks, reason

    def publish(self) -> None:
        task, picture, writer = self.next_task, self.picture, self.writer
        started_ns = time.monotonic_ns()
        slot = writer.loan(Priority.NORMAL)
        assert slot is not None
        np.copyto(slot.payload, picture)
        header = SlotHeader(
            task,
            "camera-17",
            "bench",
            1,
            FOR_EVER_NS,
            Priority.NORMAL,
            FIT,
            ColorRange.LIMITED,
            ColorMatrix.BT709,
            picture.size,
        )
        self.sent_ns[task] = started_ns, time.monotonic_ns()
        self.next_task = task + 1  # not before: `answered` must not find all tasks sent and none out
        assert writer.publish(slot, header)

    async def serve(self, pump: str, in_flight: int, tasks: int) -> None:
        """Publish so many tasks, and wait until all are answered."""
        self.last_task = self.next_task + tasks
        self.times = []
        self.done.clear()
        if pump == "thread":
            # For a semaphore: the library's own is Python, and slow.
            permits: queue.SimpleQueue[None] = queue.SimpleQueue()
            self.on_answer = lambda: permits.put(None)
            for _ in range(in_flight):
                permits.put(None)
            thread = threading.Thread(target=self._pump, args=(permits,), name="pump")
            thread.start()
            await self.done.wait()
            thread.join()
            return
        self.on_answer = self._publish_next
        for _ in range(in_flight):
            self._publish_next()
        await self.done.wait()

    def _pump(self, permits: queue.SimpleQueue[None]) -> None:
        while self.next_task < self.last_task:
            permits.get()
            self.publish()

    def _publish_next(self) -> None:
        if self.next_task < self.last_task:
            self.publish()

    @property
    def round_trips_us(self) -> list[float]:
        return [(answered_ns - started_ns) / 1e3 for started_ns, _, _, _, answered_ns in self.times]

    @property
    def doorbells_us(self) -> list[float]:
        return [(taken_ns - rung_ns) / 1e3 for _, rung_ns, taken_ns, _, _ in self.times]

    @property
    def worker_cpu_s(self) -> float:
        """Between the first answer and the last."""
        return (self.times[-1][3] - self.times[0][3]) / 1e9


def bare(picture: U8, buffers: list[U8], out: U8, n: int) -> list[float]:
    """Microseconds of each write + read."""
    times = []
    for number in range(n):
        before_ns = time.monotonic_ns()
        buffer = buffers[number % len(buffers)]
        np.copyto(buffer, picture)
        np.copyto(out, buffer)
        times.append((time.monotonic_ns() - before_ns) / 1e3)
    return times


async def throughput(dpu: Dpu, pump: str, in_flight: int, tasks: int) -> dict[str, object]:
    """Alternate lane and bare rounds; one line's figures."""
    buffers = [np.zeros_like(dpu.picture) for _ in range(in_flight)]
    out = np.zeros_like(dpu.picture)
    trips, bares, ratios, apart_us, apart_ratios, wall_s, cpu_s, worker_s = [], [], [], [], [], 0.0, 0.0, 0.0
    with two_processes(dpu.picture.size, in_flight) as apart:
        for each in range(-1, ROUNDS):  # the first is for warming up
            wall, cpu = time.monotonic(), time.process_time()
            await dpu.serve(pump, in_flight, tasks)
            wall, cpu = time.monotonic() - wall, time.process_time() - cpu
            bare_us = bare(dpu.picture, buffers, out, tasks)
            one_us = apart.carry(dpu.picture, min(tasks, MOST_APART))
            if each >= 0:
                wall_s, cpu_s = wall_s + wall, cpu_s + cpu
                worker_s += dpu.worker_cpu_s
                trips += dpu.round_trips_us
                bares += bare_us
                ratios.append(wall * 1e6 / sum(bare_us))
                apart_us.append(one_us)
                apart_ratios.append(wall * 1e6 / tasks / one_us)
    total = tasks * ROUNDS
    bare_mean_us = sum(bares) / total
    return {
        "payload_bytes": int(dpu.picture.size),
        "in_flight": in_flight,
        "pump": pump,
        "round_trip_us": percentiles(trips),
        "per_task_us": round(wall_s / total * 1e6, 1),
        "dpu_cpu_per_task_us": round(cpu_s / total * 1e6, 1),
        "worker_cpu_per_task_us": round(worker_s / total * 1e6, 1),
        "bare_write_read_us": percentiles(bares),
        "bare_mean_us": round(bare_mean_us, 1),
        "per_task_over_bare": round(wall_s / total * 1e6 / bare_mean_us, 2),
        "rounds_over_bare": [round(ratio, 2) for ratio in sorted(ratios)],
        "bare_two_processes_us": [round(one_us, 1) for one_us in apart_us],
        "rounds_over_two_processes": [round(ratio, 2) for ratio in sorted(apart_ratios)],
    }


async def doorbell(dpu: Dpu, echo: socket.socket, n: int) -> dict[str, object]:
    """Latency of a doorbell to a sleeping worker, and of a bare wake-up, taken in turn."""
    bells, wakes = [], []
    for _ in range(n):
        await asyncio.sleep(PAUSE_S)
        await dpu.serve("loop", 1, 1)
        bells += dpu.doorbells_us
        await asyncio.sleep(PAUSE_S)
        before_ns = time.monotonic_ns()
        echo.send(b"?")
        wakes.append((int.from_bytes(echo.recv(8), "little") - before_ns) / 1e3)
    return {
        "payload_bytes": int(dpu.picture.size),
        "doorbell_asleep_us": percentiles(bells),
        "bare_wake_us": percentiles(wakes),
    }


def wake(fd: int) -> None:
    """The other process of the bare wake-up: says when it woke, until the socket closes."""
    with socket.socket(fileno=fd) as sock:
        while sock.recv(1):
            sock.send(time.monotonic_ns().to_bytes(8, "little"))


async def run(path: Path, wh: tuple[int, int], tasks: int, echo: socket.socket) -> None:
    picture = np.random.default_rng(1).integers(0, 256, card(wh).payload_bytes, np.uint8)
    dpu = Dpu(picture)
    link = asyncio.create_task(ShmLink(path, OPTIONS, dpu).run())
    await dpu.attach
    for pump in ("thread", "loop"):
        for in_flight in (1, 8, 16):
            record("lane", tasks * ROUNDS, await throughput(dpu, pump, in_flight, tasks))
    record("lane", tasks, await doorbell(dpu, echo, tasks))
    link.cancel()
    await asyncio.wait({link})


@contextmanager
def process(*arguments: str, fd: int | None = None) -> Iterator[None]:
    """This program once more, in another role; killed at the end."""
    started = subprocess.Popen([sys.executable, __file__, *arguments], pass_fds=[] if fd is None else [fd])
    try:
        yield
    finally:
        started.kill()
        started.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=2000, help="tasks per round (5 rounds per line)")
    parser.add_argument("--worker", nargs=3, metavar=("PATH", "W", "H"), help=argparse.SUPPRESS)
    parser.add_argument("--wake", type=int, metavar="FD", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return worker(Path(args.worker[0]), (int(args.worker[1]), int(args.worker[2])))
    if args.wake is not None:
        return wake(args.wake)
    for wh in SIZES_WH:
        with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
            path = Path(directory) / "worker.sock"
            here, there = (stack.enter_context(end) for end in socket.socketpair())
            stack.enter_context(process("--worker", str(path), str(wh[0]), str(wh[1])))
            stack.enter_context(process("--wake", str(there.fileno()), fd=there.fileno()))
            asyncio.run(run(path, wh, args.tasks, here))
    return None


if __name__ == "__main__":
    main()
