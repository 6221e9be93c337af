"""What the last packets have in common: their mean, and their least. Pure.

The least tells most. Encoder and noise make a large packet now and then, but while something moves every picture has to
code it: no packet is small.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

_LEAST_PACKETS = 3
"""However slow the stream is."""
_SHORT_SHARE = 0.55


class Figures(NamedTuple):
    """Of the window."""

    mean: float
    least: float
    least_of_late: float
    """Of the later half, about: it answers sooner, and is less sure."""


class Recent:
    """A window over one stream's numbers. One thread; about 1 us per number.

    Bound: the numbers of `window_ns`, at least three.
    """

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._values: deque[float] = deque()
        self._times: deque[int] = deque()
        self._sum = 0.0
        self._began_ns: int | None = None

    def add(self, value: float, time_ns: int) -> Figures | None:
        """None until there was so much time."""
        values, times = self._values, self._times
        if self._began_ns is None:
            self._began_ns = time_ns
        values.append(value)
        times.append(time_ns)
        self._sum += value
        oldest_ns = time_ns - self._window_ns
        while times[0] <= oldest_ns and len(times) > _LEAST_PACKETS:
            times.popleft()
            self._sum -= values.popleft()
        count = len(values)
        if self._began_ns > oldest_ns or count < _LEAST_PACKETS:
            return None
        late = max(_LEAST_PACKETS, round(_SHORT_SHARE * count))
        return Figures(self._sum / count, min(values), min([*values][-late:]))
