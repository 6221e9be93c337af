"""A converted model says which type it computes in, keeps its card, and still finds what the original finds."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from pipelines.errors import ModelError
from pipelines.model.fold import fold
from pipelines.model.known import SHIPPED_FOLDER
from pipelines.model.options import FoldOptions
from pipelines.values import U8
from pipelines.worker.engines.folded import COLOR, DETECTIONS, read_card
from pipelines.worker.engines.tensorrt_assert import promised_precision
from pipelines.worker.engines.tensorrt_precision import PREFIX, network_nodes, to_float16, to_int8
from scripts import precision
from tests.fakes.detector import save_detector

WH = 64, 64


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("precision")
    target = folder / "folded.onnx"
    fold(save_detector(folder / "own.onnx", WH), target, FoldOptions(score_threshold=0.4))
    return target


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with one target each, in the colour of the detector's first class."""
    from tests.fakes.scene_paint import CLASSES

    folder = tmp_path_factory.mktemp("scenes")
    rgb = np.array(next(iter(CLASSES.values())))
    for index in range(6):
        image: U8 = np.full((64, 64, 3), 110, np.uint8)
        left = 6 + 5 * index
        image[12:40, left : left + 20] = (rgb[::-1] * 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), image)
    return folder


def test_only_the_network_is_converted() -> None:
    model = onnx.load(str(SHIPPED_FOLDER / "detector.folded.onnx"))
    inside = network_nodes(model)
    kinds = {n.op_type for n in model.graph.node if n.name in inside}
    assert sum(n.op_type == "Conv" for n in model.graph.node if n.name in inside) == 41
    assert not any(name.startswith((PREFIX, "framegate/out/")) for name in inside)
    assert not kinds & {"TopK", "ArgMax", "Exp"}


@pytest.mark.parametrize("to", ["float16", "int8"])
def test_the_command_converts_and_says_what_it_costs(
    model: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], to: str
) -> None:
    out = tmp_path / "converted.onnx"
    assert precision.main([str(model), "--to", to, "--out", str(out), "--pictures", str(scenes)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert promised_precision(onnx.load(str(out))) == to
    assert read_card(out) == read_card(model)
    assert (report["to"], report["frames"], report["rows_of_original"]) == (to, 3, 3)
    assert report["kept"] == 1.0
    assert report["mean_iou"] > 0.8


def test_colour_map_and_boxes_stay_float32_and_nodes_stand_in_order(model: Path, tmp_path: Path) -> None:
    to_float16(model, tmp_path / "half.onnx")
    half = onnx.load(str(tmp_path / "half.onnx"))
    onnx.checker.check_model(half)
    assert not any(n.op_type == "Cast" for n in half.graph.node if COLOR in n.input or DETECTIONS in n.output)
    kinds = {t.name: t.data_type for t in half.graph.initializer}
    weights = [kinds[n.input[1]] for n in half.graph.node if n.op_type == "Conv"]
    assert weights
    assert set(weights) == {onnx.TensorProto.FLOAT16}


def test_a_model_that_misses_targets_shows_in_the_report(model: Path, scenes: Path, tmp_path: Path) -> None:
    from pipelines.worker.engines.onnx import OnnxEngine

    deaf = onnx.load(str(model))
    weights = next(
        t for t in deaf.graph.initializer if any(t.name in n.input for n in deaf.graph.node if n.op_type == "Conv")
    )
    weights.CopyFrom(onnx.numpy_helper.from_array(np.zeros_like(onnx.numpy_helper.to_array(weights)), weights.name))
    onnx.save(deaf, str(tmp_path / "deaf.onnx"))
    engine, worse = OnnxEngine(model, max_batch=1), OnnxEngine(tmp_path / "deaf.onnx", max_batch=1)
    report = precision.compare(engine, worse, list(precision.pictures([scenes], engine.card, 10)))
    assert (report["rows_of_original"], report["kept"]) == (6, 0.0)


def test_what_cannot_be_converted_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="int8 needs pictures"):
        to_int8(model, tmp_path / "out.onnx", [])
    with pytest.raises(ModelError, match="not a folded model"):
        to_float16(SHIPPED_FOLDER / "detector.onnx", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()
