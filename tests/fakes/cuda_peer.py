"""What test_device_cuda.py runs in a process of its own: the product's CUDA device over the driver it is given.

python -m tests.fakes.cuda_peer CASE; prints one line of JSON.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import sys
from typing import Any

import numpy as np

from pipelines.errors import DeviceLost, EngineError
from pipelines.values import ModelCard
from pipelines.worker.engines.device import Buffers, DeviceBytes, OutOfDeviceMemory, Stream
from pipelines.worker.engines.device_cuda import CudaDevice
from pipelines.worker.engines.device_engine import DeviceEngine, RunOptions

CARD = ModelCard("echo", "yolov8", 32, 32, ("thing",), top_k=2)
ROW_BYTES = 24


class Echo:
    """Implements device.Program: the first bytes of each picture are its first row."""

    title, capturable = "echo", True

    def context(self, buffers: Buffers, stream: Stream) -> EchoContext:
        return EchoContext(buffers, stream)

    def close(self) -> None:
        """Nothing to free."""


class EchoContext:
    """Implements device.Context."""

    def __init__(self, buffers: Buffers, stream: Stream) -> None:
        self._buffers, self._stream = buffers, stream

    def enqueue(self, batch: int) -> None:
        for row in range(batch):
            target = self._buffers.detections + row * CARD.top_k * ROW_BYTES
            self._stream.copy(target, self._buffers.planes + row * CARD.payload_bytes, ROW_BYTES)

    def close(self) -> None:
        """Nothing to free."""


def engine() -> tuple[DeviceEngine, CudaDevice]:
    device = CudaDevice()
    return DeviceEngine(Echo(), device, CARD, RunOptions(max_batch=4)), device


def whole() -> dict[str, Any]:
    """Batches of every size, from a pinned ring that can only be read, from anywhere, and from device memory."""
    made, device = engine()
    slots, size = 5, CARD.payload_bytes
    fd = os.memfd_create("ring")
    os.truncate(fd, slots * size)
    with mmap.mmap(fd, slots * size) as writable:
        pictures = np.random.default_rng(0).random((slots, size // 4), np.float32).view(np.uint8)
        writable[:] = pictures.tobytes()
    region = np.frombuffer(mmap.mmap(fd, slots * size, prot=mmap.PROT_READ), np.uint8)
    pinned = made.pin(region)
    again = made.pin(region)
    ring = region.reshape(slots, size)
    right = []
    color = np.zeros((4, 3, 4), np.float32)
    for source in (ring, pictures):
        for count in range(1, made.max_batch + 1):
            rows = made.infer(list(source[1 : 1 + count]), color[:count])
            right.append(bool((rows[:, 0].view(np.uint8) == pictures[1 : 1 + count, :ROW_BYTES]).all()))
    with device.active():
        address = device.allocate(size)
        stream = device.stream()
        stream.upload(address, ring[0])
        stream.synchronize()
        stream.close()
    rows = made.infer([DeviceBytes(address, size)], color[:1])
    right.append(bool((rows[0, 0].view(np.uint8) == pictures[0, :ROW_BYTES]).all()))
    seen = made.statistics()
    made.unpin(region)
    with device.active():
        device.free(address)
    made.close()
    return {
        "title": made.title,
        "pinned": [pinned, again],
        "right": right,
        "staged": seen.staged,
        "graphs": [seen.graphs, list(seen.captured)],
        "timed": seen.last is not None and seen.last.compute_ms > 0,
        "left": left(),
    }


def refused() -> dict[str, Any]:
    """What the driver refuses, as errors of ours; the device goes on."""
    device = CudaDevice()
    out: dict[str, Any] = {"capability": device.info.capability, "driver": device.info.driver}
    with device.active():
        try:
            device.allocate(1 << 40)
        except OutOfDeviceMemory as error:
            out["allocate"] = str(error)
        try:
            device.export_dmabuf(4096, 4096)
        except EngineError as error:
            out["dmabuf"] = [type(error).__name__, str(error)]
        out["free_bytes"] = device.free_bytes()
    device.close()
    device.close()
    return out


def broken() -> dict[str, Any]:
    """A device that fails in the middle."""
    made, _ = engine()
    os.environ["FAKE_CUDA_BROKEN"] = "1"  # Python's putenv reaches the driver's getenv
    try:
        made.infer([np.zeros(CARD.payload_bytes, np.uint8)], np.zeros((1, 3, 4), np.float32))
    except DeviceLost as error:
        return {"lost": str(error)}
    return {}


def left() -> list[int]:
    """Streams, events, graphs and bytes that were not given back."""
    driver = ctypes.CDLL("libcuda.so.1")
    return [int(driver.cuFakeCount(which)) for which in range(4)]


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"whole": whole, "refused": refused, "broken": broken}[sys.argv[1]]()) + "\n")
