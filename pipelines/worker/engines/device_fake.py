"""A device made of host memory and virtual time: what needs CUDA can be tested, and tried, without it.

As strict as the real one and stricter: work is done only when somebody waits for it (a forgotten wait gives old data),
addresses are not the host's, copies must stay inside one allocation, downloads need pinned memory, nothing may be used
after it was freed, and every call needs an active device.

Time is counted, not spent: a copy engine for each direction and one compute engine, each doing one thing at a time, so
that events tell what overlapped. Payloads are really computed, by the program's own function.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from pipelines.errors import DeviceLost, EngineError
from pipelines.values import U8
from pipelines.worker.engines.device import DeviceInfo, Event, Graph, OutOfDeviceMemory
from pipelines.worker.engines.device_pins import address_of

_FIRST_ADDRESS = 0x7000_0000_0000
_GAP = 1 << 20
"""Between allocations: an address past the end belongs to nobody."""


@dataclass(frozen=True, slots=True)
class _Work:
    do: Callable[[], None]
    engine: str
    """"upload", "download" or "compute": what it occupies."""
    ms: float


@dataclass(slots=True)
class FakeEvent:
    """Implements device.Event in virtual time."""

    stream: FakeStream | None = None
    at_ms: float = 0.0

    def synchronize(self) -> None:
        if self.stream is not None:
            self.stream.synchronize()

    def elapsed_ms(self, since: Event) -> float:
        assert isinstance(since, FakeEvent)
        return self.at_ms - since.at_ms

    def close(self) -> None:
        self.stream = None


@dataclass(slots=True)
class FakeGraph:
    """Implements device.Graph."""

    work: list[_Work]
    closed: bool = False

    def close(self) -> None:
        self.closed = True


@dataclass(slots=True)
class FakeStream:
    """Implements device.Stream."""

    device: FakeDevice
    handle: int
    clock_ms: float = 0.0
    _queue: list[_Work | FakeEvent] = field(default_factory=list)
    _captured: list[_Work] | None = None
    capture_refused: bool = False

    def upload(self, address: int, host: U8) -> None:
        source = host if self.device.is_pinned(host) else host.copy()  # CUDA stages what is not pinned
        target = self.device.memory(address, host.nbytes)
        self.put(lambda: np.copyto(target, source.reshape(-1)), "upload", self.device.copy_ms(host.nbytes))

    def download(self, host: U8, address: int) -> None:
        if not self.device.is_pinned(host):
            raise EngineError("download into memory that is not pinned")
        source = self.device.memory(address, host.nbytes)
        self.put(lambda: np.copyto(host, source), "download", self.device.copy_ms(host.nbytes))

    def copy(self, target: int, source: int, nbytes: int) -> None:
        into, out_of = self.device.memory(target, nbytes), self.device.memory(source, nbytes)
        self.put(lambda: np.copyto(into, out_of), "compute", 0.0)

    def put(self, do: Callable[[], None], engine: str, ms: float) -> None:
        """One piece of work, for programs that know this device."""
        self.device.check()
        work = _Work(do, engine, ms)
        if self._captured is None:
            self._queue.append(work)
        else:
            self._captured.append(work)

    def record(self, event: Event) -> None:
        assert isinstance(event, FakeEvent)
        event.stream = self
        self._queue.append(event)

    def begin_capture(self) -> None:
        self._captured = []

    def end_capture(self) -> FakeGraph:
        work, self._captured = self._captured or [], None
        if self.capture_refused:
            raise EngineError("this work cannot be captured")
        self.device.graphs += 1
        return FakeGraph(work)

    def launch(self, graph: Graph) -> None:
        assert isinstance(graph, FakeGraph)
        if graph.closed:
            raise EngineError("launch of a graph that was closed")
        self.device.check()
        self._queue.extend(graph.work)

    def synchronize(self) -> None:
        pending, self._queue = self._queue, []
        for item in pending:
            if isinstance(item, FakeEvent):
                item.at_ms = self.clock_ms
            else:
                self.device.check()
                item.do()
                self.clock_ms = self.device.occupy(item.engine, self.clock_ms, item.ms)

    def close(self) -> None:
        self._queue = []


class FakeDevice:
    """Implements device.Device."""

    def __init__(self, total_bytes: int = 1 << 30, copy_gb_s: float = 10.0, registers: bool = True) -> None:
        """`copy_gb_s`: of each copy engine, in virtual time. `registers`: whether memory can be pinned in place."""
        self._total, self._copy_gb_s, self._registers = total_bytes, copy_gb_s, registers
        self._allocations: dict[int, U8] = {}
        self._next = _FIRST_ADDRESS
        self._pinned: dict[int, int] = {}
        self._kept: list[U8] = []
        self._active = threading.local()
        self._busy_ms: dict[str, float] = {}
        self._lock = threading.Lock()
        self._lost = ""
        self.graphs = 0
        """Captured so far."""

    @property
    def info(self) -> DeviceInfo:
        return DeviceInfo("fake device", "0.0", "none", self._total, "fake")

    @contextmanager
    def active(self) -> Iterator[None]:
        self._active.depth = getattr(self._active, "depth", 0) + 1
        try:
            yield
        finally:
            self._active.depth -= 1

    def allocate(self, nbytes: int) -> int:
        self.check()
        if nbytes > self.free_bytes():
            raise OutOfDeviceMemory(f"{nbytes} bytes asked, {self.free_bytes()} are free")
        with self._lock:
            address, self._next = self._next, self._next + nbytes + _GAP
            self._allocations[address] = np.full(nbytes, 0xA5, np.uint8)
        return address

    def free(self, address: int) -> None:
        if self._allocations.pop(address, None) is None:
            raise EngineError(f"free of {address:#x}, which is not allocated")

    def pinned(self, nbytes: int) -> U8:
        array = np.zeros(nbytes, np.uint8)
        self._kept.append(array)
        self._pinned[address_of(array)] = nbytes
        return array

    def register(self, region: U8) -> bool:
        self.check()
        if self._registers:
            self._pinned[address_of(region)] = region.nbytes
        return self._registers

    def unregister(self, region: U8) -> None:
        if self._pinned.pop(address_of(region), None) is None:
            raise EngineError("unregister of a region that is not registered")

    def stream(self) -> FakeStream:
        self.check()
        self._next += 1
        return FakeStream(self, self._next)

    def event(self) -> FakeEvent:
        return FakeEvent()

    def export_dmabuf(self, address: int, nbytes: int) -> int:
        raise EngineError(f"the fake device has no dma-buf for {address:#x} + {nbytes}")

    def free_bytes(self) -> int:
        return self._total - sum(a.nbytes for a in self._allocations.values())

    def close(self) -> None:
        self._kept = []

    # --- for tests and programs ------------------------------------------------------------------------------------

    @property
    def allocations(self) -> int:
        """Not freed yet."""
        return len(self._allocations)

    @property
    def now_ms(self) -> float:
        """Virtual time at which all work that was waited for has ended."""
        return max(self._busy_ms.values(), default=0.0)

    def lose(self, reason: str) -> None:
        """From now on every call fails, as after a fault on the real one."""
        self._lost = reason

    def check(self) -> None:
        """Raises DeviceLost if it was lost, EngineError if this thread has not made it active."""
        if self._lost:
            raise DeviceLost(self._lost)
        if not getattr(self._active, "depth", 0):
            raise EngineError("the device is not active in this thread")

    def memory(self, address: int, nbytes: int) -> U8:
        """(nbytes,) view of device memory. Raises EngineError outside of every allocation."""
        for start, array in self._allocations.items():
            if start <= address and address + nbytes <= start + array.nbytes:
                return array[address - start : address - start + nbytes]
        raise EngineError(f"{nbytes} bytes at {address:#x} are outside of every allocation")

    def is_pinned(self, host: U8) -> bool:
        start = address_of(host)
        return any(low <= start and start + host.nbytes <= low + n for low, n in self._pinned.items())

    def copy_ms(self, nbytes: int) -> float:
        return nbytes / self._copy_gb_s / 1e6

    def occupy(self, engine: str, not_before_ms: float, ms: float) -> float:
        """Virtual time at which this work ends: after its stream's last, and when the engine is free."""
        with self._lock:
            start_ms = max(not_before_ms, self._busy_ms.get(engine, 0.0)) if ms else not_before_ms
            if ms:
                self._busy_ms[engine] = start_ms + ms
            return start_ms + ms
