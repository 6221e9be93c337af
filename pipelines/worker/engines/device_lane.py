"""One batch on a device: a stream, a context, buffers, and a graph for each batch size.

    slot, pinned        --H2D--> |            |
    slot, not pinned -> staging --H2D--> planes row i | --- graph: color H2D, the model, rows D2H --> pinned rows
    slot on the device  --D2D--> |            |

The gather is done by the copies: each payload goes to its own row, and the host touches no pinned one. Copies of one
lane overlap with the work of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.errors import DeviceLost, EngineError
from pipelines.values import F32, U8, ModelCard
from pipelines.worker.engines.device import Buffers, Device, DeviceBytes, Graph, Program
from pipelines.worker.engines.device_pins import Pins

Payload = U8 | DeviceBytes
_COLOR_BYTES = 3 * 4 * 4
_ROW_BYTES = 6 * 4


@dataclass(frozen=True, slots=True)
class Timing:
    """One batch. Device time by events, ms."""

    batch: int
    bucket: int
    """Size it was run as; the rest of it is padding."""
    upload_ms: float
    compute_ms: float
    """The model, with the color before and the rows after it."""
    staged: int
    """Payloads that had to be copied by the host first."""
    graph: bool


def buckets(max_batch: int) -> tuple[int, ...]:
    """Batch sizes that are run: powers of two, and the largest."""
    return tuple(sorted({max_batch, *(1 << n for n in range(max_batch.bit_length()))}))


class Lane:
    """One thread at a time. Made and closed inside `device.active()`."""

    def __init__(self, device: Device, program: Program, card: ModelCard, max_batch: int, graphs: bool) -> None:
        """Allocate, and run every batch size once, so that no camera pays for it. Blocks.

        Raises:
            OutOfDeviceMemory: no room for this batch; everything is given back.
        """
        self._device, self._card, self._buckets = device, card, buckets(max_batch)
        self._addresses: list[int] = []
        self._graphs: dict[int, Graph] = {}
        self._stream = device.stream()
        self._events = [device.event() for _ in range(3)]
        self._context = None
        try:
            self._buffers = Buffers(
                self._allocate(max_batch * card.payload_bytes),
                self._allocate(max_batch * _COLOR_BYTES),
                self._allocate(max_batch * card.top_k * _ROW_BYTES),
            )
            self._staging = device.pinned(max_batch * card.payload_bytes).reshape(max_batch, -1)
            self._color = device.pinned(max_batch * _COLOR_BYTES)
            self._rows = device.pinned(max_batch * card.top_k * _ROW_BYTES)
            self._context = program.context(self._buffers, self._stream)
            for bucket in self._buckets:
                self._warm(bucket, graphs and program.capturable)
        except EngineError:
            self.close()
            raise

    @property
    def captured(self) -> tuple[int, ...]:
        """Batch sizes that are launched as a graph."""
        return tuple(self._graphs)

    def run(self, payloads: Sequence[Payload], color: F32, pins: Pins) -> tuple[F32, Timing]:
        """One batch; waits for it without the GIL. The rows are the caller's own. Raises as Engine.infer."""
        count = len(payloads)
        bucket = next(size for size in self._buckets if size >= count)
        try:
            staged = self._put(payloads, color, bucket, pins)
        finally:  # also when it was refused half way: the device reads from the caller's slots until then
            self._stream.synchronize()
        before, between, after = self._events
        shape = (bucket, self._card.top_k, 6)
        rows = self._rows[: bucket * self._card.top_k * _ROW_BYTES].view(np.float32).reshape(shape)
        upload_ms, compute_ms = between.elapsed_ms(before), after.elapsed_ms(between)
        return rows[:count].copy(), Timing(count, bucket, upload_ms, compute_ms, staged, bucket in self._graphs)

    def close(self) -> None:
        """Give everything back. Any number of times."""
        for graph in self._graphs.values():
            graph.close()
        self._graphs = {}
        if self._context is not None:
            self._context.close()
            self._context = None
        for address in self._addresses:
            self._device.free(address)
        self._addresses = []
        for event in self._events:
            event.close()
        self._events = []
        self._stream.close()

    # --- internals -------------------------------------------------------------------------------------------------

    def _allocate(self, nbytes: int) -> int:
        self._addresses.append(self._device.allocate(nbytes))
        return self._addresses[-1]

    def _put(self, payloads: Sequence[Payload], color: F32, bucket: int, pins: Pins) -> int:
        """Put one batch on the stream. Returns how many payloads the host copied."""
        before, between, after = self._events
        self._stream.record(before)
        staged = sum(self._gather(row, payload, pins) for row, payload in enumerate(payloads))
        self._stream.record(between)
        self._color[: len(payloads) * _COLOR_BYTES] = np.ascontiguousarray(color, np.float32).reshape(-1).view(np.uint8)
        graph = self._graphs.get(bucket)
        if graph is None:
            self._enqueue(bucket)
        else:
            self._stream.launch(graph)
        self._stream.record(after)
        return staged

    def _gather(self, row: int, payload: Payload, pins: Pins) -> bool:
        """Put one payload into its row. True if the host had to copy it."""
        address = self._buffers.planes + row * self._card.payload_bytes
        if isinstance(payload, DeviceBytes):
            self._stream.copy(address, payload.address, payload.nbytes)
            return False
        if pins.covers(payload):
            self._stream.upload(address, payload)
            return False
        np.copyto(self._staging[row], payload.reshape(-1))
        self._stream.upload(address, self._staging[row])
        return True

    def _enqueue(self, bucket: int) -> None:
        """What a graph holds: fixed addresses only."""
        assert self._context is not None
        self._stream.upload(self._buffers.color, self._color[: bucket * _COLOR_BYTES])
        self._context.enqueue(bucket)
        self._stream.download(self._rows[: bucket * self._card.top_k * _ROW_BYTES], self._buffers.detections)

    def _warm(self, bucket: int, graph: bool) -> None:
        """Run a size once (libraries compile and allocate then), and capture it. A refused capture is run plainly."""
        self._enqueue(bucket)
        self._stream.synchronize()
        if not graph:
            return
        self._stream.begin_capture()
        try:
            self._enqueue(bucket)
        finally:
            try:
                self._graphs[bucket] = self._stream.end_capture()
            except DeviceLost:
                raise
            except EngineError:  # this size cannot be captured; statistics say so
                self._graphs.pop(bucket, None)
