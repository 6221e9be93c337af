"""What decoding a stream costs, measured. Pure; times are arguments."""

from __future__ import annotations

from enum import StrEnum

_SPAN_S = 1.0
"""Costs are averaged over at least this long before they move the estimate."""
_WEIGHT = 0.3
"""Of one more span in the running cost."""


class DecodeWork(StrEnum):
    """What a stream was decoded for."""

    LIVE = "live"
    """Awake and granted: the cost that a grant commits."""
    CATCH_UP = "catch_up"
    HEARTBEAT = "heartbeat"
    AUDIT = "audit"


class StreamCost:
    """CPU seconds per second of one stream while it is granted: an exponentially weighted mean over spans of a second.

    Between grants the estimate is kept: it is the best guess of what the next grant will cost.
    """

    def __init__(self, first_cores: float, least_cores: float) -> None:
        self._least = least_cores
        self._cores = first_cores
        self.measured = False
        self._begun_ns: int | None = None
        self._spent_s = 0.0

    @property
    def cores(self) -> float:
        """The estimate, never below the least."""
        return max(self._cores, self._least)

    def guess(self, cores: float) -> None:
        """What others cost: the estimate until this stream has been measured itself."""
        if not self.measured:
            self._cores = cores

    def begin(self, now_ns: int) -> None:
        """A grant begins."""
        self._begun_ns, self._spent_s = now_ns, 0.0

    def add(self, cpu_s: float, now_ns: int) -> None:
        """Live work was done. Work after the grant has ended (a put-back on its way) is not counted."""
        if self._begun_ns is None:
            return
        self._spent_s += cpu_s
        span_s = (now_ns - self._begun_ns) / 1e9
        if span_s >= _SPAN_S:
            self._learn(self._spent_s / span_s)
            self.begin(now_ns)

    def end(self) -> None:
        """The grant is over; an unfinished span tells too little."""
        self._begun_ns = None

    def _learn(self, cores: float) -> None:
        self._cores += (_WEIGHT if self.measured else 1.0) * (cores - self._cores)
        self.measured = True
