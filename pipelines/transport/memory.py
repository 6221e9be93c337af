"""The memory of a shared-memory lane: two anonymous files per epoch, passed by descriptor, never by name.

The DPU makes both. It maps the payload file for writing and then seals it, so that no later mapping can write: the
worker can read frames and not change them. The answer file goes the other way: the worker maps it for writing, the DPU
only reads. Both are sealed against shrinking, else a peer that truncates a file would kill the other side (SIGBUS).
Their pages are allocated before use (posix_fallocate): too little memory is an error here, not a signal later. What the
machine has is looked up first, as the kernel would rather kill processes than refuse a memfd (a cgroup's limit is not).

Source: memfd_create(2), fcntl(2) "File Sealing".
"""

from __future__ import annotations

import fcntl
import mmap
import os
from pathlib import Path

from pipelines.errors import LaneError
from pipelines.transport.region import RegionLayout
from pipelines.transport.writer import LaneMemory

_F_SEAL_FUTURE_WRITE = 0x0010  # linux/fcntl.h, since Linux 5.1; the fcntl module does not name it
_FIXED_SIZE = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
_SHARED = mmap.MAP_SHARED | mmap.MAP_POPULATE  # page tables now, not in the first frames


def create(layout: RegionLayout, epoch: int) -> tuple[LaneMemory, list[int]]:
    """The DPU's mappings of a new epoch, and the two descriptors (payload, answers) to pass on; the caller closes them.

    Costs about as much as clearing that much memory.

    Raises:
        LaneError: not enough memory, or a kernel without memfd seals.
    """
    fds: list[int] = []
    wanted = layout.payload_region_bytes + layout.answer_region_bytes
    try:
        if wanted > (available := _available_bytes()):
            raise MemoryError(f"{available / 1e6:.1f} MB are available")
        for name, size in (("payload", layout.payload_region_bytes), ("answers", layout.answer_region_bytes)):
            fds.append(os.memfd_create(f"framegate-{name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
            os.posix_fallocate(fds[-1], 0, size)
        payload = mmap.mmap(fds[0], layout.payload_region_bytes, _SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        answers = mmap.mmap(fds[1], layout.answer_region_bytes, _SHARED, mmap.PROT_READ)
        fcntl.fcntl(fds[0], fcntl.F_ADD_SEALS, _FIXED_SIZE | _F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_SEAL)
        fcntl.fcntl(fds[1], fcntl.F_ADD_SEALS, _FIXED_SIZE | fcntl.F_SEAL_SEAL)
    except (OSError, MemoryError) as error:
        close(fds)
        raise LaneError(f"no memory for a lane of {layout.slots} slots ({wanted / 1e6:.1f} MB): {error}") from error
    return LaneMemory(layout, epoch, memoryview(payload), memoryview(answers)), fds


def map_received(layout: RegionLayout, epoch: int, fds: list[int]) -> LaneMemory:
    """The worker's mappings: payload read-only, answers writable. The descriptors stay the caller's to close.

    Raises:
        LaneError: not two files of the announced sizes with sealed size.
    """
    sizes = [layout.payload_region_bytes, layout.answer_region_bytes]
    try:
        if [os.fstat(fd).st_size for fd in fds] != sizes:
            raise LaneError(f"expected two files of {sizes} bytes, got {[os.fstat(fd).st_size for fd in fds]}")
        if any(fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _FIXED_SIZE != _FIXED_SIZE for fd in fds):
            raise LaneError("the files are not sealed against resizing")
        payload = mmap.mmap(fds[0], sizes[0], _SHARED, mmap.PROT_READ)
        answers = mmap.mmap(fds[1], sizes[1], _SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    except OSError as error:
        raise LaneError(f"the lane's memory cannot be mapped: {error}") from error
    return LaneMemory(layout, epoch, memoryview(payload), memoryview(answers))


def close(fds: list[int]) -> None:
    """Close descriptors; mappings made from them stay."""
    for fd in fds:
        os.close(fd)


def _available_bytes() -> int:
    """Memory that can be had without swapping, proc(5)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise MemoryError("/proc/meminfo does not say how much memory is available")
