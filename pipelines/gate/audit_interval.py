"""Intervals for small counts: the only statistics here that are not sums."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

_Z = 1.959963984540054
"""Of a two-sided 95 % normal interval."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Nominal 95 %."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


def total_interval(total: float, variance: float, typical: float, imagined: float = 0.5) -> Interval:
    """Interval for an estimated total of rare, weighted counts.

    The total counts as `total / weight` Poisson events of one weight, and those get a score interval (E. B. Wilson,
    JASA 1927, for the Poisson case; with an effective count as E. Korn and B. Graubard, Survey Methodology 1998, do
    for proportions). weight = variance / total; to few events their own weights are a poor guide, so `imagined` events
    of typical weight are added to it (in the spirit of M. Fay and E. Feuer, Statistics in Medicine 1997).

    Args:
        total: the estimate, >= 0.
        variance: of the estimate, from the sample.
        typical: mean weight of a window of the population.
        imagined: events of that weight to add when the weight is judged.
    """
    if total + imagined * typical <= 0:
        return Interval(total, total)
    weight = (variance + imagined * typical**2) / (total + imagined * typical)
    if weight <= 0:
        return Interval(total, total)
    high = total + weight * (_Z**2 / 2 + _Z * sqrt(total / weight + _Z**2 / 4))
    return Interval(total**2 / high, high)  # the roots of (x - total)^2 = z^2 weight x
