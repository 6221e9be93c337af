"""The program of the fake device: the folded model itself, by onnxruntime on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from pipelines.errors import EngineError
from pipelines.values import ModelCard
from pipelines.worker.engines.device import Buffers, OutOfDeviceMemory, Stream
from pipelines.worker.engines.device_fake import FakeDevice, FakeStream
from pipelines.worker.engines.folded import COLOR, CPU, DETECTIONS, PLANES, open_session


class FakeProgram:
    """Implements device.Program. Thread-safe, as onnxruntime is."""

    def __init__(self, path: Path, device: FakeDevice, compute_ms: float = 1.0, capturable: bool = True) -> None:
        """`compute_ms`: of one picture, in the fake device's time.

        Raises:
            ModelError: not a folded model; names the file.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session, self.card = open_session(path, options, [CPU])
        self._device, self._compute_ms, self._capturable = device, compute_ms, capturable
        self.largest = 1 << 30
        """Batches beyond this size find no room: for tests."""

    @property
    def title(self) -> str:
        return "onnxruntime behind a fake device"

    @property
    def capturable(self) -> bool:
        return self._capturable

    def context(self, buffers: Buffers, stream: Stream) -> FakeContext:
        if not isinstance(stream, FakeStream):
            raise EngineError("the fake program runs on the fake device only")
        return FakeContext(self, buffers, stream)

    def run(self, buffers: Buffers, batch: int) -> None:
        """What the device does when it comes to it."""
        card = self.card
        planes = self._device.memory(buffers.planes, batch * card.payload_bytes)
        color = self._device.memory(buffers.color, batch * 48).view(np.float32)
        feeds = {
            PLANES: planes.reshape(batch, card.input_h * 3 // 2, card.input_w),
            COLOR: color.reshape(batch, 3, 4),
        }
        rows = self._session.run([DETECTIONS], feeds)[0]
        target = self._device.memory(buffers.detections, rows.nbytes)
        np.copyto(target, np.ascontiguousarray(rows).reshape(-1).view(np.uint8))

    def work_ms(self, batch: int) -> float:
        """Virtual time of one batch: a fixed start and so much per picture."""
        return self._compute_ms * (1 + batch) / 2

    def close(self) -> None:
        """Nothing to free."""


class FakeContext:
    """Implements device.Context."""

    def __init__(self, program: FakeProgram, buffers: Buffers, stream: FakeStream) -> None:
        self._program, self._buffers, self._stream = program, buffers, stream

    @property
    def card(self) -> ModelCard:
        return self._program.card

    def enqueue(self, batch: int) -> None:
        if batch > self._program.largest:
            raise OutOfDeviceMemory(f"batch of {batch}")
        self._stream.put(lambda: self._program.run(self._buffers, batch), "compute", self._program.work_ms(batch))

    def close(self) -> None:
        """Nothing to free."""
