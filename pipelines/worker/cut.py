"""Which of the waiting tasks run together now, so that the most of them end in time.

Tasks stand in the order of their deadlines. A batch of n is taken from the first task that can bear n's time, so small
sizes serve the tightest, large sizes serve more per second. Each size is judged by the tasks it serves plus those of
the rest that can still be served after it, less what its inefficiency takes from those on their way, by the engine's
load. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pipelines.worker.plateau import doublings
from pipelines.worker.profile import BatchProfile

F64 = npt.NDArray[np.float64]
_TOLERANCE = 0.02
"""Sizes that cost this little more per task than the best are as good; the smaller one then serves sooner."""


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
        self.most = most
        self._sizes = doublings(most)
        self.cost_ns = profile.best_cost_ns(most)
        """Of one task, at best."""

    def needs_ns(self, size: int) -> float:
        """Time that a task must have left to go into a batch of `size`."""
        return self._profile.bound_ns(size, self._risk)

    def sizes(self, waiting: int) -> list[int]:
        """The sizes worth trying for so many tasks."""
        fitting = [size for size in self._sizes if size < waiting]
        return [*fitting, min(waiting, self._sizes[-1])]

    def servable(self, lefts_ns: F64, after_ns: float = 0.0) -> int:
        """How many of the tasks can end in time when the engine is free `after_ns` from now: an estimate, in batches of
        the one size that suits each best.

        lefts_ns: (n,) time left to each, ascending.
        """
        count = len(lefts_ns)
        if not count or not self.cost_ns:
            return count
        done = np.floor(self._done_within(lefts_ns - after_ns))
        # of the tasks up to the k-th at most done[k] are served, and of those after it at most each one
        return int(min(count, (done + np.arange(count - 1, -1, -1)).min()))

    @cached_property
    def _columns(self) -> tuple[F64, F64, F64]:
        """(sizes, 1) each: size, time needed, time expected."""
        needs = [self.needs_ns(size) for size in self._sizes]
        expected = [self._profile.expected_ns(size) for size in self._sizes]
        return _column(self._sizes), _column(needs), _column(expected)

    def _done_within(self, times_ns: F64) -> F64:
        """(n,) tasks done by each of the times: whole batches of one size, of which only the last may surprise."""
        sizes, needs, expected = self._columns
        done = np.where(times_ns >= needs, sizes * (1 + (times_ns - needs) / expected), 0.0)
        return np.asarray(done.max(axis=0), np.float64)

    def wasted(self, size: int) -> float:
        """How many tasks more could have been served in the time of a batch of `size`. Unmeasured, size is all gain."""
        if not self.cost_ns:
            return float(-size)
        return size * max(0.0, self._profile.cost_ns(size) / self.cost_ns - 1 - _TOLERANCE)


def _column(numbers: Sequence[float]) -> F64:
    return np.array(numbers, np.float64)[:, None]


def cut(profile: BatchProfile, ruler: Ruler, lefts_ns: F64, load: float) -> Cut:
    """The best batch of tasks each of whom could run alone.

    Args:
        lefts_ns: (n,) time left to each, ascending; n at least 1.
        load: 0..1, how much of the engine's time is asked for.
    """
    best, best_score = Cut(0, 1), (-math.inf, 0)
    for size in ruler.sizes(len(lefts_ns)):
        first = int(np.searchsorted(lefts_ns, ruler.needs_ns(size)))
        count = min(size, len(lefts_ns) - first)
        if count <= 0:
            continue
        rest = np.delete(lefts_ns, slice(first, first + count))
        served = count + ruler.servable(rest, profile.expected_ns(count))
        score = served - load * ruler.wasted(count), -count
        if score > best_score:
            best, best_score = Cut(first, count), score
    return best
