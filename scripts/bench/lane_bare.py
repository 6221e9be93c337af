"""What a lane cannot beat: the same copies between the same two processes, with two counters in place of the lane.

One process copies a picture into the next of `in_flight` buffers, the other copies it out; each spins on the other's
counter, so nobody sleeps and no system call is made. Bytes that go from one core to another cost more than bytes that
stay in one core's cache; this is the baseline that pays for it. The counters order nothing on processors that reorder
stores (Arm): there the figure still is a time, though a reader might see bytes that are not yet there.
"""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.values import U8

_PAGE_BYTES = 4096
_WRITTEN, _READ, _TASKS = (line * 8 for line in range(3))
"""Counters, 64 bits each, a cache line apart."""


class TwoProcesses:
    """The writer's end; the reader is another process."""

    def __init__(self, fd: int, wire: socket.socket, payload_bytes: int, in_flight: int) -> None:
        self._buffers, self._counters = _map(fd, payload_bytes, in_flight)
        self._wire = wire

    def carry(self, picture: U8, tasks: int) -> float:
        """Microseconds per task, of so many."""
        counters, buffers, in_flight = self._counters, self._buffers, len(self._buffers)
        counters[_WRITTEN] = counters[_READ] = 0
        counters[_TASKS] = tasks
        self._wire.send(b"go")
        self._wire.recv(2)  # the reader spins
        began_ns = time.monotonic_ns()
        for task in range(tasks):
            while task - counters[_READ] >= in_flight:
                pass
            np.copyto(buffers[task % in_flight], picture)
            counters[_WRITTEN] = task + 1
        while counters[_READ] < tasks:
            pass
        return (time.monotonic_ns() - began_ns) / 1e3 / tasks


def read(fd: int, wire_fd: int, payload_bytes: int, in_flight: int) -> None:
    """The reader's process: a round each time it is told, until the socket closes."""
    buffers, counters = _map(fd, payload_bytes, in_flight)
    out = np.zeros(payload_bytes, np.uint8)
    with socket.socket(fileno=wire_fd) as wire:
        while wire.recv(2):
            wire.send(b"go")
            for task in range(counters[_TASKS]):
                while counters[_WRITTEN] <= task:
                    pass
                np.copyto(out, buffers[task % in_flight])
                counters[_READ] = task + 1


@contextmanager
def two_processes(payload_bytes: int, in_flight: int) -> Iterator[TwoProcesses]:
    """Both, for the time of the block."""
    here, there = socket.socketpair()
    fd = os.memfd_create("bare", 0)
    os.posix_fallocate(fd, 0, _PAGE_BYTES + payload_bytes * in_flight)
    arguments = [str(number) for number in (fd, there.fileno(), payload_bytes, in_flight)]
    command = [sys.executable, __file__, *arguments]
    started = subprocess.Popen(command, pass_fds=[fd, there.fileno()])
    try:
        there.close()
        yield TwoProcesses(fd, here, payload_bytes, in_flight)
    finally:
        started.kill()
        started.wait()
        here.close()
        os.close(fd)


def _map(fd: int, payload_bytes: int, in_flight: int) -> tuple[list[U8], memoryview]:
    """The buffers, and the counters before them."""
    size = _PAGE_BYTES + payload_bytes * in_flight
    memory = mmap.mmap(fd, size, mmap.MAP_SHARED | mmap.MAP_POPULATE)
    starts = range(_PAGE_BYTES, size, payload_bytes)
    return [np.frombuffer(memory, np.uint8, payload_bytes, start) for start in starts], memoryview(memory).cast("q")


if __name__ == "__main__":
    read(*(int(number) for number in sys.argv[1:]))
