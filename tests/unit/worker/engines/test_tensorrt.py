"""A plan as a program of a device. The library is played: it copies each picture's first bytes into its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipelines.errors import ModelError
from pipelines.model.known import SHIPPED_FOLDER
from pipelines.values import ModelCard
from pipelines.worker.engines import tensorrt, tensorrt_cache, tensorrt_plan
from pipelines.worker.engines.device_engine import DeviceEngine
from pipelines.worker.engines.device_fake import FakeDevice, FakeStream
from pipelines.worker.engines.folded import COLOR, DETECTIONS, PLANES, read_card
from pipelines.worker.engines.tensorrt_library import Flavour, Library
from pipelines.worker.engines.tensorrt_options import TensorrtOptions

MODEL = SHIPPED_FOLDER / "detector.folded.onnx"
CARD = read_card(MODEL)
ECHOED = 24
"""Bytes of a picture that come back: one row."""


class Device(FakeDevice):
    """Finds its streams by handle, as a library does."""

    def __init__(self) -> None:
        super().__init__(total_bytes=1 << 28)
        self.streams: dict[int, FakeStream] = {}

    def stream(self) -> FakeStream:
        made = super().stream()
        self.streams[made.handle] = made
        return made


@dataclass
class Played:
    """What the played library is told to do, and what was done with it."""

    device: Device
    dtype: str = "FLOAT"
    refused_plans: int = 0
    largest: int = 64
    no_context: bool = False
    saved: bytes = b"compiled kernels"
    shapes: list[int] = field(default_factory=list)
    given: list[bytes] = field(default_factory=list)
    loads: int = 0


class _Context:
    def __init__(self, played: Played, log: Callable[[str], None]) -> None:
        self._played, self._log = played, log
        self._addresses: dict[str, int] = {}
        self._batch: dict[str, int] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return name in (PLANES, COLOR, DETECTIONS)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._batch[name] = shape[0]
        self._played.shapes.append(shape[0])
        return True

    def execute_async_v3(self, handle: int) -> bool:
        batch = self._batch[PLANES]
        assert self._batch[COLOR] == batch
        if batch > self._played.largest:
            self._log("Requested size was 1 and CUDA ran out of memory")
            return False
        stream = self._played.device.streams[handle]
        for row in range(batch):
            source = self._addresses[PLANES] + row * CARD.payload_bytes
            stream.copy(self._addresses[DETECTIONS] + row * CARD.top_k * 24, source, ECHOED)
        return True


class _Engine:
    num_io_tensors = 3

    def __init__(self, played: Played, log: Callable[[str], None]) -> None:
        self._played, self._log = played, log

    def get_tensor_name(self, index: int) -> str:
        return (PLANES, COLOR, DETECTIONS)[index]

    def get_tensor_mode(self, name: str) -> str:
        return "out" if name == DETECTIONS else "in"

    def get_tensor_dtype(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(name="UINT8" if name == PLANES else self._played.dtype)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        shapes = {PLANES: (CARD.input_h * 3 // 2, CARD.input_w), COLOR: (3, 4), DETECTIONS: (CARD.top_k, 6)}
        return (-1, *shapes[name])

    def create_execution_context(self, config: Any = None) -> _Context | None:
        assert config is None or config.set
        if self._played.no_context:
            self._log("no room for activations")
            return None
        return _Context(self._played, self._log)

    def create_runtime_config(self) -> SimpleNamespace:
        played = self._played
        made = SimpleNamespace(deserialize=played.given.append, serialize=lambda: played.saved)
        config = SimpleNamespace(set=False, create_runtime_cache=lambda: made)
        config.set_runtime_cache = lambda given: setattr(config, "set", given is made)
        return config


def library(played: Played, flavour: Flavour) -> Library:
    """The Python face of TensorRT, as far as it is used."""

    class Logger:
        Severity = SimpleNamespace(ERROR=1)

        def __init__(self) -> None:
            """As pybind11 wants it."""

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def _log(self, text: str) -> None:
            self._logger.log(1, text)

        def deserialize_cuda_engine(self, plan: bytes) -> _Engine | None:
            played.loads += 1
            if played.loads <= played.refused_plans:
                self._log("The engine plan file is not compatible with this version")
                return None
            return _Engine(played, self._log)

    trt = SimpleNamespace(ILogger=Logger, Runtime=Runtime, TensorIOMode=SimpleNamespace(INPUT="in"))
    if flavour == "rtx":
        trt.DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager")
    return Library(flavour, "1.0", trt)


@pytest.fixture
def played() -> Played:
    return Played(Device())


@pytest.fixture
def opened(played: Played, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., DeviceEngine]:
    """Opens the engine over the played library; plans come from a played cache."""
    path = tmp_path / "model.plan"
    built = []

    def get(model: Path, lib: Library, target: Any, *_: Any) -> tensorrt_cache.Plan:
        reused = path.is_file()
        path.write_bytes(b"plan")
        built.append(reused)
        key = tensorrt_cache.key_of(model, lib, target, tensorrt_plan.Profile())
        description = tensorrt_plan.Description(key, (), {"float16": 41}, "", 0.0, 0)
        return tensorrt_cache.Plan(description, b"plan", path, reused)

    def open_engine(flavour: Flavour = "rtx", max_batch: int = 4, there: bool = False) -> DeviceEngine:
        if there:
            path.write_bytes(b"old plan")
        options = TensorrtOptions(contexts=2)
        found = library(played, flavour)
        return tensorrt.open_engine(MODEL, options, max_batch, opener=lambda: played.device, library=found)

    monkeypatch.setattr(tensorrt_cache, "get", get)
    return open_engine


def asked(card: ModelCard, count: int) -> tuple[list[Any], Any]:
    planes = np.random.default_rng(0).random((count, card.payload_bytes // 4), np.float32).view(np.uint8)
    return list(planes), np.zeros((count, 3, 4), np.float32)


@pytest.mark.parametrize("flavour", ["tensorrt", "rtx"])
def test_each_picture_reaches_its_own_rows(opened: Callable[..., Any], flavour: Flavour) -> None:
    engine = opened(flavour)
    payloads, color = asked(CARD, 3)
    rows = engine.infer(payloads, color)
    for got, payload in zip(rows, payloads, strict=True):
        np.testing.assert_array_equal(got[0].view(np.uint8), payload[:ECHOED])
    assert engine.statistics().captured == (1, 2, 4)
    assert engine.title.endswith("1.0 float16 on fake device (fake)")
    engine.close()


def test_shapes_are_set_only_when_the_batch_changes(opened: Callable[..., Any], played: Played) -> None:
    engine = opened()
    assert played.shapes == [1, 1, 2, 2, 4, 4] * 2  # two inputs, two contexts; the capture needs none anew
    engine.close()


def test_an_engine_of_other_types_is_refused(opened: Callable[..., Any], played: Played) -> None:
    played.dtype = "HALF"
    with pytest.raises(ModelError, match=r"not the card's.*float16"):
        opened()


def test_a_plan_that_the_library_refuses_is_built_once_more(opened: Callable[..., Any], played: Played) -> None:
    played.refused_plans = 1
    engine = opened(there=True)
    assert played.loads == 2
    engine.close()


def test_a_new_plan_that_it_refuses_is_an_error_with_its_words(opened: Callable[..., Any], played: Played) -> None:
    played.refused_plans = 9
    with pytest.raises(ModelError, match=r"refuses this plan: The engine plan file is not compatible"):
        opened()
    assert played.loads == 1


def test_a_size_without_room_halves_the_batch(opened: Callable[..., Any], played: Played) -> None:
    played.largest = 2
    engine = opened()
    assert engine.max_batch == 2
    engine.close()


def test_no_room_for_a_context_is_an_error_of_the_load(opened: Callable[..., Any], played: Played) -> None:
    played.no_context = True
    with pytest.raises(ModelError, match="no room for activations"):
        opened()
    assert played.device.allocations == 0


def test_what_was_compiled_is_kept_for_the_next_start(
    opened: Callable[..., Any], played: Played, tmp_path: Path
) -> None:
    opened().close()
    assert (tmp_path / "model.compiled").read_bytes() == played.saved
    assert played.given == []
    opened().close()
    assert played.given == [played.saved]
