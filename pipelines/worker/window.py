"""How long an idle engine holds a batch back for company (deferred dispatch: Symphony, arXiv 2308.07470).

Waiting pays while the next task may be expected sooner than its joining saves, counted over all of them: n + 1 tasks
run together instead of n and then one more. At light load the next task is far off, and nothing waits. The window
closes when the burst seems to be over, and at the latest when the tightest deadline leaves no time for one more.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median

from pipelines.worker.profile import BatchProfile

_GAPS = 7
_PATIENCE = 2.0
"""Usual gaps to wait for the next task before the burst is taken to be over."""
_RATE_NS = 500e6
"""Time constant of the rate."""


class Arrivals:
    """How tasks come just now: the usual gap between them, and the rate. Pure."""

    def __init__(self) -> None:
        self._gaps: deque[int] = deque(maxlen=_GAPS)
        self._rate = 0.0
        self.last_ns = 0

    def came(self, now_ns: int) -> None:
        gap_ns = max(0, now_ns - self.last_ns)
        self._gaps.append(gap_ns)
        self._rate = self._rate * math.exp(-gap_ns / _RATE_NS) + 1 / _RATE_NS
        self.last_ns = max(self.last_ns, now_ns)

    def per_ns(self, now_ns: int) -> float:
        """Tasks per ns, of about the last half second."""
        return self._rate * math.exp(-max(0, now_ns - self.last_ns) / _RATE_NS)

    def gap_ns(self) -> float:
        """The median of the last few gaps, so that the pause before a burst changes nothing; infinite at first."""
        return median(self._gaps) if len(self._gaps) == _GAPS else math.inf


def closes_ns(arrivals: Arrivals, profile: BatchProfile, size: int, latest_ns: int) -> int:
    """When a batch of `size` should start if nothing comes; 0: at once.

    Args:
        latest_ns: not later than this in any case (the longest hold, the tightest deadline).
    """
    gap_ns = arrivals.gap_ns()
    apart_ns = profile.expected_ns(size) + profile.expected_ns(1) / (size + 1)
    if gap_ns >= apart_ns - profile.expected_ns(size + 1):
        return 0
    return min(latest_ns, arrivals.last_ns + int(_PATIENCE * gap_ns))
