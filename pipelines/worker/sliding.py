"""The last so many numbers, in order of size: quantiles, the share above a mark, and the tail beyond what was seen."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable

_BEYOND = 1.5
"""How far past the largest number the tail is drawn."""
_LEAST_GROWTH = 1.05
_RAREST = 1e-4


class Sliding:
    """A window over a sequence of positive numbers. Adding costs a shift of `length` entries; asking a bisection."""

    def __init__(self, length: int, first: Iterable[float]) -> None:
        """first: at least one number."""
        self._order: deque[float] = deque(maxlen=length)
        self._sorted: list[float] = []
        for number in first:
            self.add(number)

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, number: float) -> None:
        if len(self._order) == self._order.maxlen:
            del self._sorted[bisect_left(self._sorted, self._order[0])]
        self._order.append(number)
        insort(self._sorted, number)

    def quantile(self, share: float) -> float:
        """By rank: the smallest number with `share` of all at or below it."""
        rank = math.ceil(share * len(self._sorted) - 1e-9) - 1
        return self._sorted[max(0, rank)]

    def share_above(self, mark: float) -> float:
        """Share of the numbers beyond `mark`."""
        return 1 - bisect_right(self._sorted, mark) / len(self._sorted)

    def exceeded(self, share: float) -> float:
        """The mark that `share` of the numbers exceed, also where the window is too short to show it.

        Below a hundredth the mark grows by the factor q99 / q90 with each power of ten, at most to half past the
        largest number, and never below what the window does show.
        """
        share = max(share, _RAREST)
        if share >= 0.01:
            return self.quantile(1 - share)
        growth = max(_LEAST_GROWTH, self.quantile(0.99) / self.quantile(0.9))
        drawn = self.quantile(0.99) * math.pow(growth, math.log10(0.01 / share))
        return max(self.quantile(1 - share), min(_BEYOND * self._sorted[-1], drawn))
