"""The fake device catches what a real one would answer with wrong data, or with nothing at all."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.errors import EngineError
from pipelines.values import U8
from pipelines.worker.engines.device import OutOfDeviceMemory
from pipelines.worker.engines.device_fake import FakeDevice


def bytes_of(*values: int) -> U8:
    return np.array(values, np.uint8)


def test_nothing_happens_before_somebody_waits() -> None:
    device = FakeDevice()
    with device.active():
        stream, address, host = device.stream(), device.allocate(3), device.pinned(3)
        stream.upload(address, bytes_of(1, 2, 3))
        stream.download(host, address)
        assert host.tolist() == [0, 0, 0]
        stream.synchronize()
        assert host.tolist() == [1, 2, 3]


def test_a_graph_is_done_at_each_launch_with_what_the_memory_holds_then() -> None:
    device = FakeDevice()
    with device.active():
        stream, address = device.stream(), device.allocate(1)
        source, result = device.pinned(1), device.pinned(1)
        stream.begin_capture()
        stream.upload(address, source)
        stream.download(result, address)
        graph = stream.end_capture()
        for value in (7, 9):
            source[0] = value
            stream.launch(graph)
            stream.synchronize()
            assert result[0] == value
        graph.close()
        with pytest.raises(EngineError, match="closed"):
            stream.launch(graph)


def test_misuse_is_an_error() -> None:
    device = FakeDevice(total_bytes=100)
    with pytest.raises(EngineError, match="not active"):
        device.allocate(10)
    with device.active():
        stream, address = device.stream(), device.allocate(10)
        with pytest.raises(EngineError, match="outside of every allocation"):
            stream.copy(address + 5, address, 6)
        with pytest.raises(EngineError, match="not pinned"):
            stream.download(bytes_of(1), address)
        with pytest.raises(OutOfDeviceMemory):
            device.allocate(91)
        device.free(address)
        with pytest.raises(EngineError, match="not allocated"):
            device.free(address)
        with pytest.raises(EngineError, match="outside of every allocation"):
            stream.upload(address, bytes_of(1))


def test_copies_of_one_stream_overlap_with_the_work_of_another() -> None:
    device = FakeDevice(copy_gb_s=1.0)  # 1 ms for a megabyte
    with device.active():
        first, second = device.stream(), device.stream()
        address = device.allocate(1_000_000)
        ends = [device.event(), device.event()]
        for stream, event in zip((first, second), ends, strict=True):
            stream.upload(address, np.zeros(1_000_000, np.uint8))
            stream.put(lambda: None, "compute", 1.0)
            stream.record(event)
        first.synchronize()
        second.synchronize()
        assert ends[0].elapsed_ms(device.event()) == pytest.approx(2.0)
        assert ends[1].elapsed_ms(device.event()) == pytest.approx(3.0)  # not 4: its copy ran beside the first's work
