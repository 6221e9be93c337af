"""What both CUDA devices take from cuda-bindings: errors told apart, pinning, graphs, and dma-buf export."""

from __future__ import annotations

from functools import cache
from typing import Any

from pipelines.errors import DeviceLost, EngineError, ModelError
from pipelines.values import U8
from pipelines.worker.engines.device import OutOfDeviceMemory
from pipelines.worker.engines.device_pins import address_of

_OUT_OF_MEMORY = "CUDA_ERROR_OUT_OF_MEMORY"
_HARMLESS = {
    "CUDA_ERROR_INVALID_VALUE",
    "CUDA_ERROR_NOT_SUPPORTED",
    "CUDA_ERROR_NOT_PERMITTED",
    "CUDA_ERROR_NOT_FOUND",
    "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED",
    "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED",
}
"""The call was refused and the context lives on; so do all CUDA_ERROR_STREAM_CAPTURE_*. Whatever else a driver says
makes the context unusable ("sticky"): only a new process helps."""


@cache
def driver() -> Any:
    """cuda-bindings' driver module, initialised.

    Raises:
        ModelError: it is not installed, or there is no driver.
    """
    try:
        from cuda.bindings import driver as cu

        (result,) = cu.cuInit(0)
    except (ImportError, RuntimeError) as error:  # RuntimeError: no libcuda.so.1
        raise ModelError(f"no CUDA device: {error}") from error
    if result != cu.CUresult.CUDA_SUCCESS:
        raise ModelError(f"no CUDA device: {result.name}")
    return cu


def check(result: tuple[Any, ...]) -> Any:
    """The value of a driver call, a tuple of values, or None.

    Raises:
        OutOfDeviceMemory, EngineError: refused, and the device can go on. DeviceLost: it cannot.
    """
    status, *values = result
    if status != type(status)(0):
        raise error_of(status.name)
    return values[0] if len(values) == 1 else tuple(values) or None


def error_of(name: str) -> EngineError:
    """The class of a CUDA error, by its name."""
    if name == _OUT_OF_MEMORY:
        return OutOfDeviceMemory(name)
    if name in _HARMLESS or name.startswith("CUDA_ERROR_STREAM_CAPTURE_"):
        return EngineError(name)
    return DeviceLost(name)


def capability(device: Any) -> str:
    """Compute capability, "9.0"."""
    cu = driver()
    kinds = cu.CUdevice_attribute
    major = check(cu.cuDeviceGetAttribute(kinds.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device))
    minor = check(cu.cuDeviceGetAttribute(kinds.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device))
    return f"{major}.{minor}"


def register(region: U8) -> bool:
    """Pin memory that is there already; a read-only mapping as such. False: the system refuses."""
    cu = driver()
    flags = 0 if region.flags.writeable else cu.CU_MEMHOSTREGISTER_READ_ONLY
    try:
        check(cu.cuMemHostRegister(address_of(region), region.nbytes, flags))
    except DeviceLost:
        raise
    except EngineError:  # not every system pins a read-only mapping
        return False
    return True


def unregister(region: U8) -> None:
    check(driver().cuMemHostUnregister(address_of(region)))


class CudaGraph:
    """Implements device.Graph."""

    def __init__(self, graph: Any) -> None:
        cu = driver()
        try:
            self._executable = check(cu.cuGraphInstantiate(graph, 0))
        finally:
            check(cu.cuGraphDestroy(graph))

    def launch(self, stream: int) -> None:
        check(driver().cuGraphLaunch(self._executable, stream))

    def close(self) -> None:
        if self._executable is not None:
            check(driver().cuGraphExecDestroy(self._executable))
        self._executable = None


def capture_begin(stream: int) -> None:
    """Only this thread's calls are watched: another lane may allocate meanwhile."""
    cu = driver()
    check(cu.cuStreamBeginCapture(stream, cu.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))


def capture_end(stream: int) -> CudaGraph:
    """Raises EngineError if the work could not be captured."""
    return CudaGraph(check(driver().cuStreamEndCapture(stream)))


def export_dmabuf(address: int, nbytes: int) -> int:
    """A dma-buf descriptor of device memory. Address and size must be multiples of the host's page.

    Raises:
        EngineError: the driver or the device cannot.
    """
    cu = driver()
    kind = cu.CUmemRangeHandleType.CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD
    return int(check(cu.cuMemGetHandleForAddressRange(address, nbytes, kind, 0)))
