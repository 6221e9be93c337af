"""TensorRT's form of a folded model computes the same, and what it computes in is counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest

from pipelines.errors import ModelError
from pipelines.model.known import SHIPPED_FOLDER
from pipelines.worker.engines.folded import COLOR, DETECTIONS, PLANES, read_card
from pipelines.worker.engines.tensorrt_assert import (
    check_precision,
    check_tensors,
    expected_tensors,
    network_precision,
    promised_precision,
)
from pipelines.worker.engines.tensorrt_form import cast_first, for_tensorrt

FOLDED = SHIPPED_FOLDER / "detector.folded.onnx"


def test_the_rewritten_model_gives_the_same_rows() -> None:
    rng = np.random.default_rng(1)
    card = read_card(FOLDED)
    feeds = {
        PLANES: rng.integers(0, 256, (2, card.input_h * 3 // 2, card.input_w), np.uint8),
        COLOR: rng.random((2, 3, 4), np.float32) / 255,
    }
    before = onnxruntime.InferenceSession(str(FOLDED)).run([DETECTIONS], feeds)[0]
    model = for_tensorrt(FOLDED)
    after = onnxruntime.InferenceSession(model.SerializeToString()).run([DETECTIONS], feeds)[0]
    np.testing.assert_array_equal(before, after)


def test_only_a_cast_touches_the_bytes_and_twice_is_once() -> None:
    model = for_tensorrt(FOLDED)
    assert [n.op_type for n in model.graph.node if PLANES in n.input] == ["Cast"]
    nodes = len(model.graph.node)
    cast_first(model)
    assert len(model.graph.node) == nodes


def test_what_is_not_a_folded_model_is_refused(tmp_path: Path) -> None:
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"\x00junk")
    with pytest.raises(ModelError, match=r"junk\.onnx: not a model that can be read"):
        for_tensorrt(junk)
    with pytest.raises(ModelError, match="not a folded model"):
        for_tensorrt(SHIPPED_FOLDER / "detector.onnx")


def test_tensors_that_are_not_the_cards_are_named() -> None:
    card = read_card(FOLDED)
    tensors = expected_tensors(card)
    check_tensors(tensors, card)
    wrong = [replace(t, dtype="float16") if t.name == DETECTIONS else t for t in tensors]
    with pytest.raises(ModelError, match=r"detections.*float16"):
        check_tensors(wrong, card)
    with pytest.raises(ModelError, match="planes: None"):
        check_tensors([t for t in tensors if t.name != PLANES], card)


class Network:
    """Layers as (type, type of input's maker, output's dtype)."""

    def __init__(self, *layers: tuple[str, str]) -> None:
        self._layers = [
            SimpleNamespace(
                type=SimpleNamespace(name=kind),
                num_outputs=1,
                get_output=lambda _, i=i, dtype=dtype: SimpleNamespace(name=f"t{i}", dtype=SimpleNamespace(name=dtype)),
                get_input=lambda _, i=i: SimpleNamespace(name=f"t{i - 1}"),
            )
            for i, (kind, dtype) in enumerate(layers)
        ]
        self.num_layers = len(layers)

    def get_layer(self, index: int) -> object:
        return self._layers[index]


def test_layers_are_counted_by_what_they_compute_in() -> None:
    network = Network(
        ("CONVOLUTION", "HALF"), ("ACTIVATION", "HALF"), ("DEQUANTIZE", "FLOAT"), ("CONVOLUTION", "FLOAT")
    )
    assert network_precision(network) == {"float16": 1, "int8": 1}


def test_a_layer_in_float32_breaks_the_promise_of_float16() -> None:
    check_precision({"float16": 41}, "float16")
    check_precision({"float32": 41}, "")
    with pytest.raises(ModelError, match=r"promises float16.*'float32': 1"):
        check_precision({"float16": 40, "float32": 1}, "float16")


def test_the_shipped_detector_promises_nothing() -> None:
    assert promised_precision(onnx.load(str(FOLDED))) == ""
