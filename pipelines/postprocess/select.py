"""Which rows of an answer count."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from pipelines.values import F32


def select(rows: F32, threshold: float, class_count: int, wanted: Collection[int] | None = None) -> F32:
    """Rows at or above the threshold, of known and wanted classes.

    Unused rows (score 0) never count, whatever the threshold. Rows come from another process: those that are not
    numbers, or name a class the card does not have, are left out too.

    Args:
        rows: (k, 6) float32: x0 y0 x1 y1, score, class.
        class_count: How many classes the model's card names.
        wanted: Class indices to keep; None keeps all.

    Returns:
        (n, 6) float32, a copy, order kept.
    """
    score, kind = rows[:, 4], rows[:, 5]
    keep = (score >= threshold) & (score > 0) & (kind >= 0) & (kind < class_count) & np.isfinite(rows).all(axis=1)
    if wanted is not None:
        keep &= np.isin(kind, list(wanted))
    return rows[keep]
