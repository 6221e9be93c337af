"""What frames land in on the worker, behind one Protocol; and the plain memory of both ends.

| kind    | payloads in | the device reaches it by | run so far |
|---------|-------------|--------------------------|------------|
| host    | main memory; an engine on a GPU copies from there (staging) | ordinary registration | yes |
| dmabuf  | GPU memory  | cuMemGetHandleForAddressRange, ibv_reg_dmabuf_mr | never |
| peermem | GPU memory  | the nvidia-peermem module, ordinary registration | never |

Headers and answers are in main memory always: the loop reads them.
"""

from __future__ import annotations

import mmap
from typing import Protocol

import numpy as np

from pipelines.errors import LaneError
from pipelines.transport.rdma_verbs import QueuePair, RemoteRegion
from pipelines.transport.region import RegionLayout
from pipelines.transport.writer import LaneMemory

# Shared, so that a fork (a spawned program) never makes the device and this process look at different copies.
_FLAGS = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE


class WorkerMemory(Protocol):
    """The memory of one attach at the worker's end. Event-loop thread."""

    @property
    def lane(self) -> LaneMemory:
        """As the lane's reader sees it."""

    def offer(self, pair: QueuePair) -> tuple[RemoteRegion, RemoteRegion]:
        """Register what the DPU may write to: headers, payloads. Raises LaneError."""

    def settle(self) -> None:
        """Called after notices came and before their payloads are used: makes them visible to the engine."""

    def close(self) -> None:
        """Nobody can write to it any more. What the reader still holds stays readable."""


class HostMemory:
    """Headers and payloads in one piece of main memory."""

    def __init__(self, region: RegionLayout, epoch: int) -> None:
        """Raises LaneError if there is not enough memory."""
        self._region = region
        self._payload = allocate(region.payload_region_bytes)
        answers = allocate(region.answer_region_bytes)
        self.lane = LaneMemory(region, epoch, self._payload.toreadonly(), answers)

    def offer(self, pair: QueuePair) -> tuple[RemoteRegion, RemoteRegion]:
        """See WorkerMemory."""
        whole = pair.register(address_of(self._payload), len(self._payload), remote_write=True).remote
        start = self._region.payloads_offset
        return whole.part(0, start), whole.part(start, whole.length_bytes - start)

    def settle(self) -> None:
        """The receive's completion has done it."""

    def close(self) -> None:
        """The mappings go with the last view of them."""


def dpu_memory(region: RegionLayout, epoch: int) -> LaneMemory:
    """The DPU's end: payloads are written here and sent from here; answers arrive here. Raises LaneError."""
    answers = allocate(region.answer_region_bytes)
    return LaneMemory(region, epoch, allocate(region.payload_region_bytes), answers.toreadonly())


def allocate(size: int) -> memoryview:
    """Fresh zeroed pages, there at once. Raises LaneError."""
    try:
        return memoryview(mmap.mmap(-1, size, _FLAGS, mmap.PROT_READ | mmap.PROT_WRITE))
    except (OSError, MemoryError) as error:
        raise LaneError(f"no memory for a lane ({size / 1e6:.1f} MB): {error}") from error


def address_of(memory: memoryview) -> int:
    """Where it begins in this process."""
    return int(np.frombuffer(memory, np.uint8).ctypes.data)
