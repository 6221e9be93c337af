"""Up to which size larger batches pay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

GAIN = 0.05
"""The plateau is the smallest size whose doubling makes a task less than this cheaper (DeepStream's rule)."""


def doublings(most: int) -> list[int]:
    """1, 2, 4 ... and `most`."""
    return sorted({most, *(1 << n for n in range(most.bit_length()))})


def plateau(time: Callable[[int], float], sizes: Sequence[int], gain: float = GAIN) -> int:
    """The smallest of `sizes` (ascending, each at most twice the one before) whose next one hardly gains.

    Larger batches than that only make tasks wait for each other. A step smaller than a doubling must gain as much less.

    Args:
        time: of a batch of that size; 0 of all: nothing is known, and the largest is the answer.
    """
    for size, larger in pairwise(sizes):
        asked = gain * (larger / size - 1)
        if time(larger) / larger > (1 - asked) * time(size) / size:
            return size
    return sizes[-1]
