"""Which of the waiting tasks run together now, so that the most of them end in time.

Tasks stand in the order of their deadlines. A batch of n is taken from the first task that can bear n's time, so small
sizes serve the tightest, large sizes serve more per second. Each size is judged by the tasks it serves plus those of
the rest that can still be served after it, less what its inefficiency costs those who are on their way while the engine
is loaded. Pure.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.worker.plateau import doublings
from pipelines.worker.profile import BatchProfile

_WASTE = 1.0
"""What a task's worth of wasted engine time counts when the engine is fully loaded."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Tasks first .. first + size of the order."""

    first: int
    size: int


class Ruler:
    """What sizes cost at one moment, and at which risk."""

    def __init__(self, profile: BatchProfile, most: int, risk: float) -> None:
        self._profile = profile
        self._risk = risk
        self._sizes = doublings(most)
        self._needs_ns = [profile.bound_ns(size, risk) for size in self._sizes]
        self.cost_ns = profile.cost_ns(most)
        """Of one task, at best."""

    def needs_ns(self, size: int) -> float:
        """Time that a task must have left to go into a batch of `size`."""
        return self._profile.bound_ns(size, self._risk)

    def sizes(self, waiting: int) -> list[int]:
        """The sizes worth trying for so many tasks."""
        fitting = [size for size in self._sizes if size < waiting]
        return [*fitting, min(waiting, self._sizes[-1])]

    def servable(self, lefts_ns: Sequence[int], after_ns: float = 0.0) -> int:
        """How many of the tasks can end in time when the engine is free `after_ns` from now.

        lefts_ns: time left to each, ascending. Until one full batch could end, what one batch can hold; from then on at
        the best rate: an estimate, on the bright side.
        """
        served = 0
        for left_ns in lefts_ns:
            if self._done_within(left_ns - after_ns) >= served + 1:
                served += 1
        return served

    def _done_within(self, time_ns: float) -> float:
        fitting = bisect_right(self._needs_ns, time_ns)
        if fitting < len(self._sizes):
            return self._sizes[fitting - 1] if fitting else 0
        return self._sizes[-1] + (time_ns - self._needs_ns[-1]) / self.cost_ns if self.cost_ns else math.inf

    def wasted(self, size: int) -> float:
        """How many tasks more could have been served in the time of a batch of `size`."""
        in_doublings = size in self._sizes
        each_ns = self._profile.cost_ns(size) if in_doublings else self._profile.expected_ns(size) / size
        return size * (each_ns / self.cost_ns - 1) if self.cost_ns else 0.0


def cut(profile: BatchProfile, ruler: Ruler, lefts_ns: Sequence[int], load: float) -> Cut:
    """The best batch of the tasks with `lefts_ns` (ascending, not empty), each of whom could run alone.

    Args:
        load: 0..1, how much of the engine's time is asked for.
    """
    best, best_score = Cut(0, 1), (-math.inf, 0)
    for size in ruler.sizes(len(lefts_ns)):
        first = bisect_left(lefts_ns, ruler.needs_ns(size))
        count = min(size, len(lefts_ns) - first)
        if count <= 0:
            continue
        rest = [*lefts_ns[:first], *lefts_ns[first + count :]]
        served = count + ruler.servable(rest, profile.expected_ns(count))
        score = served - _WASTE * load * ruler.wasted(count), count
        if score > best_score:
            best, best_score = Cut(first, count), score
    return best
