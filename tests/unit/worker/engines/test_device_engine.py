"""The engine for a device, over the fake one: what is copied how, what is captured, and what happens when it fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.color import affine
from pipelines.errors import DeviceLost, EngineError, ModelError
from pipelines.model.fold import fold
from pipelines.model.options import FoldOptions
from pipelines.values import F32, U8, ColorMatrix, ColorRange, ModelCard
from pipelines.worker.engines.device import DeviceBytes
from pipelines.worker.engines.device_engine import DeviceEngine, RunOptions
from pipelines.worker.engines.device_fake import FakeDevice
from pipelines.worker.engines.device_fake_program import FakeProgram
from pipelines.worker.engines.device_lane import buckets
from pipelines.worker.engines.onnx import OnnxEngine
from tests.fakes.detector import save_detector


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    target = folder / "folded.onnx"
    fold(save_detector(folder / "own.onnx", (64, 64)), target, FoldOptions())
    return target


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


@pytest.fixture
def engine(model: Path, device: FakeDevice) -> Iterator[DeviceEngine]:
    program = FakeProgram(model, device)
    made = DeviceEngine(program, device, program.card, RunOptions(max_batch=4))
    yield made
    made.close()


def pictures(card: ModelCard, count: int, seed: int = 0) -> tuple[U8, F32]:
    """A ring of payloads, (count, payload_bytes), and their colors."""
    planes = np.random.default_rng(seed).integers(0, 256, (count, card.payload_bytes), np.uint8)
    color = affine(card, ColorRange.LIMITED, ColorMatrix.BT709)
    return planes, np.stack([color] * count)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_rows_are_those_of_the_cpu_engine(engine: DeviceEngine, model: Path, count: int) -> None:
    planes, color = pictures(engine.card, count, seed=count)
    expected = OnnxEngine(model, max_batch=4).infer(list(planes), color)
    np.testing.assert_allclose(engine.infer(list(planes), color), expected, atol=1e-5)


def test_a_pinned_ring_is_copied_by_the_device_alone(engine: DeviceEngine) -> None:
    planes, color = pictures(engine.card, 3)
    engine.infer(list(planes), color)
    assert engine.statistics().staged == 3
    assert engine.pin(planes.reshape(-1))
    assert engine.statistics().pinned_regions == 1
    engine.infer(list(planes), color)
    assert engine.statistics().staged == 3
    engine.unpin(planes.reshape(-1))
    engine.infer(list(planes), color)
    assert engine.statistics().staged == 6


def test_a_system_that_pins_nothing_is_served_by_staging(model: Path) -> None:
    device = FakeDevice(registers=False)
    program = FakeProgram(model, device)
    engine = DeviceEngine(program, device, program.card, RunOptions(max_batch=2))
    planes, color = pictures(engine.card, 2)
    assert not engine.pin(planes.reshape(-1))
    assert engine.infer(list(planes), color).shape == (2, engine.card.top_k, 6)
    assert engine.statistics().staged == 2
    engine.close()


def test_payloads_on_the_device_are_gathered_there(engine: DeviceEngine, device: FakeDevice) -> None:
    planes, color = pictures(engine.card, 2)
    with device.active():
        address = device.allocate(planes.nbytes)
        np.copyto(device.memory(address, planes.nbytes), planes.reshape(-1))
    size = engine.card.payload_bytes
    rows = engine.infer([DeviceBytes(address + size, size), DeviceBytes(address, size)], color)
    np.testing.assert_array_equal(rows, engine.infer([planes[1], planes[0]], color))
    device.free(address)


def test_batches_run_as_graphs_of_the_next_bucket(engine: DeviceEngine) -> None:
    planes, color = pictures(engine.card, 3)
    engine.infer(list(planes), color)
    seen = engine.statistics()
    assert buckets(6) == (1, 2, 4, 6)
    assert seen.captured == (1, 2, 4)
    assert (seen.batches, seen.tasks, seen.padding, seen.graphs) == (1, 3, 1, 1)
    assert seen.last is not None
    assert (seen.last.batch, seen.last.bucket, seen.last.graph) == (3, 4, True)
    assert seen.last.upload_ms == pytest.approx(3 * engine.card.payload_bytes / 10e6)
    assert seen.last.compute_ms > 2.5  # 1 ms a picture: (1 + 4) / 2, and two small copies


@pytest.mark.parametrize("capturable", [True, False])
def test_without_graphs_the_same_work_is_launched_plainly(model: Path, device: FakeDevice, capturable: bool) -> None:
    program = FakeProgram(model, device, capturable=capturable)
    engine = DeviceEngine(program, device, program.card, RunOptions(max_batch=2, graphs=not capturable))
    planes, color = pictures(engine.card, 2)
    assert engine.infer(list(planes), color)[:, 0, 4].min() >= 0
    assert (device.graphs, engine.statistics().graphs, engine.statistics().captured) == (0, 0, ())
    engine.close()


def test_two_threads_have_a_lane_each(engine: DeviceEngine, model: Path) -> None:
    planes, color = pictures(engine.card, 4)
    expected = OnnxEngine(model, max_batch=4).infer(list(planes), color)
    failed: list[BaseException] = []

    def work(row: int) -> None:
        try:
            for _ in range(20):
                got = engine.infer([planes[row], planes[row + 1]], color[:2])
                np.testing.assert_allclose(got, expected[row : row + 2], atol=1e-5)
        except BaseException as error:  # told to the test's thread
            failed.append(error)

    threads = [threading.Thread(target=work, args=(row,)) for row in (0, 1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.parallel == 2
    assert not failed
    assert engine.statistics().tasks == 120


def test_where_there_is_no_room_the_batch_is_halved(model: Path) -> None:
    card = FakeProgram(model, FakeDevice()).card
    per_task = card.payload_bytes + 48 + card.top_k * 24
    device = FakeDevice(total_bytes=2 * 3 * per_task)  # two lanes of three
    program = FakeProgram(model, device)
    engine = DeviceEngine(program, device, card, RunOptions(max_batch=8))
    assert engine.max_batch == 2
    engine.close()
    assert device.allocations == 0


def test_a_context_without_room_for_a_size_halves_the_batch_too(model: Path, device: FakeDevice) -> None:
    program = FakeProgram(model, device)
    program.largest = 1
    engine = DeviceEngine(program, device, program.card, RunOptions(max_batch=8))
    assert engine.max_batch == 1
    engine.close()
    assert device.allocations == 0


def test_no_room_at_all_is_an_error_of_the_load(model: Path) -> None:
    device = FakeDevice(total_bytes=1000)
    program = FakeProgram(model, device)
    with pytest.raises(ModelError, match="no room on fake device even for a batch of 1"):
        DeviceEngine(program, device, program.card, RunOptions(max_batch=4))
    assert device.allocations == 0


def test_wrong_batches_and_payloads_are_refused(engine: DeviceEngine) -> None:
    planes, color = pictures(engine.card, 4)
    with pytest.raises(EngineError, match="batch of 5"):
        engine.infer([*planes, planes[0]], color)
    with pytest.raises(EngineError, match="payload of 10 bytes"):
        engine.infer([planes[0][:10]], color[:1])
    assert engine.infer([planes[0]], color[:1]).shape == (1, engine.card.top_k, 6)


def test_a_lost_device_is_told_apart(engine: DeviceEngine, device: FakeDevice) -> None:
    planes, color = pictures(engine.card, 1)
    device.lose("illegal address")
    with pytest.raises(DeviceLost, match="illegal address"):
        engine.infer(list(planes), color)


def test_closing_gives_everything_back_and_ends_the_engine(model: Path, device: FakeDevice) -> None:
    program = FakeProgram(model, device)
    engine = DeviceEngine(program, device, program.card, RunOptions(max_batch=2))
    planes, color = pictures(engine.card, 1)
    engine.pin(planes.reshape(-1))
    engine.close()
    engine.close()
    assert device.allocations == 0
    assert not device.is_pinned(planes.reshape(-1))
    with pytest.raises(EngineError, match="closed"):
        engine.infer(list(planes), color)
