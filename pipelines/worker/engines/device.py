"""What an engine asks of a device: memory, streams, graphs and events. The edge to CUDA behind a few small Protocols.

    device_pycuda   memory, streams and events by pycuda; graphs and dma-buf, which it lacks, by cuda-bindings
    device_cuda     the same by cuda-bindings alone, which has wheels
    device_fake     host memory, virtual time: for tests and machines without a device

Addresses are integers. Work put on a stream runs in order, later; a host buffer must live until the stream has passed
it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pipelines.errors import OutOfMemory
from pipelines.values import U8

EventT = TypeVar("EventT", bound="Event")


class OutOfDeviceMemory(OutOfMemory):
    """The device has no room for this; smaller may fit."""


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What a device says of itself."""

    name: str
    capability: str
    """Compute capability, "8.9"."""
    driver: str
    total_bytes: int
    backend: str
    """Which of the files above drives it."""


@dataclass(frozen=True, slots=True)
class DeviceBytes:
    """A payload that already lies in the device's memory: a slot of an RDMA lane, say."""

    address: int
    nbytes: int


class Event(Protocol):
    """A point in a stream."""

    def synchronize(self) -> None:
        """Wait until the device has passed it."""

    def elapsed_ms(self, since: Event) -> float:
        """Device time between two events that have both passed, ms."""

    def close(self) -> None: ...


class Graph(Protocol):
    """Captured work, ready to be launched again and again on the stream it was captured from."""

    def close(self) -> None: ...


class Stream(Protocol):
    """Work in order. One thread at a time."""

    @property
    def handle(self) -> int:
        """CUstream, for libraries that take one."""

    def upload(self, address: int, host: U8) -> None:
        """Host to device. Returns before it is done if `host` is pinned."""

    def download(self, host: U8, address: int) -> None:
        """Device to host; `host` is pinned, and valid only after synchronize."""

    def copy(self, target: int, source: int, nbytes: int) -> None:
        """Device to device."""

    def record(self, event: Event) -> None: ...

    def begin_capture(self) -> None:
        """From now on work is recorded, not done."""

    def end_capture(self) -> Graph:
        """Raises EngineError if something was put on the stream that cannot be captured."""

    def launch(self, graph: Graph) -> None: ...

    def synchronize(self) -> None:
        """Wait for everything put on it. Blocks without the GIL.

        Raises:
            DeviceLost: the device failed; nothing on it is valid any more.
        """

    def close(self) -> None: ...


class Device(Protocol):
    """One device. Its calls must be made inside `active`, except `info`."""

    @property
    def info(self) -> DeviceInfo: ...

    def active(self) -> AbstractContextManager[None]:
        """This thread speaks to this device. May be nested."""

    def allocate(self, nbytes: int) -> int:
        """Device memory, its address. An allocation of its own, never from a pool.

        Raises:
            OutOfDeviceMemory: no room.
        """

    def free(self, address: int) -> None: ...

    def pinned(self, nbytes: int) -> U8:
        """(nbytes,) host memory that the device copies from and to directly; freed with the device."""

    def register(self, region: U8) -> bool:
        """Pin memory that is there already. False: this system will not; copies then go through `pinned` memory.

        A read-only mapping is registered as such.
        """

    def unregister(self, region: U8) -> None:
        """Before the region is unmapped."""

    def stream(self) -> Stream: ...

    def event(self) -> Event: ...

    def export_dmabuf(self, address: int, nbytes: int) -> int:
        """A file descriptor by which a network card reaches this memory; the caller closes it.

        Raises:
            EngineError: the driver or the device cannot.
        """

    def free_bytes(self) -> int:
        """Device memory that is free now."""

    def close(self) -> None: ...


# --- what runs on it -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Buffers:
    """Device addresses of one batch: planes, color and detections of a folded model, of the largest size."""

    planes: int
    color: int
    detections: int


class Context(Protocol):
    """One program's state for one stream."""

    def enqueue(self, batch: int) -> None:
        """Put a batch of this size on the stream. The first of a size may block.

        Raises:
            EngineError: refused. OutOfDeviceMemory: no room for this size.
        """

    def close(self) -> None: ...


class Program(Protocol):
    """A model that a device runs: a TensorRT engine, or another's."""

    @property
    def title(self) -> str:
        """Library, version and precision, for people."""

    @property
    def capturable(self) -> bool:
        """`enqueue` may be captured into a graph."""

    def context(self, buffers: Buffers, stream: Stream) -> Context: ...

    def close(self) -> None: ...
