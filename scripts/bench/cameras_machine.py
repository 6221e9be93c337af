"""What processes and the machine use, from /proc: Linux only. Readings are sums since start; take differences."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process and all its threads."""

    cpu_s: float
    rss_bytes: int
    threads: int
    fds: int


NOTHING = Usage(0.0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything at one instant, by the names the caller gave the processes."""

    at_ns: int
    total_s: float
    """Seconds of all cores together since boot."""
    idle_s: float
    usages: dict[str, Usage]


def usage(pid: int) -> Usage:
    """Zero for a process that is gone."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        fds = len(os.listdir(PROC / str(pid) / "fd"))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return NOTHING
    return Usage((int(fields[11]) + int(fields[12])) * _TICK_S, int(fields[21]) * _PAGE_BYTES, int(fields[17]), fds)


def children(pid: int) -> list[int]:
    """Processes it started, of any of its threads, that run now; theirs too."""
    found: list[int] = []
    for path in (PROC / str(pid) / "task").glob("*/children"):
        try:
            found += map(int, path.read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found + [grandchild for child in found for grandchild in children(child)]


def machine() -> tuple[float, float]:
    """(all, idle) seconds of all cores since boot. Waiting for a disk is idle; what a hypervisor took is not."""
    fields = [int(field) for field in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(fields) * _TICK_S, (fields[3] + fields[4]) * _TICK_S


def read(pids: dict[str, Iterable[int]]) -> Reading:
    total_s, idle_s = machine()
    return Reading(
        time.monotonic_ns(), total_s, idle_s, {name: _sum(map(usage, group)) for name, group in pids.items()}
    )


def _sum(usages: Iterable[Usage]) -> Usage:
    parts = list(usages)
    return Usage(
        sum(p.cpu_s for p in parts),
        sum(p.rss_bytes for p in parts),
        sum(p.threads for p in parts),
        sum(p.fds for p in parts),
    )


@dataclass(frozen=True, slots=True)
class Used:
    """Between two readings."""

    seconds: float
    cores: dict[str, float]
    """Mean, by process."""
    others: float
    """Cores that processes nobody named used: with any, the machine was shared and the figures are too pessimistic."""
    headroom: float
    """Idle share of all cores."""


def used(first: Reading, last: Reading) -> Used:
    seconds = (last.at_ns - first.at_ns) / 1e9
    cores = {name: (last.usages[name].cpu_s - first.usages[name].cpu_s) / seconds for name in first.usages}
    total_s = last.total_s - first.total_s
    busy_s = total_s - (last.idle_s - first.idle_s)
    return Used(seconds, cores, max(0.0, busy_s / seconds - sum(cores.values())), 1 - busy_s / total_s)


class Sampler:
    """Reads once a second in a thread of its own. `with` it."""

    def __init__(self, pids: dict[str, list[int]], interval_s: float = 1.0) -> None:
        self._pids = pids
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self.readings: list[Reading] = []

    def __enter__(self) -> Sampler:
        self.readings.append(read(dict(self._pids)))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.readings.append(read(dict(self._pids)))

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            self.readings.append(read(dict(self._pids)))
