"""What a batch of n costs, relative to other sizes: from few measurements, and better from many."""

from __future__ import annotations

from collections import deque
from statistics import median

_KEPT = 129
"""Times kept per size, for their median: enough to tell a tenth apart where times vary by their half."""
_LINE_WEIGHT = 16
"""Times that the line through all sizes counts for, where a size has none; a size with all its times needs no line."""


class Shape:
    """Batch time by size. Pure; the unit is the caller's.

    A line a + b n through the medians of all sizes says what is to be expected of a size hardly seen; the more a size
    is measured, the more its own median counts (an engine that pads to buckets runs in steps).
    """

    def __init__(self) -> None:
        self._times: dict[int, deque[float]] = {}
        self._median: dict[int, float] = {}
        self._line = 0.0, 0.0

    def __contains__(self, size: int) -> bool:
        return size in self._times

    def __call__(self, size: int) -> float:
        """0.0 before anything was recorded."""
        if size not in self._times:
            return self._on_line(size)
        own = len(self._times[size])
        borrowed = _LINE_WEIGHT * (1 - own / _KEPT)
        return (own * self._median[size] + borrowed * self._on_line(size)) / (own + borrowed)

    def at_best(self, size: int) -> float:
        """What it may cost: of a size not measured often, the line is believed where it promises more.

        What seems dear is not run, and what is not run stays mismeasured; the line learns from the sizes that run.
        While only one size was measured, any may cost as little.
        """
        if len(self._times) == 1:
            return self(self.sizes[0])
        settled = len(self._times.get(size, ())) == _KEPT
        return self(size) if settled else min(self(size), self._on_line(size))

    @property
    def sizes(self) -> list[int]:
        return sorted(self._times)

    def record(self, size: int, time: float) -> None:
        times = self._times.setdefault(size, deque(maxlen=_KEPT))
        times.append(time)
        self._median[size] = median(times)
        self._line = self._fitted()

    def _on_line(self, size: int) -> float:
        fixed, slope = self._line
        return fixed + slope * size

    def _fitted(self) -> tuple[float, float]:
        """Least squares over the medians, (fixed, slope), both at least 0; errors are taken to grow with the size."""
        points = [(size, self._median[size], len(times) / size) for size, times in self._times.items()]
        total = sum(weight for _, _, weight in points)
        mean_size = sum(weight * size for size, _, weight in points) / total
        mean_time = sum(weight * time for _, time, weight in points) / total
        spread = sum(weight * (size - mean_size) ** 2 for size, _, weight in points)
        if not spread:
            return 0.0, mean_time / mean_size
        slope = sum(weight * (size - mean_size) * (time - mean_time) for size, time, weight in points) / spread
        slope = min(max(0.0, slope), mean_time / mean_size)
        return mean_time - slope * mean_size, slope
