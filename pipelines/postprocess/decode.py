"""From a worker's answer to detections: threshold, suppression, source pixels."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from pipelines.postprocess.nms import suppress
from pipelines.postprocess.restore import to_source
from pipelines.postprocess.select import select
from pipelines.values import F32, Detections, Letterbox, ModelCard


def detect(
    rows: F32, fit: Letterbox, card: ModelCard, threshold: float, wanted: Collection[int] | None = None
) -> Detections:
    """Detections of one frame, best first.

    Boxes that lie in the padding alone have no area in the source and are left out. Any thread; 20 to 150 us.

    Args:
        rows: (k, 6) float32, network-input px, see Answer.
        fit: The frame's Letterbox.
        card: Of the model that answered: its classes, NMS overlap, and whether it needs NMS.
        threshold: Least score, 0..1.
        wanted: Class indices to keep; None keeps all.
    """
    rows = select(rows, threshold, len(card.classes), wanted)
    if not card.nms_free:
        rows = suppress(rows, card.nms_iou)
    xyxy = to_source(rows[:, :4], fit)
    seen = (xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])
    return Detections(xyxy[seen], rows[seen, 4], rows[seen, 5].astype(np.int32))
