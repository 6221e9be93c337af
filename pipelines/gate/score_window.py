"""Quantiles of the last seconds of a number. Pure; knows nothing of packets."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort


class SlidingQuantiles:
    """Exact quantiles over a window of time. One thread. About 1 us per number at 500 in the window.

    Bound: `most` numbers; when full, the oldest goes before its time, so a faster stream has a shorter window. They lie
    side by side in memory: a sleeping camera comes to it six times a second, and finds none of it in the processor's
    caches.
    """

    __slots__ = ("_gone", "_most", "_sorted", "_times", "_values", "_window_ns")

    def __init__(self, window_ns: int, most: int) -> None:
        self._window_ns = window_ns
        self._most = most
        self._times = array("q")
        self._values = array("d")
        self._gone = 0
        """So many of the oldest are out of the window, and still there."""
        self._sorted = array("d")

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, value: float, time_ns: int) -> None:
        """Times never go back. Forgets what is older than the window."""
        times, values, ordered, gone = self._times, self._values, self._sorted, self._gone
        times.append(time_ns)
        values.append(value)
        insort(ordered, value)
        oldest_ns = time_ns - self._window_ns
        while times[gone] < oldest_ns or len(ordered) > self._most:
            del ordered[bisect_left(ordered, values[gone])]
            gone += 1
        if gone > self._most:
            del times[:gone], values[:gone]
            gone = 0
        self._gone = gone

    def quantile(self, share: float) -> float:
        """By rank, 0 <= share <= 1; there must be a number."""
        return self._sorted[int(share * (len(self._sorted) - 1))]
