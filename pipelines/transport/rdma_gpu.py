"""Frames straight into a GPU's memory. Never run: no machine with both a GPU and an RDMA card was at hand.

`framegate doctor rdma` tries every step of it on such a machine and says what works; docs/rdma.md has the commands.

Headers stay in main memory, where the loop reads them. A write into the GPU and one into main memory may become visible
in another order than they were posted: CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WRITES_ORDERING says whether the GPU sees to
that itself; where it does not, `settle` flushes before the engine is told of a frame.

Source: CUDA driver API (cuMemGetHandleForAddressRange, cuFlushGPUDirectRDMAWrites); "GPUDirect RDMA", docs.nvidia.com.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.errors import LaneError
from pipelines.transport.rdma_memory import address_of, allocate
from pipelines.transport.rdma_verbs import LocalRegion, QueuePair, RemoteRegion
from pipelines.transport.region import RegionLayout
from pipelines.transport.writer import LaneMemory

Way = Literal["dmabuf", "peermem"]
_PAGE_BYTES = 65_536
"""Of a GPU as dma-buf and peermem see it; an allocation of its own begins on one."""


class CudaMemory:
    """Allocations in the GPU's memory, in its primary context. Event-loop thread.

    They are kept for the next attach of the same size, and never given back: a batch may still read from one when its
    lane has ended.
    """

    def __init__(self, ordinal: int = 0) -> None:
        """Raises LaneError: no cuda-bindings, no driver, no GPU."""
        try:
            from cuda.bindings import driver
        except ImportError as error:
            raise LaneError(f"no CUDA: {error} (pip install cuda-bindings)") from error
        self._cu = driver
        self._idle: dict[int, list[int]] = {}
        try:
            self._call(driver.cuInit(0))
            self.device = self._call(driver.cuDeviceGet(ordinal))
            self._context = self._call(driver.cuDevicePrimaryCtxRetain(self.device))
        except RuntimeError as error:  # how the bindings say that there is no libcuda.so.1
            raise LaneError(f"no CUDA driver: {error}") from error
        attributes = driver.CUdevice_attribute
        self.exports_dmabuf = bool(self._attribute(attributes.CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED))
        ordering = self._attribute(attributes.CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WRITES_ORDERING)
        owner = driver.CUGPUDirectRDMAWritesOrdering.CU_GPU_DIRECT_RDMA_WRITES_ORDERING_OWNER
        self.needs_flush = ordering < int(owner)

    def take(self, size: int) -> int:
        """The address of at least so many bytes, an allocation of its own. Raises LaneError."""
        size = _whole_pages(size)
        if self._idle.get(size):
            return self._idle[size].pop()
        self._enter()
        return int(self._call(self._cu.cuMemAlloc(size)))

    def give(self, address: int, size: int) -> None:
        self._idle.setdefault(_whole_pages(size), []).append(address)

    def export(self, address: int, size: int) -> int:
        """A dma-buf descriptor of an allocation; the caller closes it. Raises LaneError."""
        self._enter()
        kind = self._cu.CUmemRangeHandleType.CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD
        return int(self._call(self._cu.cuMemGetHandleForAddressRange(address, _whole_pages(size), kind, 0)))

    def flush(self) -> None:
        """Everything that RDMA wrote so far becomes visible to kernels started from now on. Raises LaneError."""
        self._enter()
        target = self._cu.CUflushGPUDirectRDMAWritesTarget.CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TARGET_CURRENT_CTX
        scope = self._cu.CUflushGPUDirectRDMAWritesScope.CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TO_OWNER
        self._call(self._cu.cuFlushGPUDirectRDMAWrites(target, scope))

    def _enter(self) -> None:
        self._call(self._cu.cuCtxSetCurrent(self._context))

    def _attribute(self, attribute: object) -> int:
        return int(self._call(self._cu.cuDeviceGetAttribute(attribute, self.device)))

    def _call(self, answer: tuple[Any, ...]) -> Any:
        """A driver call's result. Raises LaneError with the driver's name of what went wrong."""
        code, *result = answer
        if int(code) != 0:
            raise LaneError(f"the CUDA driver says {getattr(code, 'name', code)}")
        return result[0] if result else None


@dataclass(frozen=True, slots=True)
class _GpuLane(LaneMemory):
    """Payloads are addresses, not views."""

    slot: Callable[[int], Any]

    @property
    def region(self) -> None:
        return None

    def payload_view(self, slot: int) -> Any:
        return self.slot(slot)


@dataclass(frozen=True, slots=True)
class _GpuSlot:
    """Stands where a numpy view does: `[:n]` is the first n bytes, as the engine wants them."""

    address: int
    view: Callable[[int, int], object]

    def __getitem__(self, part: slice) -> object:
        return self.view(self.address, part.stop)


class GpuMemory:
    """A WorkerMemory with its payloads in the GPU's memory."""

    def __init__(
        self, region: RegionLayout, epoch: int, cuda: CudaMemory, way: Way, view: Callable[[int, int], object]
    ) -> None:
        """`view(address, size)` is what the engine takes for a payload. Raises LaneError."""
        self._cuda, self._way = cuda, way
        self._headers = allocate(region.payloads_offset)
        self._size = region.slots * region.payload_stride
        self._address = cuda.take(self._size)

        def slot(index: int) -> _GpuSlot:
            return _GpuSlot(self._address + index * region.payload_stride, view)

        answers = allocate(region.answer_region_bytes)
        self.lane = _GpuLane(region, epoch, self._headers.toreadonly(), answers, slot)

    def offer(self, pair: QueuePair) -> tuple[RemoteRegion, RemoteRegion]:
        """See WorkerMemory."""
        headers = pair.register(address_of(self._headers), len(self._headers), remote_write=True)
        return headers.remote, register_gpu(pair, self._cuda, self._way, self._address, self._size).remote

    def settle(self) -> None:
        """See WorkerMemory."""
        if self._cuda.needs_flush:
            self._cuda.flush()

    def close(self) -> None:
        """See WorkerMemory."""
        self._cuda.give(self._address, self._size)


def register_gpu(pair: QueuePair, cuda: CudaMemory, way: Way, address: int, size: int) -> LocalRegion:
    """Let the peer write to an allocation. Raises LaneError: driver, kernel or card will not."""
    if way == "peermem":
        if not any(Path(f"/sys/module/{name}").exists() for name in ("nvidia_peermem", "nv_peer_mem")):
            raise LaneError("the kernel module nvidia-peermem is not loaded (modprobe nvidia-peermem)")
        return pair.register(address, size, remote_write=True)
    if not cuda.exports_dmabuf:
        raise LaneError("this GPU's driver exports no dma-buf: it takes the open kernel modules, R515 or newer")
    fd = cuda.export(address, size)
    try:
        return pair.register_dmabuf(fd, size)
    finally:
        os.close(fd)


def _whole_pages(size: int) -> int:
    return -(-size // _PAGE_BYTES) * _PAGE_BYTES
