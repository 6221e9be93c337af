"""A CUDA device through cuda-bindings: the driver's own interface, and wheels for it.

Needs the machine's driver (libcuda.so.1). The device's primary context is used, as TensorRT, onnxruntime and torch do.
Source of the calls: CUDA driver API reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from pipelines.errors import EngineError
from pipelines.values import U8
from pipelines.worker.engines.device import DeviceInfo, Event, Graph
from pipelines.worker.engines.device_driver import (
    CudaGraph,
    capability,
    capture_begin,
    capture_end,
    check,
    driver,
    export_dmabuf,
    register,
    unregister,
)
from pipelines.worker.engines.device_pins import address_of


class CudaDevice:
    """Implements device.Device."""

    def __init__(self, ordinal: int = 0) -> None:
        """Take the device's primary context.

        Raises:
            ModelError: cuda-bindings or the driver is not here, or there is no such device.
        """
        self._cu = driver()
        self._device = check(self._cu.cuDeviceGet(ordinal))
        self._context = check(self._cu.cuDevicePrimaryCtxRetain(self._device))
        self._pinned: list[int] = []
        with self.active():
            total_bytes = check(self._cu.cuMemGetInfo())[1]
        name = bytes(check(self._cu.cuDeviceGetName(128, self._device))).split(b"\0", 1)[0].decode()
        self._info = DeviceInfo(
            name,
            capability(self._device),
            _version(check(self._cu.cuDriverGetVersion())),
            total_bytes,
            "cuda-bindings",
        )

    @property
    def info(self) -> DeviceInfo:
        return self._info

    @contextmanager
    def active(self) -> Iterator[None]:
        check(self._cu.cuCtxSetCurrent(self._context))
        yield

    def allocate(self, nbytes: int) -> int:
        return int(check(self._cu.cuMemAlloc(nbytes)))

    def free(self, address: int) -> None:
        check(self._cu.cuMemFree(address))

    def pinned(self, nbytes: int) -> U8:
        address = int(check(self._cu.cuMemHostAlloc(nbytes, 0)))
        self._pinned.append(address)
        return host_bytes(address, nbytes)

    def register(self, region: U8) -> bool:
        return register(region)

    def unregister(self, region: U8) -> None:
        unregister(region)

    def stream(self) -> CudaStream:
        return CudaStream(self._cu, int(check(self._cu.cuStreamCreate(self._cu.CUstream_flags.CU_STREAM_NON_BLOCKING))))

    def event(self) -> CudaEvent:
        return CudaEvent(self._cu)

    def export_dmabuf(self, address: int, nbytes: int) -> int:
        return export_dmabuf(address, nbytes)

    def free_bytes(self) -> int:
        return int(check(self._cu.cuMemGetInfo())[0])

    def close(self) -> None:
        """Free pinned memory and let go of the context."""
        if self._context is None:
            return
        with suppress(EngineError), self.active():  # of a lost device nothing can be freed
            for address in self._pinned:
                check(self._cu.cuMemFreeHost(address))
            check(self._cu.cuDevicePrimaryCtxRelease(self._device))
        self._pinned, self._context = [], None


class CudaStream:
    """Implements device.Stream."""

    def __init__(self, cu: Any, handle: int) -> None:
        self._cu, self._handle = cu, handle

    @property
    def handle(self) -> int:
        return self._handle

    def upload(self, address: int, host: U8) -> None:
        check(self._cu.cuMemcpyHtoDAsync(address, address_of(host), host.nbytes, self._handle))

    def download(self, host: U8, address: int) -> None:
        check(self._cu.cuMemcpyDtoHAsync(address_of(host), address, host.nbytes, self._handle))

    def copy(self, target: int, source: int, nbytes: int) -> None:
        check(self._cu.cuMemcpyDtoDAsync(target, source, nbytes, self._handle))

    def record(self, event: Event) -> None:
        assert isinstance(event, CudaEvent)
        check(self._cu.cuEventRecord(event.handle, self._handle))

    def begin_capture(self) -> None:
        capture_begin(self._handle)

    def end_capture(self) -> CudaGraph:
        return capture_end(self._handle)

    def launch(self, graph: Graph) -> None:
        assert isinstance(graph, CudaGraph)
        graph.launch(self._handle)

    def synchronize(self) -> None:
        check(self._cu.cuStreamSynchronize(self._handle))

    def close(self) -> None:
        if self._handle:
            check(self._cu.cuStreamDestroy(self._handle))
        self._handle = 0


class CudaEvent:
    """Implements device.Event. Waits block, they do not spin."""

    def __init__(self, cu: Any) -> None:
        self._cu = cu
        self.handle: Any = check(cu.cuEventCreate(cu.CUevent_flags.CU_EVENT_BLOCKING_SYNC))

    def synchronize(self) -> None:
        check(self._cu.cuEventSynchronize(self.handle))

    def elapsed_ms(self, since: Event) -> float:
        assert isinstance(since, CudaEvent)
        return float(check(self._cu.cuEventElapsedTime(since.handle, self.handle)))

    def close(self) -> None:
        if self.handle is not None:
            check(self._cu.cuEventDestroy(self.handle))
        self.handle = None


def host_bytes(address: int, nbytes: int) -> U8:
    """(nbytes,) view of memory that somebody else frees."""
    import ctypes

    return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
