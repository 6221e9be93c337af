"""Tapes made of numbers: quiet packets, and larger ones while something crosses the picture."""

from __future__ import annotations

import numpy as np

from pipelines.values import StreamInfo
from scripts.bench.recall.tape import Tape

FPS = 25
GOP = 50
COST_NS, KEY_NS, OPEN_NS = 1_000, 5_000, 100
SMALL, LARGE = 100, 5_000


def tape(seconds: float, busy_s: tuple[float, float] | None = None, delay: int = 0) -> Tape:
    """Of a codec that nobody reads: sizes are all that its packets say. Something bright crosses while it is busy."""
    n = round(seconds * FPS)
    time_s = np.arange(n) / FPS
    busy = np.zeros(n, bool) if busy_s is None else (time_s >= busy_s[0]) & (time_s < busy_s[1])
    is_key = np.arange(n) % GOP == 0
    rng = np.random.default_rng(1)
    noise = rng.normal(100, 1, (16, 96, 160)).round().astype(np.uint8)
    thumbnails = noise[rng.integers(16, size=n)]
    for number in np.flatnonzero(busy):
        left = int(number * 3 % 130)
        thumbnails[number, 40:70, left : left + 20] = 220
    return Tape(
        info=StreamInfo("unknown", 1920, 1080, float(FPS)),
        payloads=tuple(bytes(LARGE if one else SMALL) for one in busy),
        is_key=is_key,
        picture=np.arange(n),
        cost_ns=np.where(is_key, KEY_NS, COST_NS).astype(np.int64),
        open_ns=OPEN_NS,
        delay=delay,
        thumbnails=thumbnails,
        scores=np.where(busy, 0.9, 0.0).astype(np.float32),
    )
