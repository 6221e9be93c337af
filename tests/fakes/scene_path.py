"""Where the targets of a scene are at any time: one target per class at a time, each class in its own lane.

Lanes do not touch, so no target ever hides another and every truth box is a whole rectangle. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

MIN_TARGET_PX = 18
MAX_TARGET_PX = 48
"""Side of a target after the picture is fitted into NETWORK_WH: small enough to be hard, large enough to be exact."""
NETWORK_WH = (416, 256)
_GAP_S = (0.3, 1.5)
_CROSSING_S = (3.0, 6.0)


@dataclass(frozen=True, slots=True)
class Pass:
    """One target crossing the picture from one side to the other, from fully outside to fully outside."""

    lane: int
    start_s: float
    end_s: float
    size_wh: tuple[float, float]
    rightwards: bool
    phase: float
    """Of its vertical sway, radians."""


def schedule(wh: tuple[int, int], lanes: int, busy_s: tuple[tuple[float, float], ...], seed: int) -> tuple[Pass, ...]:
    """Passes that fill each busy interval in every lane; nothing moves, or is visible, outside of them."""
    rng = np.random.default_rng((seed, 7))
    unit = max(wh[0] / NETWORK_WH[0], wh[1] / NETWORK_WH[1])
    tallest = 0.8 * wh[1] / lanes
    passes = []
    for begin, end in busy_s:
        for lane in range(lanes):
            at = begin + (0.0 if lane == 0 else rng.uniform(*_GAP_S))
            while end - at >= 1.0:
                width, height = rng.uniform(MIN_TARGET_PX, MAX_TARGET_PX, 2) * unit
                until = min(end, at + rng.uniform(*_CROSSING_S))
                size = (float(width), float(min(height, tallest)))
                passes.append(Pass(lane, at, until, size, bool(rng.integers(2)), float(rng.uniform(0, math.tau))))
                at = until + rng.uniform(*_GAP_S)
    return tuple(passes)


def position(one: Pass, time_s: float, wh: tuple[int, int], lanes: int) -> tuple[float, float, float, float] | None:
    """xyxy in source pixels, not clipped to the picture; None while it is not under way."""
    if not one.start_s <= time_s < one.end_s:
        return None
    done = (time_s - one.start_s) / (one.end_s - one.start_s)
    width, height = one.size_wh
    travelled = done * (wh[0] + width) - width
    x0 = travelled if one.rightwards else wh[0] - width - travelled
    lane_h = wh[1] / lanes
    sway = (lane_h - height) / 2 * 0.9 * math.sin(one.phase + 2.0 * math.tau * done)
    y0 = lane_h * (one.lane + 0.5) + sway - height / 2
    return x0, y0, x0 + width, y0 + height
