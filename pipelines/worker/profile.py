"""How long a batch of n takes on this engine: measured, and following drift."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

_WINDOW = 64
"""Samples kept per batch size."""
_QUANTILE = 0.95


class BatchProfile:
    """Recent batch times by batch size. Pure; one thread.

    An estimate for a size never seen is drawn from the nearest size that was, on the straight line a + b n through the
    origin's side that is safe: larger sizes cost at least in proportion, smaller ones cost what the larger cost.
    """

    def __init__(self) -> None:
        self._times: dict[int, deque[int]] = {}
        self._estimate: dict[int, int] = {}

    def record(self, size: int, elapsed_ns: int) -> None:
        """One batch of `size` took `elapsed_ns`."""
        times = self._times.setdefault(size, deque(maxlen=_WINDOW))
        times.append(elapsed_ns)
        ordered = sorted(times)
        self._estimate[size] = ordered[min(len(ordered) - 1, int(len(ordered) * _QUANTILE))]

    def estimate_ns(self, size: int) -> int:
        """Time within which a batch of `size` ends, 95 times of 100; 0 before anything was measured."""
        if not self._estimate:
            return 0
        if size in self._estimate:
            return self._estimate[size]
        larger = [n for n in self._estimate if n > size]
        if larger:
            return self._estimate[min(larger)]
        nearest = max(self._estimate)
        return self._estimate[nearest] * size // nearest

    def plateau(self, most: int) -> int:
        """The smallest measured size, up to `most`, whose next larger one makes a task less than 5 % cheaper.

        Larger batches than that only make tasks wait for each other. `most` while too little is measured to say.
        """
        sizes = [size for size in sorted(self._estimate) if size <= most]
        for size, larger in pairwise(sizes):
            if self._estimate[larger] / larger > 0.95 * self._estimate[size] / size:
                return size
        return most

    def table(self) -> dict[int, int]:
        """{batch size: estimate in ns} of the sizes measured."""
        return dict(sorted(self._estimate.items()))
