"""Quantiles of the last seconds of a number. Pure; knows nothing of packets."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque


class SlidingQuantiles:
    """Exact quantiles over a window of time. One thread. About 1 us per number at 500 in the window.

    Bound: `most` numbers; when full, the oldest goes before its time, so a faster stream has a shorter window.
    """

    __slots__ = ("_most", "_queue", "_sorted", "_window_ns")

    def __init__(self, window_ns: int, most: int) -> None:
        self._window_ns = window_ns
        self._most = most
        self._queue: deque[tuple[int, float]] = deque()
        self._sorted: list[float] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, value: float, time_ns: int) -> None:
        """Times never go back. Forgets what is older than the window."""
        queue, ordered = self._queue, self._sorted
        queue.append((time_ns, value))
        insort(ordered, value)
        oldest_ns = time_ns - self._window_ns
        while queue[0][0] < oldest_ns or len(queue) > self._most:
            _, gone = queue.popleft()
            del ordered[bisect_left(ordered, gone)]

    def quantile(self, share: float) -> float:
        """By rank, 0 <= share <= 1; there must be a number."""
        return self._sorted[int(share * (len(self._sorted) - 1))]
