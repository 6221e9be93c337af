"""TensorRT-RTX builds plans on this machine, without a GPU, for devices that are named. None of them runs here."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pipelines.errors import ModelError
from pipelines.model.fold import fold
from pipelines.model.known import SHIPPED_FOLDER
from pipelines.model.options import FoldOptions
from pipelines.worker.engines.folded import read_card
from pipelines.worker.engines.tensorrt_assert import expected_tensors
from pipelines.worker.engines.tensorrt_cache import Target, get
from pipelines.worker.engines.tensorrt_library import Library, find
from pipelines.worker.engines.tensorrt_options import TensorrtOptions
from pipelines.worker.engines.tensorrt_plan import Profile
from tests.footage import footage

CAPABILITIES = ("8.0", "8.9", "12.0")


@pytest.fixture(scope="module")
def library() -> Library:
    found = find("rtx")
    if found is None:
        pytest.skip("TensorRT-RTX is not installed (pip install 'framegate[rtx]', Linux on x86-64)")
    return found


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> TensorrtOptions:
    return TensorrtOptions(flavour="rtx", cache=tmp_path_factory.mktemp("plans"))


@pytest.fixture(scope="module", params=["detector", "yolox_nano"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "detector":
        return SHIPPED_FOLDER / "detector.folded.onnx"
    target: Path = tmp_path_factory.mktemp("nano") / "yolox_nano.onnx"
    fold(footage("models/yolox_nano_416.onnx"), target, FoldOptions(name="yolox_nano"))
    return target


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_a_plan_is_built_for_a_named_device_and_found_again(
    library: Library, options: TensorrtOptions, model: Path, capability: str
) -> None:
    heard: list[str] = []
    plan = get(model, library, Target(capability), options, heard.append)
    assert plan.description.tensors == expected_tensors(read_card(model))
    assert plan.description.key.profile == Profile(1, 8, 32)
    assert set(plan.description.precision) == {"float32"}
    assert heard
    started = time.monotonic()
    again = get(model, library, Target(capability), options)
    assert again.reused
    assert again.content == plan.content
    assert time.monotonic() - started < 1.0


def test_a_corrupt_plan_is_named_and_built_again(library: Library, options: TensorrtOptions) -> None:
    model = SHIPPED_FOLDER / "detector.folded.onnx"
    path = get(model, library, Target("8.0"), options).path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    again = get(model, library, Target("8.0"), options)
    assert not again.reused
    assert "corrupt" in again.rejected


def test_a_plan_of_another_device_is_named_and_built_again(library: Library, options: TensorrtOptions) -> None:
    model = SHIPPED_FOLDER / "detector.folded.onnx"
    other, own = (get(model, library, Target(c), options) for c in ("12.0", "8.9"))
    own.path.write_bytes(other.path.read_bytes())
    again = get(model, library, Target("8.9"), options)
    assert "capability: built for 12.0, here 8.9" in again.rejected
    assert again.content != other.content


def test_a_device_that_it_does_not_know_is_refused_with_those_it_does(
    library: Library, options: TensorrtOptions
) -> None:
    with pytest.raises(ModelError, match=r"cannot build for compute capability 9\.0 by name; it knows 7\.5, 8\.0"):
        get(SHIPPED_FOLDER / "detector.folded.onnx", library, Target("9.0"), options)
