"""What decoding may take of a machine that others use too: what it takes now, and what is idle beyond a spare share.

A machine without idle time answers everything late, so it is not filled: the spare share absorbs bursts. The figure
follows what is seen over the last two seconds, at once when the machine gets full and slowly when it gets empty again:
a camera that is shed waits for its next key frame, so half a second of everybody at once must not cost anybody that.
Pure; times are arguments.
"""

from __future__ import annotations

from collections import deque

_LEAST_CORES = 0.1
"""One camera now and then, however full the machine is."""
_LEAST_SPAN_NS = 500_000_000
"""The kernel counts idle time in hundredths of a second."""
_WINDOW_NS = 2_000_000_000
_UP_PER_S = 0.3
"""Cores that the figure may grow by in a second."""
_DOWN_SHARE = 0.5
"""Of what it is too high by, at each reading: one reading may have caught a burst."""


class Spare:
    """The figure. Owner's thread."""

    def __init__(self, cpus: int, spare_share: float, first_share: float = 0.6) -> None:
        """cpus: of the machine. first_share: of them, until something was seen."""
        self._most = cpus * (1.0 - spare_share)
        self._spare = cpus * spare_share
        self.cores = min(self._most, cpus * first_share)
        self._readings: deque[tuple[int, float, float]] = deque()
        """(when, idle, decode), oldest first. Bound: the window over the least span."""

    def update(self, now_ns: int, idle_s: float, decode_s: float) -> float:
        """Cores that decoding may take from now on.

        Args:
            idle_s: CPU seconds in which the machine's processors had nothing to do, since any time.
            decode_s: CPU seconds spent decoding, since any time.
        """
        readings = self._readings
        if readings and now_ns - readings[-1][0] < _LEAST_SPAN_NS:
            return self.cores
        readings.append((now_ns, idle_s, decode_s))
        if len(readings) == 1:
            return self.cores
        while len(readings) > 2 and now_ns - readings[1][0] >= _WINDOW_NS:
            readings.popleft()
        first_ns, first_idle_s, first_decode_s = readings[0]
        span_s = (now_ns - first_ns) / 1e9
        wanted = (decode_s - first_decode_s + idle_s - first_idle_s) / span_s - self._spare
        if wanted < self.cores:
            self.cores += _DOWN_SHARE * (wanted - self.cores)
        else:
            self.cores = min(wanted, self.cores + _UP_PER_S * (now_ns - readings[-2][0]) / 1e9)
        self.cores = max(_LEAST_CORES, min(self._most, self.cores))
        return self.cores
