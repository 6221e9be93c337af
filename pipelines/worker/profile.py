"""How long a batch of n takes on this engine: measured by size, following drift, with a tail for the unforeseen.

A time is foreseen as shape(n) * pace: the shape is what batches of that size take usually, the pace how slow the engine
is just now, over all sizes, so that an engine that slows down is noticed at sizes that did not run. Two windows keep
what came instead: taken / shape (how slow it ever was) and taken / foreseen (how much it surprised); the smaller of
their tails bounds a batch, for after a slow one the next is seldom as much slower again. Both serve all sizes, or
thousandths could not be told.
"""

from __future__ import annotations

import math

from pipelines.worker.plateau import doublings, plateau
from pipelines.worker.shape import Shape
from pipelines.worker.sliding import Sliding

_FOLLOW = 0.25
"""Weight of the newest batch in the pace."""
_WINDOW = 2048
"""Batches in the two windows."""
_DOUBT = 3.0
"""Both windows begin with this: until it is known better, a batch may take thrice its usual time."""
_TABLE_RISK = 0.01


class BatchProfile:
    """Batch times of one engine. Pure; one thread. All times are ns, and 0 before anything was measured."""

    def __init__(self) -> None:
        self._shape = Shape()
        self._log_pace = 0.0
        self._slowness = Sliding(_WINDOW, (_DOUBT,))
        self._surprise = Sliding(_WINDOW, (_DOUBT,))

    def record(self, size: int, elapsed_ns: int) -> None:
        """One batch of `size` took `elapsed_ns`."""
        pace = self.pace
        if size in self._shape and elapsed_ns > 0:
            slowness = elapsed_ns / self._shape(size)
            self._slowness.add(slowness)
            self._surprise.add(slowness / pace)
            self._log_pace += _FOLLOW * (math.log(slowness) - self._log_pace)
        self._shape.record(size, elapsed_ns / pace)

    @property
    def pace(self) -> float:
        """How slow the engine is now; 1.0: as usual."""
        return math.exp(self._log_pace)

    def expected_ns(self, size: int) -> float:
        """What a batch of `size` takes now."""
        return self._shape(size) * self.pace

    def bound_ns(self, size: int, risk: float) -> float:
        """Time that a batch of `size` exceeds with probability `risk`."""
        ever, from_now = self._slowness.exceeded(risk), self._surprise.exceeded(risk) * self.pace
        return self._shape(size) * min(ever, from_now)

    def risk(self, size: int, within_ns: float) -> float:
        """The chance (0..1) that a batch of `size` takes longer than `within_ns`."""
        usual_ns = self._shape(size)
        if not usual_ns:
            return 0.0
        slowness = within_ns / usual_ns
        return min(self._slowness.share_above(slowness), self._surprise.share_above(slowness / self.pace))

    def cost_ns(self, size: int) -> float:
        """Engine time per task in batches of `size`, now; what it may be where that size was not measured often."""
        return self._shape.at_best(size) / size * self.pace

    def best_cost_ns(self, most: int) -> float:
        """The same at the size up to `most` at which it is least."""
        return min(self.cost_ns(size) for size in doublings(most))

    def plateau(self, most: int) -> int:
        """The batch worth waiting for, at most `most`: `most` itself before anything was measured."""
        return plateau(self._shape.at_best, doublings(most))

    def table(self) -> dict[int, int]:
        """{batch size: time within which 99 of 100 end now}, of the sizes measured."""
        return {size: round(self.bound_ns(size, _TABLE_RISK)) for size in self._shape.sizes}
