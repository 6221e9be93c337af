"""May this engine take over? Answered by running it, on reference pictures, in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.contracts import Engine
from pipelines.errors import EngineError, ModelError
from pipelines.values import F32, U8, ModelCard

SCORE_TOLERANCE = 0.02
"""Of a score between two engines, or two batch sizes: float16 stays below 0.01 on the models tried."""
BOX_TOLERANCE = 0.02
"""Of a corner, as a share of the input's longer side."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What the check saw."""

    pictures: int
    batch: int
    """The largest batch that was run."""
    score_gap: float
    """Largest difference of a score: between batch sizes, and to the reference where there is one."""
    box_gap_px: float
    compared: bool
    """There were answers to compare with."""


def check_engine(engine: Engine, planes: U8, color: F32, expected: F32 | None) -> CheckReport:
    """Run the pictures one by one and as batches.

    Args:
        planes: (n, h * 3 / 2, w) uint8.
        color: (n, 3, 4) float32.
        expected: (n, K, 6) float32, or None: only the form of the answers and their agreement are looked at.

    Raises:
        ModelError: it fails, answers what cannot be, depends on the batch, or differs from what is expected.
    """
    card, count = engine.card, len(planes)
    payloads = [plane.reshape(-1) for plane in planes]
    try:
        single = np.stack([engine.infer(payloads[i : i + 1], color[i : i + 1])[0] for i in range(count)])
        largest = min(count, engine.max_batch)
        batched = engine.infer(payloads[:largest], color[:largest])
    except EngineError as error:
        raise ModelError(f"{card.name} does not run: {error}") from error
    for rows in (*single, *batched):
        _check_rows(rows, card)
    gaps = [row_gaps(a, b) for a, b in zip(batched, single, strict=False)]
    _refuse_beyond(gaps, card, f"a batch of {largest} differs from one picture at a time")
    if expected is not None:
        held = [row_gaps(a, b) for a, b in zip(single, expected, strict=True)]
        _refuse_beyond(held, card, "it differs from what this model answered when it was prepared")
        gaps += held
    score, box = (max(column) for column in zip(*gaps, strict=True))
    return CheckReport(count, largest, score, box, expected is not None)


def row_gaps(rows: F32, expected: F32) -> tuple[float, float]:
    """(score, px): largest differences between two answers (K, 6) to one picture.

    Scores are compared in order. A box is compared where its score is so far above the last row's that the other
    answer must have it, with the nearest box of the same class and a like score: of two nearly equal scores either
    may come first. A box that has none is infinitely far.
    """
    scores = float(np.abs(np.sort(rows[:, 4]) - np.sort(expected[:, 4])).max(initial=0.0))
    certain = expected[expected[:, 4] > expected[:, 4].min(initial=1.0) + 2 * SCORE_TOLERANCE]
    furthest = 0.0
    for row in certain:
        like = rows[(rows[:, 5] == row[5]) & (np.abs(rows[:, 4] - row[4]) <= 2 * SCORE_TOLERANCE)]
        distance = np.abs(like[:, :4] - row[:4]).max(1).min(initial=np.inf)
        furthest = max(furthest, float(distance))
    return scores, furthest


def _check_rows(rows: F32, card: ModelCard) -> None:
    """Raises ModelError if an answer cannot be one of this model's."""
    if rows.shape != (card.top_k, 6):
        raise ModelError(f"{card.name} answers {rows.shape}, its card says {(card.top_k, 6)}")
    if not np.isfinite(rows).all():
        raise ModelError(f"{card.name} answers values that are not finite")
    scores, labels = rows[:, 4], rows[rows[:, 4] > 0, 5]
    if scores.min() < 0 or scores.max() > 1 + 1e-3:
        raise ModelError(f"{card.name} answers scores from {scores.min():.3g} to {scores.max():.3g}: not 0..1")
    if (np.diff(scores) > 1e-6).any():
        raise ModelError(f"{card.name} does not answer its best rows first")
    if (labels != np.round(labels)).any() or (labels < 0).any() or (labels >= len(card.classes)).any():
        raise ModelError(f"{card.name} answers a class that its card's {len(card.classes)} names do not have")


def _refuse_beyond(gaps: list[tuple[float, float]], card: ModelCard, what: str) -> None:
    score, box = max(g[0] for g in gaps), max(g[1] for g in gaps)
    most_px = BOX_TOLERANCE * max(card.input_w, card.input_h)
    if score > SCORE_TOLERANCE or box > most_px:
        raise ModelError(
            f"{card.name}: {what}: scores by {score:.3g} (allowed {SCORE_TOLERANCE:g}), boxes by {box:.3g} px "
            f"(allowed {most_px:.3g})"
        )
