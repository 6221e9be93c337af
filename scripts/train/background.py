"""Empty scenes to put things into: which frames of which clips are known to be empty."""

from __future__ import annotations

import numpy as np

from cache import CachedClip

MEDIAN_CUT = {"vtest": 0.22, "highway": 0.0, "horse": 0.0, "opendatacam": 0.0}
"""Fixed clips whose temporal median is empty (looked at) -> share of rows cut off at the top (vtest: a parked van)."""


def median_background(clip: CachedClip, frames: np.ndarray) -> np.ndarray:
    """(1, h, w[, 3]) uint8: the median of a clip's training frames, without the rows to cut off."""
    median = np.median(frames[:: max(1, len(frames) // 40)], 0).astype(np.uint8)
    return median[None, int(MEDIAN_CUT[clip.name] * len(median)) :]
