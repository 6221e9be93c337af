"""What crosses in a split model, and folders that the pipe cannot run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.card import from_json
from pipelines.errors import ModelError
from pipelines.model.fold import fold
from pipelines.model.options import FoldOptions
from pipelines.model.split import SplitOptions, split
from pipelines.model.split_chain import MANIFEST
from pipelines.model.split_parts import Array, Crossing, is_split, read_parts
from tests.fakes.detector import save_detector


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    save_detector(folder / "source.onnx", (64, 64))
    fold(folder / "source.onnx", folder / "folded.onnx", FoldOptions(name="scene", top_k=20))
    split(folder / "folded.onnx", folder / "cut", SplitOptions(first=("images",), second=("n60",), runs=3, force=True))
    split(folder / "source.onnx", folder / "plain", SplitOptions(first=("n7", "images"), runs=3, force=True))
    return folder


def changed(parts: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    target.mkdir()
    manifest = json.loads((parts / "cut" / MANIFEST).read_text())
    change(manifest)
    (target / MANIFEST).write_text(json.dumps(manifest))
    return target


def test_tensors_lie_side_by_side_and_come_back_as_they_were() -> None:
    crossing = Crossing(("a", "b", "c"), ("uint8", "float16", "int64"), ((1, 5), (2, 3), ()))
    values: dict[str, Array] = {
        "a": np.arange(5, dtype=np.uint8)[None],
        "b": np.arange(6, dtype=np.float16).reshape(2, 3),
        "c": np.array(-7, np.int64),
    }
    raw = np.full(crossing.bytes + 10, 9, np.uint8)
    crossing.pack(values, raw)
    found = crossing.views(raw)
    assert crossing.offsets == (0, 64, 128, 192)
    assert all(
        np.array_equal(found[name], value) and found[name].dtype == value.dtype for name, value in values.items()
    )
    assert set(raw[192:]) == {9}, "nothing is written behind the last"


def test_a_tensor_of_another_type_is_no_silent_cast() -> None:
    with pytest.raises(TypeError):
        Crossing(("a",), ("float32",), ((1,),)).pack({"a": np.zeros(1, np.float64)}, np.zeros(64, np.uint8))


def test_the_worker_s_card_says_what_crosses(parts: Path) -> None:
    assert is_split(parts / "cut")
    assert not is_split(parts)
    found = read_parts(parts / "cut")
    card = found.lane_card
    assert (found.up.names, found.down.names) == (("images",), ("n60",))
    assert card.payload_bytes == card.tensor_bytes == 3 * 64 * 64 * 4
    assert card.top_k * 24 >= found.down.bytes
    assert (card.name, found.card.top_k, found.card.payload_bytes) == ("scene", 20, 64 * 64 * 3 // 2)
    assert (
        from_json(json.dumps({"name": "x", "family": "y", "input_w": 4, "input_h": 2, "classes": []})).tensor_bytes == 0
    )


def test_rows_carry_what_comes_down(parts: Path) -> None:
    found = read_parts(parts / "cut")
    value = np.random.default_rng(1).random(found.down.shapes[0], np.float32)
    rows = found.to_rows({"n60": value})
    assert rows.shape == (found.lane_card.top_k, 6)
    assert np.array_equal(found.from_rows(rows)["n60"], value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.update(card=None), "not folded"),
        (lambda m: m.update(outputs=["logits"]), "gives logits, not detections"),
        (lambda m: m["edges"]["n60"].update(dtype="int64"), "n60 as int64 comes back"),
        (lambda m: m.pop("parts"), "cannot be read"),
        (lambda m: m["parts"].pop("main"), "cannot be read"),
    ],
)
def test_folders_the_pipe_cannot_run(
    parts: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], says: str
) -> None:
    with pytest.raises(ModelError, match=says):
        read_parts(changed(parts, tmp_path / "folder", change))


def test_a_part_that_was_changed_is_refused(parts: Path, tmp_path: Path) -> None:
    folder = changed(parts, tmp_path / "folder", lambda manifest: None)
    (folder / "main.onnx").write_bytes((parts / "cut" / "pre.onnx").read_bytes())
    with pytest.raises(ModelError, match=r"main\.onnx is not the part"):
        read_parts(folder).file("main")


def test_a_model_that_is_not_folded_says_so(parts: Path) -> None:
    with pytest.raises(ModelError, match="fold it first"):
        read_parts(parts / "plain")
