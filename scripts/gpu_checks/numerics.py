"""Does it compute what the model says? Against onnxruntime on the CPU, at every batch size, on fresh pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.values import F32
from pipelines.worker.engines.device_lane import buckets
from pipelines.worker.engines.onnx import OnnxEngine
from scripts.gpu_checks.subject import PICTURES, Figures, Subject, colors, pictures

SCORE_TOLERANCE = {False: 0.005, True: 0.02}
BOX_TOLERANCE_PX = {False: 0.5, True: 2.0}
"""By whether the engine computes in float16. float32 may be TF32 on a GPU, which has float16's mantissa: hence not
zero."""
CLASS_TOLERANCE = 0.1
"""Share of rows that may be another class: on pictures of nothing in particular two classes can be nearly as likely."""
_LOUD = 0.05
"""Rows of a lower score are noise among noise: which of them are kept depends on the last bit."""
_EDGE = 0.02
"""Rows so near the last of the K best may be in the one answer and not in the other."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Between an engine's answers and the reference's, at worst."""

    score: float = 0.0
    """Of the sorted scores, in order."""
    box_px: float = 0.0
    """Of each loud row, against the row of about its score whose box is nearest."""
    other_class: float = 0.0
    """Share of loud rows whose nearest row names another class."""

    def worst(self, other: Difference) -> Difference:
        return Difference(
            max(self.score, other.score),
            max(self.box_px, other.box_px),
            max(self.other_class, other.other_class),
        )

    def figures(self, half: bool) -> Figures:
        """For the report, judged."""
        within = self.score <= SCORE_TOLERANCE[half] and self.box_px <= BOX_TOLERANCE_PX[half]
        return {
            "ok": within and self.other_class <= CLASS_TOLERANCE,
            "worst_score": round(self.score, 6),
            "worst_box_px": round(self.box_px, 4),
            "worst_other_class": round(self.other_class, 3),
            "allowed_score": SCORE_TOLERANCE[half],
            "allowed_box_px": BOX_TOLERANCE_PX[half],
        }


def check(subject: Subject) -> Figures:
    """Worst differences of all batch sizes. `ok` is false beyond the tolerance, and for anything that is not finite."""
    card = subject.card
    reference = OnnxEngine(subject.settings.model, threads=2, max_batch=1)
    planes, color = pictures(card), colors(card, PICTURES)
    expected = [reference.infer([p], color[i][None])[0] for i, p in enumerate(planes)]
    reference.close()
    worst, finite = Difference(), True
    for size in buckets(subject.engine.max_batch):
        chosen = [i % len(planes) for i in range(size)]
        rows = subject.engine.infer([planes[i] for i in chosen], np.stack([color[i] for i in chosen]))
        finite &= bool(np.isfinite(rows).all())
        for got, index in zip(rows, chosen, strict=True):
            worst = worst.worst(difference(got, expected[index]))
    figures = worst.figures(subject.candidate.half)
    return {
        **figures,
        "ok": finite and figures["ok"],
        "finite": finite,
        "batches": list(buckets(subject.engine.max_batch)),
    }


def difference(rows: F32, expected: F32) -> Difference:
    """Between two answers, (k, 6) each."""
    score = float(np.abs(rows[:, 4] - expected[:, 4]).max())
    box, other = 0.0, 0
    loud = rows[rows[:, 4] > max(_LOUD, float(expected[:, 4].min()) + _EDGE)]
    for row in loud:
        alike = expected[np.abs(expected[:, 4] - row[4]) <= 0.05]
        if len(alike) == 0:
            return Difference(score, float("inf"), 1.0)
        distance = np.abs(alike[:, :4] - row[:4]).max(1)
        box = max(box, float(distance.min()))
        other += int(alike[int(distance.argmin()), 5] != row[5])
    return Difference(score, box, other / len(loud) if len(loud) else 0.0)
