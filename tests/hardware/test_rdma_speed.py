"""What the lane adds to the verbs: against perftest, which is not ours, in the same minutes on the same two hosts.

Measured and noted, not judged: a test says nothing about a machine that does other things too. `scripts/rdma_vm
--strict` judges.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import re
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from pipelines.contracts import SlotWriter
from pipelines.transport.rdma import RdmaLink, device_ports, device_verbs
from pipelines.transport.rdma_verbs import gid_of
from pipelines.values import Answer, ModelCard, Priority
from tests.hardware import roles
from tests.hardware.far import Far, Hosts, note
from tests.unit.transport.values import CARD, header

ROUNDS = int(os.environ.get("FRAMEGATE_RDMA_ROUNDS", "6"))
IN_FLIGHT, FRAMES = 8, 24
TRIPS = 100
START_S = 120.0
HANGS_S, TRIES = 40.0, 5
pytestmark = pytest.mark.timeout(500)
_ports = itertools.count(18_600)


def perftest(far: Far, hosts: Hosts, command: str, *options: str) -> list[float]:
    """The numbers of its one result line: far host serves, this one measures.

    Once more where the tool hangs, or could not tell how fast the processor's counter runs: it then prints zeros.
    """
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed: apt-get install perftest")
    for _ in range(TRIES):
        with contextlib.suppress(subprocess.TimeoutExpired):
            numbers = _perftest(far, hosts, command, *options)
            if 0 < numbers[3] < math.inf:
                return numbers
    pytest.fail(f"{command} hung for {HANGS_S:g} s or measured nothing, {TRIES} times")


def _perftest(far: Far, hosts: Hosts, command: str, *options: str) -> list[float]:
    device, index = device_of(hosts.near)
    port = next(_ports)
    common = [*options, "-x", str(index), "-p", str(port), "-F"]
    server = far.start("run", argv=[command, *common])
    until_s = time.monotonic() + START_S
    while not far.listens(port) and time.monotonic() < until_s:
        time.sleep(0.1)  # it says nothing when it is ready
    try:
        got = subprocess.run(
            [command, *common, "-d", device, hosts.far], capture_output=True, text=True, check=False, timeout=HANGS_S
        )
        lines = [line for line in got.stdout.splitlines() if re.match(r"\s*\d+\s+\d+\s", line)]
        if got.returncode or not lines:
            pytest.fail(f"{command}: {got.stdout[-300:]} {got.stderr[-300:]} {far.output(server)[-300:]}")
    finally:
        far.kill(server)
    return [float(number) for number in lines[0].split()]


def device_of(address: str) -> tuple[str, int]:
    """Name and GID index of the device with this address."""
    gid = gid_of(address)
    return next((port.device, port.gid_index) for port in device_ports() if port.gid == gid and port.routed)


class Events:
    """LaneEvents that measure."""

    def __init__(self) -> None:
        self.writer: asyncio.Future[SlotWriter] = asyncio.get_running_loop().create_future()
        self.answered_ns: list[int] = []
        self.permits = threading.Semaphore(IN_FLIGHT)
        self.news = asyncio.Event()

    def attached(self, writer: SlotWriter) -> None:
        self.writer.set_result(writer)

    def answered(self, answer: Answer) -> None:
        self.answered_ns.append(time.monotonic_ns())
        self.permits.release()
        self.news.set()

    def lost(self, tasks: Sequence[int], reason: str) -> None:
        assert not tasks, reason


async def on_lane(host: str, measure: Callable[[Events, SlotWriter], object]) -> Events:
    events = Events()
    options = roles.rdma(host)
    link = RdmaLink(options, roles.OPTIONS, events, device_verbs(options))
    running = asyncio.create_task(link.run())
    async with asyncio.timeout(START_S):
        writer = await events.writer
    await measure(events, writer)  # type: ignore[misc]
    running.cancel()
    await asyncio.wait({running})
    return events


async def goodput(host: str) -> float:
    """Payload bytes a second, IN_FLIGHT slots at a time; slots are not filled anew, as ib_write_bw does not either."""

    def pump(events: Events, writer: SlotWriter) -> None:
        for task in range(FRAMES):
            events.permits.acquire()
            slot = writer.loan(Priority.NORMAL)
            assert slot
            assert writer.publish(slot, header(task, size=roles.FRAME.payload_bytes))

    async def measure(events: Events, writer: SlotWriter) -> None:
        thread = threading.Thread(target=pump, args=(events, writer), name="pump")
        started_ns.append(time.monotonic_ns())
        thread.start()
        async with asyncio.timeout(200):
            while len(events.answered_ns) < FRAMES:
                await events.news.wait()
                events.news.clear()
        thread.join()

    started_ns: list[int] = []
    events = await on_lane(host, measure)
    return FRAMES * roles.FRAME.payload_bytes / (events.answered_ns[-1] - started_ns[0]) * 1e9


def test_goodput_beside_that_of_bare_writes(far: Far, pair_of_hosts: Hosts) -> None:
    """Lane and ib_write_bw take turns; the same message size, the same number under way. The best round of each counts:
    in guests the others say how busy the machine was."""
    size = roles.FRAME.payload_bytes
    far.start("swallow", host=pair_of_hosts.far)
    lane, bare = [], []
    for _ in range(ROUNDS):
        options = ("-s", str(size), "-t", str(IN_FLIGHT), "-n", str(FRAMES))
        bare.append(perftest(far, pair_of_hosts, "ib_write_bw", *options)[3] * 2**20)
        lane.append(asyncio.run(goodput(pair_of_hosts.far)))
    note(
        goodput_ratio=round(max(lane) / max(bare), 3),
        goodput_ratio_of_medians=round(statistics.median(lane) / statistics.median(bare), 3),
        goodput_mb_s=[round(one / 1e6, 2) for one in lane],
        ib_write_bw_mb_s=[round(one / 1e6, 2) for one in bare],
    )


async def hop_us() -> float:
    """From writing an eventfd to its callback in the loop, median."""
    loop, times = asyncio.get_running_loop(), []
    event, done = os.eventfd(0, os.EFD_NONBLOCK), asyncio.Event()

    def ready() -> None:
        times.append((time.monotonic_ns() - began) / 1e3)
        os.eventfd_read(event)
        done.set()

    loop.add_reader(event, ready)
    for _ in range(TRIPS):
        done.clear()
        began = time.monotonic_ns()
        os.eventfd_write(event, 1)
        await done.wait()
    loop.remove_reader(event)
    os.close(event)
    return float(statistics.median(times))


async def round_trip_us(host: str, card: ModelCard) -> float:
    """Loan to answer, one at a time, median."""
    times: list[float] = []

    async def measure(events: Events, writer: SlotWriter) -> None:
        for task in range(TRIPS):
            events.news.clear()
            envelope = header(task, size=card.payload_bytes)
            began_ns = time.monotonic_ns()
            slot = writer.loan(Priority.NORMAL)
            assert slot
            assert writer.publish(slot, envelope)
            await events.news.wait()
            times.append((events.answered_ns[-1] - began_ns) / 1e3)

    await on_lane(host, measure)
    return statistics.median(times)


def test_a_small_round_trip_beside_latency_and_hop(far: Far, pair_of_hosts: Hosts) -> None:
    """Turns and best rounds, as above."""
    far.start("swallow", host=pair_of_hosts.far, small=True)
    latency, hops, trips = [], [], []
    for _ in range(ROUNDS):
        latency.append(perftest(far, pair_of_hosts, "ib_send_lat", "-e", "-s", "512", "-n", str(TRIPS))[4])
        hops.append(asyncio.run(hop_us()))
        trips.append(asyncio.run(round_trip_us(pair_of_hosts.far, CARD)))
    note(
        round_trip_us=[round(one) for one in trips],
        ib_send_lat_us=[round(one) for one in latency],
        eventfd_hop_us=[round(one) for one in hops],
        trip_ratio=round(min(trips) / (min(latency) + min(hops)), 2),
        trip_ratio_of_medians=round(
            statistics.median(trips) / (statistics.median(latency) + statistics.median(hops)), 2
        ),
    )
