"""Does it compute what the model says? Against onnxruntime on the CPU, at every batch size, on fresh pictures."""

from __future__ import annotations

import numpy as np

from pipelines.values import F32
from pipelines.worker.engines.device_lane import buckets
from pipelines.worker.engines.onnx import OnnxEngine
from scripts.gpu_checks.subject import PICTURES, Figures, Subject, colors, pictures

SCORE_TOLERANCE = {False: 0.005, True: 0.02}
BOX_TOLERANCE_PX = {False: 0.5, True: 2.0}
"""By whether the engine computes in float16. float32 may be TF32 on a GPU, which has float16's mantissa: hence not
zero."""
_LOUD = 0.05
"""Rows of a lower score are noise among noise: which of them are kept depends on the last bit."""


def check(subject: Subject) -> Figures:
    """Worst differences of all batch sizes. `ok` is false beyond the tolerance, and for anything that is not finite."""
    card = subject.card
    reference = OnnxEngine(subject.settings.model, threads=2, max_batch=1)
    planes, color = pictures(card), colors(card, PICTURES)
    expected = [reference.infer([p], color[i][None])[0] for i, p in enumerate(planes)]
    reference.close()
    worst_score = worst_box = 0.0
    finite = True
    for size in buckets(subject.engine.max_batch):
        chosen = [i % len(planes) for i in range(size)]
        rows = subject.engine.infer([planes[i] for i in chosen], np.stack([color[i] for i in chosen]))
        finite &= bool(np.isfinite(rows).all())
        for got, index in zip(rows, chosen, strict=True):
            score, box = differences(got, expected[index])
            worst_score, worst_box = max(worst_score, score), max(worst_box, box)
    half = subject.candidate.half
    return {
        "ok": finite and worst_score <= SCORE_TOLERANCE[half] and worst_box <= BOX_TOLERANCE_PX[half],
        "finite": finite,
        "worst_score": round(worst_score, 6),
        "worst_box_px": round(worst_box, 4),
        "allowed_score": SCORE_TOLERANCE[half],
        "allowed_box_px": BOX_TOLERANCE_PX[half],
        "batches": list(buckets(subject.engine.max_batch)),
    }


def differences(rows: F32, expected: F32) -> tuple[float, float]:
    """(score, box px) between two answers (k, 6): sorted scores in order; each loud row's box against its nearest."""
    score = float(np.abs(rows[:, 4] - expected[:, 4]).max())
    box = 0.0
    for row in rows[rows[:, 4] > _LOUD]:
        alike = expected[(expected[:, 5] == row[5]) & (np.abs(expected[:, 4] - row[4]) <= 0.05)]
        if len(alike) == 0:
            return score, float("inf")
        box = max(box, float(np.abs(alike[:, :4] - row[:4]).max(1).min()))
    return score, box
