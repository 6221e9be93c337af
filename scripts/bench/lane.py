"""What a shared-memory lane costs, against bare copies of the same bytes.

    python scripts/bench/lane.py [--tasks N]

Two processes. This one is the DPU: a pump thread loans, copies a picture into the slot and publishes, at most
`in_flight` at a time; the event loop receives the answers. The other is a worker that copies each payload out (what a
batch gather does) and answers with top_k rows. Round trip: from before the loan to the answer in the loop, both copies
included. Bare: the same two copies, in and out, through as many buffers, in one thread with nothing between them.
Lane and bare runs alternate, so that a change of the machine's mood meets both.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
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
from scripts.bench.record import percentiles, record

SIZES_WH = ((640, 640), (416, 256))
ROUNDS = 5
OPTIONS = LaneOptions(slots=16, reserved_high=0, reserved_normal=0, connect_backoff_max_s=0.05)


def card(wh: tuple[int, int]) -> ModelCard:
    return ModelCard("bench", "null", wh[0], wh[1], ("person",), top_k=100)


def worker(path: Path, wh: tuple[int, int]) -> None:
    """Until killed. `started_ns` of an answer carries this process's CPU time so far."""
    batch = np.empty(card(wh).payload_bytes, np.uint8)
    rows = np.zeros((100, 6), np.float32)

    def serve(lane: LaneReader) -> None:
        while (taken := lane.take()) is not None:
            np.copyto(batch, taken.payload)
            lane.answer(taken, AnswerCode.OK, rows, time.process_time_ns(), 0)

    asyncio.run(ShmServer(path, card(wh), OPTIONS, serve).run())


class Dpu:
    """LaneEvents that measure."""

    def __init__(self) -> None:
        self.writer: asyncio.Future[SlotWriter] = asyncio.get_running_loop().create_future()
        self.started_ns: dict[int, int] = {}
        self.round_trips_us: list[float] = []
        self.worker_cpu_ns: list[int] = []
        self.permits = threading.Semaphore(0)
        self.done = asyncio.Event()
        self.wanted = 0

    def attached(self, writer: SlotWriter) -> None:
        self.writer.set_result(writer)

    def answered(self, answer: Answer) -> None:
        self.round_trips_us.append((time.monotonic_ns() - self.started_ns.pop(answer.task)) / 1e3)
        self.worker_cpu_ns.append(answer.started_ns)
        self.permits.release()
        if len(self.round_trips_us) == self.wanted:
            self.done.set()

    def lost(self, tasks: Sequence[int], reason: str) -> None:
        assert not tasks, reason


def pump(dpu: Dpu, writer: SlotWriter, picture: U8, tasks: range) -> None:
    fit = Letterbox(1920, 1080, 640, 640, 0, 140, 640, 360)
    for task in tasks:
        dpu.permits.acquire()
        dpu.started_ns[task] = time.monotonic_ns()
        slot = writer.loan(Priority.NORMAL)
        assert slot is not None
        np.copyto(slot.payload, picture)
        header = SlotHeader(
            task, "camera-17", "bench", 1, 2, Priority.NORMAL, fit, ColorRange.LIMITED, ColorMatrix.BT709, picture.size
        )
        assert writer.publish(slot, header)


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


async def measure(dpu: Dpu, in_flight: int, tasks: int, picture: U8) -> dict[str, object]:
    """Alternate lane and bare rounds; one line's figures."""
    writer = await dpu.writer
    buffers = [np.zeros_like(picture) for _ in range(in_flight)]
    out = np.zeros_like(picture)
    trips, bares, wall_s, cpu_s, worker_s = [], [], 0.0, 0.0, 0.0
    for each in range(-1, ROUNDS):  # the first is for warming up
        first = each * tasks + tasks
        dpu.round_trips_us, dpu.worker_cpu_ns, dpu.wanted = [], [], tasks
        dpu.done.clear()
        dpu.permits = threading.Semaphore(in_flight)
        thread = threading.Thread(target=pump, args=(dpu, writer, picture, range(first, first + tasks)), name="pump")
        wall, cpu = time.monotonic(), time.process_time()
        thread.start()
        await dpu.done.wait()
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        thread.join()
        bare_us = bare(picture, buffers, out, tasks)
        if each >= 0:
            wall_s, cpu_s = wall_s + wall, cpu_s + cpu
            worker_s += (dpu.worker_cpu_ns[-1] - dpu.worker_cpu_ns[0]) / 1e9
            trips += dpu.round_trips_us
            bares += bare_us
    total = tasks * ROUNDS
    bare_mean_us = sum(bares) / total
    return {
        "payload_bytes": int(picture.size),
        "in_flight": in_flight,
        "round_trip_us": percentiles(trips),
        "per_task_us": round(wall_s / total * 1e6, 1),
        "dpu_cpu_per_task_us": round(cpu_s / total * 1e6, 1),
        "worker_cpu_per_task_us": round(worker_s / total * 1e6, 1),
        "bare_write_read_us": percentiles(bares),
        "bare_mean_us": round(bare_mean_us, 1),
        "per_task_over_bare": round(wall_s / total * 1e6 / bare_mean_us, 2),
    }


async def run(path: Path, wh: tuple[int, int], tasks: int) -> None:
    picture = np.random.default_rng(1).integers(0, 256, card(wh).payload_bytes, np.uint8)
    dpu = Dpu()
    link = asyncio.create_task(ShmLink(path, OPTIONS, dpu).run())
    for in_flight in (1, 8, 16):
        record("lane", tasks * ROUNDS, await measure(dpu, in_flight, tasks, picture))
    link.cancel()
    await asyncio.wait({link})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=2000, help="tasks per round (5 rounds per line)")
    parser.add_argument("--worker", nargs=3, metavar=("PATH", "W", "H"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(Path(args.worker[0]), (int(args.worker[1]), int(args.worker[2])))
        return
    for wh in SIZES_WH:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "worker.sock"
            command = [sys.executable, __file__, "--worker", str(path), str(wh[0]), str(wh[1])]
            process = subprocess.Popen(command)
            try:
                asyncio.run(run(path, wh, args.tasks))
            finally:
                process.kill()
                process.wait()


if __name__ == "__main__":
    main()
