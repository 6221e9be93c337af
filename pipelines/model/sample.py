"""Reference pictures of a prepared model, and what it answered: later engines are held against them.

`reference.npz`, plain arrays, never pickled:

    planes  uint8   (n, h * 3 / 2, w)   I420, letterboxed to the model's size
    color   float32 (n, 3, 4)           see pipelines/color.py
    rows    float32 (n, K, 6)           onnxruntime on the CPU, one picture at a time
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.color import affine
from pipelines.errors import ModelError
from pipelines.model.reference import synthetic_planes
from pipelines.model.runtime import Runner
from pipelines.values import F32, U8, ColorMatrix, ColorRange, ModelCard

SYNTHETIC = 4
_COLORS = ((ColorRange.LIMITED, ColorMatrix.BT601), (ColorRange.LIMITED, ColorMatrix.BT709))
_PLANES, _COLOR, _DETECTIONS = "planes", "color", "detections"


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Pictures, and the answers to them where they are known."""

    planes: U8
    color: F32
    rows: F32 | None = None


def synthetic(card: ModelCard) -> Sample:
    """SYNTHETIC drawn pictures, always the same, in turn with either colour matrix. No answers."""
    wh = (card.input_w, card.input_h)
    colors = [affine(card, *_COLORS[seed % len(_COLORS)]) for seed in range(SYNTHETIC)]
    return Sample(np.stack([synthetic_planes(wh, seed) for seed in range(SYNTHETIC)]), np.stack(colors))


def with_pictures(sample: Sample, card: ModelCard, planes: Sequence[U8]) -> Sample:
    """The same and pictures of somebody's own, (h * 3 / 2, w) each, limited range, BT.601."""
    if not planes:
        return sample
    color = np.stack([affine(card, *_COLORS[0])] * len(planes))
    return Sample(np.concatenate([sample.planes, np.stack(planes)]), np.concatenate([sample.color, color]))


def answered(sample: Sample, folded: Path) -> Sample:
    """With the answers of onnxruntime on the CPU. Takes a run per picture; raises ModelError if it cannot run."""
    runner = Runner(str(folded), str(folded))
    rows = []
    for index in range(len(sample.planes)):
        one = slice(index, index + 1)
        feeds: dict[str, npt.NDArray[Any]] = {_PLANES: sample.planes[one], _COLOR: sample.color[one]}
        rows.append(runner.run(feeds)[_DETECTIONS].astype(np.float32))
    return Sample(sample.planes, sample.color, np.concatenate(rows))


def to_bytes(sample: Sample) -> bytes:
    assert sample.rows is not None, "a sample is stored with its answers"
    out = io.BytesIO()
    np.savez_compressed(out, planes=sample.planes, color=sample.color, rows=sample.rows)
    return out.getvalue()


def read_sample(path: Path, card: ModelCard) -> Sample:
    """Raises ModelError: it cannot be read, or does not fit the card."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            sample = Sample(arrays["planes"], arrays["color"], arrays["rows"])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    n = len(sample.planes)
    wanted = ((n, card.input_h * 3 // 2, card.input_w), (n, 3, 4), (n, card.top_k, 6))
    found = (sample.planes.shape, sample.color.shape, sample.rows.shape if sample.rows is not None else ())
    if n == 0 or found != wanted:
        raise ModelError(f"{path}: arrays {found} do not fit the model's card: {wanted}")
    return sample
