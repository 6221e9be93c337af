"""How the int8 presence model is made: from whose frames, and what it keeps of the float one."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest

from pipelines.model.known import SHIPPED_FOLDER
from pipelines.prefilter.presence import PresenceModel
from pipelines.values import U8

TRAIN = Path(__file__).parents[3] / "scripts" / "train"
FLOAT = TRAIN / "presence_float.onnx"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """scripts/train/quantize_presence.py; the scripts import one another as siblings."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(TRAIN))
    yield importlib.import_module("quantize_presence")
    for name in {path.stem for path in TRAIN.glob("*.py")} & (set(sys.modules) - before):
        del sys.modules[name]


def walk(count: int) -> U8:
    """(count, 2, 96, 160): a dark figure crosses an uneven wall; its background is the empty wall."""
    wall = np.linspace(90, 150, 96)[:, None] + np.linspace(0, 40, 160)[None]
    wall += np.random.default_rng(1).normal(0, 3, wall.shape)
    pairs = np.stack([np.stack([wall, wall])] * count).astype(np.uint8)
    for index, x in enumerate(np.linspace(-20, 180, count).astype(int)):
        cv2.ellipse(pairs[index, 0], (int(x), 60), (7, 20), 0, 0, 360, 35, -1)
    return pairs


def test_only_the_training_part_of_a_clip_is_asked_about(script: ModuleType) -> None:
    luma = [np.full((96, 160), level, np.uint8) for level in (10, 20, 30, 250, 250)]
    clip = SimpleNamespace(luma=luma, times_s=[0.0, 0.2, 0.4, 0.6, 0.8], held_out=3)
    asked = np.concatenate(list(script.calibration([clip], np.random.default_rng(1))))

    assert asked.shape == (3 * 2 * (1 + script.CHANGES), 2, 96, 160)
    assert asked[:6].max() == 30
    assert asked[:3, 0, 0, 0].tolist() == asked[3:6, 0, 0, 0].tolist() == [10, 20, 30]


def test_a_warm_background_is_the_median_and_a_cold_one_the_first_frame(script: ModuleType) -> None:
    thumbs = np.stack([np.full((96, 160), level, np.uint8) for level in (10, 90, 90)])
    warm, cold = (script.questions(thumbs, [0.0, 0.2, 0.4], warm) for warm in (True, False))

    assert warm[0][0, 1, 0, 0] == 90
    assert cold[0][0, 1, 0, 0] == 10


def test_the_made_model_is_int8_between_float_ends_and_answers_alike(script: ModuleType, tmp_path: Path) -> None:
    made = tmp_path / "int8.onnx"
    script.write(FLOAT, walk(24), made)
    nodes = {node.name: node for node in onnx.load(made).graph.node}
    given = {out: node.op_type for node in nodes.values() for out in node.output}
    weighed = {name: given.get(node.input[1]) for name, node in nodes.items() if node.op_type == "Conv"}

    assert {name for name, by in weighed.items() if by is None} == {n for n in script.FLOAT_NODES if "Conv" in n}
    assert set(weighed.values()) == {None, "DequantizeLinear"}
    assert made.stat().st_size < FLOAT.stat().st_size / 3
    expected, answers = (
        np.array([PresenceModel(path).probability(pair[None]) for pair in walk(9)]) for path in (FLOAT, made)
    )
    assert expected.min() < 0.4 < expected.max()
    np.testing.assert_allclose(answers, expected, atol=0.12)


def test_the_shipped_model_answers_as_the_one_it_was_made_from() -> None:
    expected, answers = (
        np.array([PresenceModel(path).probability(pair[None]) for pair in walk(30)])
        for path in (FLOAT, SHIPPED_FOLDER / "presence.onnx")
    )

    np.testing.assert_allclose(answers, expected, atol=0.12)


def test_the_card_names_the_float_model_as_it_is() -> None:
    assert hashlib.sha256(FLOAT.read_bytes()).hexdigest() in (SHIPPED_FOLDER / "MODEL_CARD.md").read_text()
