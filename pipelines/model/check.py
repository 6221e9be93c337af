"""Is the folded model the same detector? Answered numerically, on the file that was written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.color import affine
from pipelines.errors import ModelError
from pipelines.model.prefix import COLOR, PLANES
from pipelines.model.recognise import Head
from pipelines.model.reference import candidates, picture, synthetic_planes
from pipelines.model.runtime import Runner
from pipelines.model.suffix import DETECTIONS
from pipelines.values import F32, ColorMatrix, ColorRange, ModelCard

Array = npt.NDArray[Any]
BATCHES = (1, 8)
COLORS = tuple((r, m) for r in (ColorRange.LIMITED, ColorRange.FULL) for m in (ColorMatrix.BT601, ColorMatrix.BT709))
"""Pictures of a batch take these in turn: a batch may mix cameras."""


def same_outputs(before: Mapping[str, Array], after: Mapping[str, Array]) -> float:
    """Largest absolute difference between two runs; infinite if names or shapes differ."""
    if before.keys() != after.keys() or any(before[n].shape != after[n].shape for n in before):
        return float("inf")
    return max(_gap(before[n], after[n]) for n in before)


def check_folded(body: Runner, picture_input: str, folded: Runner, card: ModelCard, head: Head) -> dict[int, float]:
    """Largest difference at each of BATCHES: folded, against the unfolded model one picture at a time.

    Every folded row must be one of the unfolded model's candidates, and the sorted scores must agree. Rows are matched
    by nearest values, not by position: of two nearly equal scores either may come first.

    Raises:
        ModelError: a model does not run at that batch size; names the node.
    """
    wh = (card.input_w, card.input_h)
    planes = [synthetic_planes(wh, seed) for seed in range(max(BATCHES))]
    colors = [COLORS[i % len(COLORS)] for i in range(max(BATCHES))]
    expected = []
    for plane, (color_range, matrix) in zip(planes, colors, strict=True):
        fed = picture(plane, card, color_range, matrix)[None]
        expected.append(candidates(body.run({picture_input: fed}), head, wh))
    report = {}
    for batch in BATCHES:
        color = np.stack([affine(card, *c) for c in colors[:batch]])
        rows = folded.run({PLANES: np.stack(planes[:batch]), COLOR: color})[DETECTIONS]
        if rows.shape != (batch, card.top_k, 6):
            raise ModelError(f"folded model answers {rows.shape} at batch {batch}, not {(batch, card.top_k, 6)}")
        report[batch] = max(row_difference(a, e) for a, e in zip(rows, expected, strict=False))
    return report


def row_difference(rows: F32, expected: F32) -> float:
    """Largest difference between the answer (k, 6) and the best k of all candidates (n, 6). NaN counts as infinite."""
    best = expected[np.argsort(-expected[:, 4], kind="stable")]
    scores = _gap(rows[:, 4], best[: len(rows), 4])
    near = best[: 2 * len(rows)]  # rows are the best ones, but for the order of nearly equal scores
    distance = np.abs(rows[:, None, :] - near[None, :, :]).max(2)
    nearest = np.where(np.isnan(distance), np.inf, distance).min(1)
    return max(scores, float(nearest.max()))


def _gap(a: Array, b: Array) -> float:
    gap = np.abs(a.astype(np.float64) - b.astype(np.float64))
    return float(np.where(np.isnan(gap), np.inf, gap).max(initial=0.0))
