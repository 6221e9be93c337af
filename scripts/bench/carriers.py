"""What a task costs on each carrier, by the size of its payload: shared memory, and gRPC on this host's loopback.

    python scripts/bench/carriers.py [--rounds N]

Two processes as in scripts/bench/lane.py: a thread publishes, at most `in_flight` at a time, the event loop receives
the answers; the worker copies each payload out and answers 100 rows. Over gRPC the worker is the product's own server
of the Open Inference Protocol. Both carriers and the bare copies take turns, so that a change of the machine's mood
meets all of them. Loopback is the best network there is: on another host gRPC is slower by the wire.

RDMA is measured in the guests of scripts/rdma_vm, where speeds mean something as ratios only.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.contracts import Engine, SlotReader
from pipelines.errors import ModelError
from pipelines.transport.grpc_link import GrpcLink
from pipelines.transport.grpc_options import GrpcLaneOptions
from pipelines.transport.link import Link
from pipelines.transport.shm import ShmLink, ShmServer
from pipelines.values import AnswerCode
from pipelines.worker.options import BatchOptions
from pipelines.worker.serve.host import OwnHost
from pipelines.worker.serve.options import ServeOptions
from pipelines.worker.serve.server import InferenceServer
from scripts.bench.lane import OPTIONS, Dpu, bare, card
from scripts.bench.record import percentiles, record

Wh = tuple[int, int]
SIZES_WH: tuple[Wh, ...] = ((256, 168), (640, 640), (1632, 1634))
"""64.5 kB, 614 kB, 4.0 MB as I420."""
IN_FLIGHT = (1, 8)
BYTES_PER_ROUND = 120_000_000
MOST_TASKS, LEAST_TASKS = 400, 30
CLOCK_OF_PROCESS = 2
"""clock_getcpuclockid(3): the CPU clock of another process has the id (~pid << 3) | this."""


# --- the worker's side ---------------------------------------------------------------------------------------------


def answerer(wh: Wh) -> Callable[[SlotReader], None]:
    """Takes all there is: one copy out, 100 rows back."""
    batch, rows = np.empty(card(wh).payload_bytes, np.uint8), np.zeros((100, 6), np.float32)

    def serve(lane: SlotReader) -> None:
        while (taken := lane.take()) is not None:
            np.copyto(batch, taken.payload)
            lane.answer(taken, AnswerCode.OK, rows, 0, 0)

    return serve


def shm_worker(path: str, wh: Wh) -> None:
    """Until killed."""
    asyncio.run(ShmServer(Path(path), card(wh), OPTIONS, answerer(wh)).run())


def grpc_worker(port: str, wh: Wh) -> None:
    """Until killed."""
    options = ServeOptions.model_validate({"grpc": {"port": int(port)}})
    own = OwnHost(lambda: card(wh), 1, answerer(wh))
    asyncio.run(InferenceServer(options, own, _no_further, BatchOptions(), "0").run())


def _no_further(reference: str) -> Engine:
    raise ModelError(f"{reference}: there are no further models")


WORKERS = {"shm": shm_worker, "grpc": grpc_worker}


@contextmanager
def process(carrier: str, end: str, wh: Wh) -> Iterator[int]:
    """A worker's process id; killed at the end."""
    started = subprocess.Popen([sys.executable, __file__, "--worker", carrier, end, str(wh[0]), str(wh[1])])
    try:
        yield started.pid
    finally:
        started.kill()
        started.wait()


# --- the DPU's side ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Sum:
    """Of one carrier at one depth, over all rounds."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    worker_s: float = 0.0
    trips_us: list[float] = field(default_factory=list)
    over_bare: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Lane:
    """One carrier at work."""

    dpu: Dpu
    worker: int
    """Process id."""
    sums: dict[int, Sum]

    async def round(self, in_flight: int, tasks: int, keep: bool) -> None:
        """So many tasks, and as many bare copies."""
        buffers = [np.zeros_like(self.dpu.picture) for _ in range(in_flight)]
        before = time.monotonic(), time.process_time(), cpu_s(self.worker)
        await self.dpu.serve("thread", in_flight, tasks)
        after = time.monotonic(), time.process_time(), cpu_s(self.worker)
        copies_us = sum(bare(self.dpu.picture, buffers, np.zeros_like(self.dpu.picture), tasks))
        if not keep:
            return
        total = self.sums[in_flight]
        wall_s = after[0] - before[0]
        total.wall_s += wall_s
        total.cpu_s += after[1] - before[1]
        total.worker_s += after[2] - before[2]
        total.trips_us += self.dpu.round_trips_us
        total.over_bare.append(wall_s * 1e6 / copies_us)


def cpu_s(pid: int) -> float:
    return time.clock_gettime((~pid << 3) | CLOCK_OF_PROCESS)


async def measured(links: Mapping[str, tuple[Callable[[Dpu], Link[Any]], int]], wh: Wh, rounds: int) -> None:
    """One size: all carriers in turn; a line for each carrier and depth."""
    size = card(wh).payload_bytes
    tasks = int(min(MOST_TASKS, max(LEAST_TASKS, BYTES_PER_ROUND / size)))
    picture = np.random.default_rng(1).integers(0, 256, size, np.uint8)
    lanes = {name: Lane(Dpu(picture), pid, {n: Sum() for n in IN_FLIGHT}) for name, (_, pid) in links.items()}
    running = [asyncio.create_task(link(lanes[name].dpu).run()) for name, (link, _) in links.items()]
    for lane in lanes.values():
        await lane.dpu.attach
    for number in range(-1, rounds):  # the first is for warming up
        for in_flight in IN_FLIGHT:
            for lane in lanes.values():
                await lane.round(in_flight, tasks, keep=number >= 0)
    for name, lane in lanes.items():
        for in_flight, total in lane.sums.items():
            record("carriers", tasks * rounds, line(name, size, in_flight, total), ("numpy", "grpcio"))
    for task in running:
        task.cancel()
    await asyncio.wait(running)


def line(carrier: str, size: int, in_flight: int, total: Sum) -> dict[str, object]:
    n = len(total.trips_us)
    ratios: Sequence[float] = sorted(total.over_bare)
    return {
        "carrier": carrier,
        "payload_bytes": size,
        "in_flight": in_flight,
        "round_trip_us": percentiles(total.trips_us),
        "per_task_us": round(total.wall_s / n * 1e6, 1),
        "dpu_cpu_per_task_us": round(total.cpu_s / n * 1e6, 1),
        "worker_cpu_per_task_us": round(total.worker_s / n * 1e6, 1),
        "rounds_over_bare_copies": [round(ratio, 2) for ratio in ratios],
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="per carrier, size and depth (default 5)")
    parser.add_argument("--worker", nargs=4, metavar=("CARRIER", "END", "W", "H"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        carrier, end, width, height = args.worker
        return WORKERS[carrier](end, (int(width), int(height)))
    for wh in SIZES_WH:
        with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
            path, port = Path(directory) / "worker.sock", free_port()
            server = GrpcLaneOptions(address=f"127.0.0.1:{port}", model=card(wh).name)
            links: dict[str, tuple[Callable[[Dpu], Link[Any]], int]] = {
                "shm": (partial(ShmLink, path, OPTIONS), stack.enter_context(process("shm", str(path), wh))),
                "grpc": (partial(GrpcLink, server, OPTIONS), stack.enter_context(process("grpc", str(port), wh))),
            }
            asyncio.run(measured(links, wh, args.rounds))
    return None


if __name__ == "__main__":
    main()
