"""How long to wait before the next attempt. Pure: the random draw is an argument of the constructor."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Exponential back-off without end, with full jitter on the upper half of each step.

    Jitter keeps many processes from knocking at a restarted broker in step (AWS Architecture Blog, "Exponential
    Backoff And Jitter").
    """

    def __init__(self, first_s: float, max_s: float, draw: Callable[[], float] = random.random) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._draw = draw
        self._step_s = first_s

    def next_s(self) -> float:
        """Seconds to wait now: half to all of the current step; the step then doubles up to the maximum."""
        step_s = self._step_s
        self._step_s = min(self._step_s * 2, self._max_s)
        return step_s * (0.5 + self._draw() / 2)

    def reset(self) -> None:
        """The peer answered: begin again."""
        self._step_s = self._first_s
