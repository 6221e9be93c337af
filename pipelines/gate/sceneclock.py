"""The time that decisions about the scene are made in. Pure.

Arrival alone will not do: with B-frames pictures come out in another order than their packets came in, so arrivals go
back and forth. Presentation time alone will not do either: it starts anew with every connection, and drifts.
"""

from __future__ import annotations

_REANCHOR_NS = 2_000_000_000
"""Presentation time that strays this far from arrival (drift, a jump) is laid on it anew."""


class SceneClock:
    """Presentation time laid on arrival: even steps, never back, across connections. One camera; pump thread.

    A source that is not paced (a file read as fast as possible) has media time only.
    """

    def __init__(self, paced: bool) -> None:
        self._paced = paced
        self._offset_ns: int | None = None
        self._last_ns = -(1 << 62)

    def restart(self) -> None:
        """A new connection: its presentation time has another zero."""
        self._offset_ns = None

    def time_ns(self, pts_ns: int | None, arrival_ns: int) -> int:
        """Time of one picture; pictures come in presentation order. Never less than the one before."""
        if pts_ns is None:
            time_ns = arrival_ns
        elif not self._paced:
            time_ns = pts_ns
        else:
            if self._offset_ns is None or abs(pts_ns + self._offset_ns - arrival_ns) > _REANCHOR_NS:
                self._offset_ns = arrival_ns - pts_ns
            time_ns = pts_ns + self._offset_ns
        self._last_ns = max(self._last_ns, time_ns)
        return self._last_ns
