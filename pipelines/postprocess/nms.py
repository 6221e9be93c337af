"""Class-wise non-maximum suppression."""

from __future__ import annotations

import cv2
import numpy as np

from pipelines.values import F32


def suppress(rows: F32, iou: float) -> F32:
    """Drop each row that a better row of its class overlaps by more than `iou`.

    rows: (n, 6) float32 as in Answer, finite; n may be 0. Returns (m, 6), best first. OpenCV's batched NMS keeps
    classes apart by moving them sideways, which needs corners at or above 0: so all are shifted first.
    """
    if len(rows) < 2:
        return rows
    xywh = rows[:, :4].astype(np.float64)
    xywh[:, 2:] -= xywh[:, :2]
    xywh[:, :2] -= xywh[:, :2].min(axis=0)
    scores, classes = rows[:, 4].tolist(), rows[:, 5].astype(np.int32).tolist()
    kept = np.asarray(cv2.dnn.NMSBoxesBatched(xywh.tolist(), scores, classes, 0.0, iou), np.intp)
    return rows[kept[np.argsort(-rows[kept, 4], kind="stable")]]
