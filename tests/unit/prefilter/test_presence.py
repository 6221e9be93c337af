"""The background follows the card's formula, and only presence models are taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pipelines.errors import ModelError
from pipelines.prefilter import presence
from pipelines.prefilter.presence import PresenceGate, PresenceModel, PresenceOptions
from pipelines.values import U8

Shape = tuple[str | int, ...]
SECOND = 1_000_000_000


def model_file(path: Path, shape: Shape = ("n", 2, 96, 160), kind: int = TensorProto.UINT8) -> Path:
    """A model of that input: mean absolute difference of the two pictures, / 255."""
    nodes = [
        helper.make_node("Cast", ["thumbs"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Split", ["f"], ["a", "b"], axis=1, num_outputs=2),
        helper.make_node("Sub", ["a", "b"], ["d"]),
        helper.make_node("Abs", ["d"], ["m"]),
        helper.make_node("ReduceMean", ["m", "axes"], ["r"], keepdims=0),
        helper.make_node("Div", ["r", "full"], ["prob"]),
    ]
    graph = helper.make_graph(
        nodes,
        "difference",
        [helper.make_tensor_value_info("thumbs", kind, shape)],
        [helper.make_tensor_value_info("prob", TensorProto.FLOAT, ["n", 1])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3]),
            helper.make_tensor("full", TensorProto.FLOAT, [], [255.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PresenceModel:
    return PresenceModel(model_file(tmp_path_factory.mktemp("presence") / "difference.onnx"))


def grey(level: int) -> U8:
    return np.full((96, 160), level, np.uint8)


def test_the_first_frame_is_its_own_background(model: PresenceModel) -> None:
    assert PresenceGate(model, PresenceOptions()).probability(grey(100), 0) == 0.0


def test_the_background_is_the_cards_running_mean(model: PresenceModel) -> None:
    """bg += (cur - bg) * dt / 30 s: after 3 s of a 100 levels brighter picture, ten levels."""
    gate = PresenceGate(model, PresenceOptions(background_s=30))
    gate.observe(grey(100), 0)
    gate.observe(grey(200), 3 * SECOND)

    assert gate.probability(grey(100), 3 * SECOND) * 255 == pytest.approx(10, abs=0.5)


def test_asking_feeds_the_background_like_observing(model: PresenceModel) -> None:
    asked, observed = (PresenceGate(model, PresenceOptions()) for _ in range(2))
    for second in range(20):
        asked.probability(grey(10 * second), second * SECOND)
        observed.observe(grey(10 * second), second * SECOND)

    assert asked.probability(grey(0), 20 * SECOND) == observed.probability(grey(0), 20 * SECOND)


def test_one_frame_after_a_gap_does_not_become_the_background(model: PresenceModel) -> None:
    gate = PresenceGate(model, PresenceOptions(background_s=30))
    gate.observe(grey(100), 0)
    gate.observe(grey(200), 3600 * SECOND)

    assert gate.probability(grey(100), 3600 * SECOND) * 255 < 20


def test_time_running_backward_changes_nothing(model: PresenceModel) -> None:
    gate = PresenceGate(model, PresenceOptions())
    gate.observe(grey(100), 100 * SECOND)
    gate.observe(grey(200), 0)

    assert gate.probability(grey(100), 0) == 0.0


def test_it_is_ready_thirty_seconds_after_start_and_after_a_reset(model: PresenceModel) -> None:
    gate = PresenceGate(model, PresenceOptions(warmup_s=30))
    assert not gate.ready(0)
    gate.observe(grey(1), 5 * SECOND)

    assert [gate.ready(t * SECOND) for t in (5, 34, 35)] == [False, False, True]
    gate.reset()
    assert not gate.ready(100 * SECOND)
    gate.observe(grey(9), 100 * SECOND)
    assert [gate.ready(t * SECOND) for t in (129, 130)] == [False, True]
    assert gate.probability(grey(9), 130 * SECOND) == 0.0


def test_cameras_share_the_model_but_not_the_background(model: PresenceModel) -> None:
    one, other = (PresenceGate(model, PresenceOptions()) for _ in range(2))
    one.observe(grey(0), 0)
    other.observe(grey(255), 0)

    assert one.probability(grey(255), 0) == pytest.approx(1.0)
    assert other.probability(grey(255), 0) == 0.0


@pytest.mark.parametrize("shape", [("n", 2, 96, 160), (1, 2, 96, 160), ("a", "b", "c", "d")])
def test_fixed_and_dynamic_batches_are_taken(tmp_path: Path, shape: Shape) -> None:
    PresenceModel(model_file(tmp_path / "m.onnx", shape))


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        (("n", 1, 96, 160), TensorProto.UINT8),
        (("n", 2, 90, 160), TensorProto.UINT8),
        ((8, 2, 96, 160), TensorProto.UINT8),
        (("n", 2, 96, 160), TensorProto.FLOAT),
    ],
)
def test_another_model_is_refused_with_both_shapes(tmp_path: Path, shape: Shape, kind: int) -> None:
    path = tmp_path / "other.onnx"
    model_file(path, shape, kind)

    with pytest.raises(ModelError, match=r"other\.onnx") as caught:
        PresenceModel(path)

    if "cannot load" not in str(caught.value):  # an impossible graph is onnxruntime's to refuse
        assert "(n, 2, 96, 160)" in str(caught.value)
        assert str(shape[1]) in str(caught.value)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    path.write_text("no model")

    with pytest.raises(ModelError, match=r"text\.onnx.*cannot load"):
        PresenceModel(path)
    with pytest.raises(ModelError, match=r"absent\.onnx.*cannot load"):
        PresenceModel(tmp_path / "absent.onnx")


def test_the_shipped_model_is_one() -> None:
    shipped = Path(presence.__file__).parents[1] / "model" / "shipped" / "presence.onnx"
    gate = PresenceGate(PresenceModel(shipped), PresenceOptions())

    assert 0 <= gate.probability(grey(100), 0) < 0.4
