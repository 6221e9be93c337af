"""Plans are built once, and again whenever the file that is there cannot be trusted. The builder is played."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.errors import ModelError
from pipelines.worker.engines import tensorrt_plan as plans
from pipelines.worker.engines.tensorrt_build import Limits, Progress
from pipelines.worker.engines.tensorrt_cache import Plan, Target, get
from pipelines.worker.engines.tensorrt_child import Order
from pipelines.worker.engines.tensorrt_library import Library, capability_member, named_capabilities
from pipelines.worker.engines.tensorrt_options import TensorrtOptions

RTX = Library(
    "rtx",
    "1.7",
    SimpleNamespace(ComputeCapability=SimpleNamespace(__members__=dict.fromkeys(("NONE", "SM80", "SM120")))),
)
DATA_CENTRE = Library("tensorrt", "10.9", SimpleNamespace())
SM80 = Target("8.0")


class Builder:
    """Writes a plan that names its order, and remembers the orders."""

    def __init__(self) -> None:
        self.orders: list[Order] = []

    def __call__(self, order: Order, limits: Limits, progress: Progress) -> None:
        del limits
        self.orders.append(order)
        progress("building (1 steps)")
        plan = f"plan for {order.key.capability}".encode()
        description = plans.Description(order.key, (), {}, hashlib.sha256(plan).hexdigest(), 1.0, 1)
        Path(order.target).write_bytes(plans.pack(description, plan))


def fetch(
    tmp_path: Path, builder: Callable[[Order, Limits, Progress], None], target: Target = SM80, library: Library = RTX
) -> Plan:
    model = tmp_path / "model.onnx"
    if not model.exists():
        model.write_bytes(b"weights")
    return get(model, library, target, TensorrtOptions(cache=tmp_path / "plans"), builder=builder)


def test_the_second_time_nothing_is_built(tmp_path: Path) -> None:
    builder = Builder()
    first, second = fetch(tmp_path, builder), fetch(tmp_path, builder)
    assert (first.reused, second.reused, len(builder.orders)) == (False, True, 1)
    assert second.content == b"plan for 8.0"


def test_another_model_or_device_has_a_plan_of_its_own(tmp_path: Path) -> None:
    builder = Builder()
    fetch(tmp_path, builder)
    fetch(tmp_path, builder, Target("12.0"))
    (tmp_path / "model.onnx").write_bytes(b"other weights")
    fetch(tmp_path, builder)
    assert len(builder.orders) == 3
    assert len({order.target for order in builder.orders}) == 3


def test_a_corrupt_plan_is_built_again_and_the_reason_told(tmp_path: Path) -> None:
    builder = Builder()
    path = fetch(tmp_path, builder).path
    path.write_bytes(path.read_bytes()[:-3])
    again = fetch(tmp_path, builder)
    assert not again.reused
    assert "corrupt or cut short" in again.rejected
    assert str(path) in again.rejected
    assert fetch(tmp_path, builder).reused


def test_a_plan_of_another_device_under_this_name_is_built_again(tmp_path: Path) -> None:
    builder = Builder()
    other, own = fetch(tmp_path, builder, Target("12.0")), fetch(tmp_path, builder)
    own.path.write_bytes(other.path.read_bytes())
    again = fetch(tmp_path, builder)
    assert "capability: built for 12.0, here 8.0" in again.rejected
    assert again.content == b"plan for 8.0"


def test_data_centre_plans_belong_to_one_device_and_rtx_plans_to_a_capability(tmp_path: Path) -> None:
    builder = Builder()
    for library in (DATA_CENTRE, RTX):
        fetch(tmp_path, builder, Target("9.0", "GPU A", here=True), library)
        fetch(tmp_path, builder, Target("9.0", "GPU B", here=True), library)
    assert [order.key.device for order in builder.orders] == ["GPU A", "GPU B", ""]
    assert not any(order.by_name for order in builder.orders)


def test_a_builder_that_fails_leaves_the_cache_as_it_was(tmp_path: Path) -> None:
    def refuse(order: Order, limits: Limits, progress: Progress) -> None:
        raise ModelError("no")

    with pytest.raises(ModelError, match="no"):
        fetch(tmp_path, refuse)
    assert not list((tmp_path / "plans").iterdir())


def test_a_capability_that_the_library_does_not_know_is_refused_with_those_it_does() -> None:
    assert named_capabilities(RTX) == ("8.0", "12.0")
    assert named_capabilities(DATA_CENTRE) == ()
    with pytest.raises(ModelError, match=r"9\.0 by name; it knows 8\.0, 12\.0"):
        capability_member(RTX, "9.0")
