"""A CUDA device through pycuda: context, memory, streams, events.

What it lacks is cuda-bindings' (device_driver.py): graphs, dma-buf export, and pinning memory that is there already
(its own call sets a numpy array's base twice). pycuda has no wheels: it is built against the
machine's CUDA. Where it is missing, device_cuda does the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pycuda.driver as cuda

from pipelines.errors import EngineError, ModelError
from pipelines.values import U8
from pipelines.worker.engines.device import DeviceInfo, Event, Graph, OutOfDeviceMemory
from pipelines.worker.engines.device_driver import (
    CudaGraph,
    capture_begin,
    capture_end,
    check,
    driver,
    export_dmabuf,
    register,
    unregister,
)


class PycudaDevice:
    """Implements device.Device."""

    def __init__(self, ordinal: int = 0) -> None:
        """Take the device's primary context.

        Raises:
            ModelError: no driver, or no such device.
        """
        try:
            cuda.init()
            device = cuda.Device(ordinal)
            self._context = device.retain_primary_context()
        except cuda.Error as error:
            raise ModelError(f"no CUDA device: {error}") from error
        self._allocations: dict[int, Any] = {}
        self._pinned: list[Any] = []
        major, minor = device.compute_capability()
        version = cuda.get_driver_version()
        driver = f"{version // 1000}.{version % 1000 // 10}"
        self._info = DeviceInfo(device.name(), f"{major}.{minor}", driver, device.total_memory(), "pycuda")

    @property
    def info(self) -> DeviceInfo:
        return self._info

    @contextmanager
    def active(self) -> Iterator[None]:
        self._context.push()
        try:
            yield
        finally:
            cuda.Context.pop()

    def allocate(self, nbytes: int) -> int:
        with translated():
            memory = cuda.mem_alloc(nbytes)
        self._allocations[int(memory)] = memory
        return int(memory)

    def free(self, address: int) -> None:
        with translated():
            self._allocations.pop(address).free()

    def pinned(self, nbytes: int) -> U8:
        with translated():
            array: U8 = cuda.pagelocked_empty((nbytes,), "uint8")
        self._pinned.append(array)
        return array

    def register(self, region: U8) -> bool:
        return register(region)

    def unregister(self, region: U8) -> None:
        unregister(region)

    def stream(self) -> PycudaStream:
        with translated():
            return PycudaStream(cuda.Stream(1))  # CU_STREAM_NON_BLOCKING

    def event(self) -> PycudaEvent:
        return PycudaEvent()

    def export_dmabuf(self, address: int, nbytes: int) -> int:
        return export_dmabuf(address, nbytes)

    def free_bytes(self) -> int:
        return int(cuda.mem_get_info()[0])

    def close(self) -> None:
        """Free pinned memory and let go of the context."""
        if self._context is None:
            return
        with suppress(EngineError), translated(), self.active():  # of a lost device nothing can be freed
            for array in self._pinned:
                array.base.free()
        self._pinned, self._context = [], None


class PycudaStream:
    """Implements device.Stream."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    @property
    def handle(self) -> int:
        return int(self._stream.handle)

    def upload(self, address: int, host: U8) -> None:
        with translated():
            cuda.memcpy_htod_async(address, host, self._stream)

    def download(self, host: U8, address: int) -> None:
        with translated():
            cuda.memcpy_dtoh_async(host, address, self._stream)

    def copy(self, target: int, source: int, nbytes: int) -> None:
        with translated():
            cuda.memcpy_dtod_async(target, source, nbytes, self._stream)

    def record(self, event: Event) -> None:
        assert isinstance(event, PycudaEvent)
        with translated():
            event.event.record(self._stream)

    def begin_capture(self) -> None:
        capture_begin(self.handle)

    def end_capture(self) -> CudaGraph:
        return capture_end(self.handle)

    def launch(self, graph: Graph) -> None:
        assert isinstance(graph, CudaGraph)
        graph.launch(self.handle)

    def synchronize(self) -> None:
        with translated():
            self._stream.synchronize()

    def close(self) -> None:
        self._stream = None


class PycudaEvent:
    """Implements device.Event. Waits block, they do not spin."""

    def __init__(self) -> None:
        with translated():
            self.event = cuda.Event(cuda.event_flags.BLOCKING_SYNC)

    def synchronize(self) -> None:
        with translated():
            self.event.synchronize()

    def elapsed_ms(self, since: Event) -> float:
        assert isinstance(since, PycudaEvent)
        return float(self.event.time_since(since.event))

    def close(self) -> None:
        self.event = None


@contextmanager
def translated() -> Iterator[None]:
    """pycuda's errors as ours. Its classes do not tell whether the context lives on, so the driver is asked.

    Raises:
        OutOfDeviceMemory, EngineError: refused. DeviceLost: the device is gone for this process.
    """
    try:
        yield
    except cuda.MemoryError as error:
        raise OutOfDeviceMemory(str(error)) from error
    except cuda.Error as error:
        check(driver().cuCtxSynchronize())  # fails with the error that sticks, if one does
        raise EngineError(str(error)) from error
