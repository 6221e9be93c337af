"""What decoding may take of a machine that others use too: what it takes now, and what is idle beyond a spare share.

A machine without idle time answers everything late, so it is not filled: the spare share absorbs bursts. The figure
follows what is seen, at once when the machine gets full and slowly when it gets empty again. Pure; times are arguments.
"""

from __future__ import annotations

_LEAST_CORES = 0.1
"""One camera now and then, however full the machine is."""
_LEAST_SPAN_NS = 500_000_000
"""The kernel counts idle time in hundredths of a second."""
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
        self._last: tuple[int, float, float] | None = None

    def update(self, now_ns: int, idle_s: float, decode_s: float) -> float:
        """Cores that decoding may take from now on.

        Args:
            idle_s: CPU seconds in which the machine's processors had nothing to do, since any time.
            decode_s: CPU seconds spent decoding, since any time.
        """
        if self._last is None:
            self._last = now_ns, idle_s, decode_s
            return self.cores
        span_ns = now_ns - self._last[0]
        if span_ns < _LEAST_SPAN_NS:
            return self.cores
        span_s = span_ns / 1e9
        idle, decode = (idle_s - self._last[1]) / span_s, (decode_s - self._last[2]) / span_s
        self._last = now_ns, idle_s, decode_s
        wanted = decode + idle - self._spare
        if wanted < self.cores:
            self.cores += _DOWN_SHARE * (wanted - self.cores)
        else:
            self.cores = min(wanted, self.cores + _UP_PER_S * span_s)
        self.cores = max(_LEAST_CORES, min(self._most, self.cores))
        return self.cores
