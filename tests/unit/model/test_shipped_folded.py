"""The folded detector that is shipped beside its original: what a worker without `onnx` and without a home runs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pipelines.color import affine
from pipelines.model.card import read_card
from pipelines.model.catalog import resolve
from pipelines.model.fold import fold
from pipelines.model.known import SHIPPED, SHIPPED_FOLDER
from pipelines.values import ColorMatrix, ColorRange
from pipelines.worker.engines.onnx import OnnxEngine


@pytest.mark.parametrize("name", SHIPPED)
def test_it_is_what_folding_the_original_gives(tmp_path: Path, name: str) -> None:
    original, shipped = SHIPPED_FOLDER / f"{name}.onnx", SHIPPED_FOLDER / f"{name}.folded.onnx"
    card = read_card(shipped)
    assert card.sha256 == hashlib.sha256(original.read_bytes()).hexdigest()
    fresh = tmp_path / "fresh.onnx"
    assert fold(original, fresh, SHIPPED[name]).card == card

    planes = np.random.default_rng(1).integers(0, 256, card.payload_bytes, np.uint8)
    color = affine(card, ColorRange.LIMITED, ColorMatrix.BT709)[None]
    answer, expected = (OnnxEngine(path).infer([planes], color) for path in (shipped, fresh))
    np.testing.assert_allclose(answer, expected, atol=1e-4)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_name_means_the_folded_file(tmp_path: Path, name: str) -> None:
    assert resolve(name, cache=tmp_path) == SHIPPED_FOLDER / f"{name}.folded.onnx"
    assert not list(tmp_path.iterdir())
