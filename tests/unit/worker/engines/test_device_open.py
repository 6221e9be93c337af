"""The best engine is found by looking, and a machine without a device gets the CPU's."""

from __future__ import annotations

from types import SimpleNamespace

import onnxruntime
import pytest

from pipelines import build_worker
from pipelines.errors import ModelError
from pipelines.worker.engines import device_open, tensorrt_library
from pipelines.worker.engines.device import Device
from pipelines.worker.engines.device_fake import FakeDevice
from pipelines.worker.engines.null import NullEngine
from pipelines.worker.engines.onnx import OnnxEngine
from pipelines.worker.engines.tensorrt_library import Library
from pipelines.worker.engines.tensorrt_options import TensorrtOptions
from pipelines.worker.options import BatchOptions

CUDA = "CUDAExecutionProvider"


def nothing() -> Device:
    raise ModelError("no CUDA device: test")


def missing() -> Device:
    raise ModuleNotFoundError("No module named 'pycuda'")


@pytest.mark.parametrize(
    ("device", "library", "providers", "best"),
    [
        (nothing, True, [CUDA], "onnx"),
        (FakeDevice, True, [CUDA], "tensorrt"),
        (FakeDevice, False, [CUDA], "onnx-cuda"),
        (FakeDevice, False, [], "onnx"),
    ],
)
def test_the_best_that_is_here_is_chosen(
    monkeypatch: pytest.MonkeyPatch, device: object, library: bool, providers: list[str], best: str
) -> None:
    found = Library("rtx", "1", SimpleNamespace()) if library else None
    monkeypatch.setattr(device_open, "_pycuda", missing)
    monkeypatch.setattr(device_open, "_bindings", device)
    monkeypatch.setattr(tensorrt_library, "find", lambda _: found)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    assert device_open.best_engine("any") == best


def test_without_a_device_each_way_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_open, "_pycuda", missing)
    monkeypatch.setattr(device_open, "_bindings", nothing)
    with pytest.raises(ModelError, match=r"No module named 'pycuda'; no CUDA device: test"):
        device_open.open_device()


def test_the_worker_builds_what_was_asked_for_or_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_open, "_pycuda", nothing)
    monkeypatch.setattr(device_open, "_bindings", nothing)
    detector = SimpleNamespace(detector="detector", size_wh=None, family=None)

    def worker(engine: str) -> SimpleNamespace:
        return SimpleNamespace(engine=engine, threads=1, batch=BatchOptions(max_batch=1), tensorrt=TensorrtOptions())

    found = build_worker.engine(worker("auto"), detector)
    assert isinstance(found, OnnxEngine)
    assert build_worker.title(found).startswith("onnxruntime")
    assert isinstance(build_worker.engine(worker("null"), detector), NullEngine)
    with pytest.raises(ModelError):
        build_worker.engine(worker("tensorrt"), detector)
    with pytest.raises(ModelError, match="none of the providers CUDAExecutionProvider is here"):
        build_worker.engine(worker("onnx-cuda"), detector)
