"""The engine for a device: contracts.Engine over a Program and two or more lanes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.errors import EngineError, ModelError
from pipelines.values import F32, U8, ModelCard
from pipelines.worker.engines.device import Device, OutOfDeviceMemory, Program
from pipelines.worker.engines.device_lane import Lane, Payload, Timing
from pipelines.worker.engines.device_pins import Pins


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a program is run."""

    max_batch: int = 32
    contexts: int = 2
    graphs: bool = True


@dataclass(frozen=True, slots=True)
class DeviceEngineStatistics:
    """Counters since it was made."""

    batches: int
    tasks: int
    padding: int
    """Rows computed for nobody: buckets are powers of two."""
    staged: int
    """Payloads that the host had to copy, because their lane is not pinned."""
    graphs: int
    """Batches launched as a graph."""
    captured: tuple[int, ...]
    """Batch sizes that have one."""
    pinned_regions: int
    upload_ms: float
    compute_ms: float
    """Device time by events, all batches together; two lanes may share it."""
    last: Timing | None


class DeviceEngine:
    """Implements contracts.Engine. `infer` may be called by `parallel` threads at once; more wait for a lane.

    Memory on the device: the program's, and per lane max_batch payloads and answers.
    """

    def __init__(self, program: Program, device: Device, card: ModelCard, options: RunOptions) -> None:
        """Allocate and warm up; takes seconds. Blocks. Where there is no room, with half the batch, down to 1.

        Raises:
            ModelError: not even a batch of 1 has room. DeviceLost.
        """
        self._program, self._device, self._card = program, device, card
        self._pins = Pins(device)
        self._lanes, self._max_batch = _lanes(program, device, card, options)
        self._free: queue.LifoQueue[Lane] = queue.LifoQueue()
        for lane in self._lanes:
            self._free.put(lane)
        self._lock = threading.Lock()
        self._batches = self._tasks = self._padding = self._staged = self._graphs = 0
        self._upload_ms = self._compute_ms = 0.0
        self._last: Timing | None = None
        self._closed = False

    @property
    def card(self) -> ModelCard:
        return self._card

    @property
    def device(self) -> Device:
        """What it runs on; its own until `close`."""
        return self._device

    @property
    def max_batch(self) -> int:
        return self._max_batch

    @property
    def parallel(self) -> int:
        """Batches that may be on the device at once."""
        return len(self._lanes)

    @property
    def title(self) -> str:
        """What runs where, for people."""
        return f"{self._program.title} on {self._device.info.name} ({self._device.info.backend})"

    def infer(self, payloads: Sequence[Payload], color: F32) -> F32:
        """See contracts.Engine. Payloads in device memory (DeviceBytes) are gathered there."""
        if self._closed:
            raise EngineError("the engine is closed")
        if not 0 < len(payloads) <= self._max_batch:
            raise EngineError(f"batch of {len(payloads)}: this engine takes 1 to {self._max_batch}")
        for payload in payloads:
            if payload.nbytes != self._card.payload_bytes:
                wanted = self._card.payload_bytes
                raise EngineError(f"payload of {payload.nbytes} bytes: {self._card.name} wants {wanted}")
        lane = self._free.get()
        try:
            with self._device.active():
                rows, timing = lane.run(payloads, color, self._pins)
        finally:
            self._free.put(lane)
        self._count(timing)
        return rows

    def pin(self, region: U8) -> bool:
        """Let the device copy straight from a lane's payload region, (n,) uint8. False: the system refuses.

        Any thread. The region stays mapped until `unpin`.
        """
        return self._pins.add(region)

    def unpin(self, region: U8) -> None:
        """The lane ended, and no batch reads from it. Any thread."""
        self._pins.remove(region)

    def statistics(self) -> DeviceEngineStatistics:
        with self._lock:
            return DeviceEngineStatistics(
                self._batches,
                self._tasks,
                self._padding,
                self._staged,
                self._graphs,
                self._lanes[0].captured,
                len(self._pins),
                self._upload_ms,
                self._compute_ms,
                self._last,
            )

    def close(self) -> None:
        """Free everything, once no batch runs. `infer` raises EngineError from now on."""
        if self._closed:
            return
        self._closed = True
        with self._device.active():
            for _ in self._lanes:
                self._free.get().close()
            self._pins.close()
            self._program.close()
        self._device.close()

    def _count(self, timing: Timing) -> None:
        with self._lock:
            self._batches += 1
            self._tasks += timing.batch
            self._padding += timing.bucket - timing.batch
            self._staged += timing.staged
            self._graphs += timing.graph
            self._upload_ms += timing.upload_ms
            self._compute_ms += timing.compute_ms
            self._last = timing


def _lanes(program: Program, device: Device, card: ModelCard, options: RunOptions) -> tuple[list[Lane], int]:
    """All lanes, and the batch that had room."""
    batch = options.max_batch
    while True:
        made: list[Lane] = []
        try:
            with device.active():
                while len(made) < options.contexts:
                    made.append(Lane(device, program, card, batch, options.graphs))
            return made, batch
        except OutOfDeviceMemory as error:
            with device.active():
                for lane in made:
                    lane.close()
            if batch == 1:
                raise ModelError(
                    f"{card.name}: no room on {device.info.name} even for a batch of 1: {error}"
                ) from error
            batch //= 2
