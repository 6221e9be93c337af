"""The rate gate: which frames of a camera are analysed at all."""

from __future__ import annotations

_LEARN = 0.1
"""Weight of one more gap in the running estimate of the frame interval, once there are more than ten."""


class Pacer:
    """Picks frames on a grid of 1/fps seconds, so that the rate does not drift and jitter does not shift the choice.

    A frame is due when it is nearer to the next grid point than its successor will be, judged by the running estimate
    of the frame interval: 25 fps analysed at 5 gives each fifth frame, at 10 steps of two and three frames. A gap of
    more than one period, or time running backward by more than one, starts a new grid at that frame. Pure; one thread.
    """

    def __init__(self, fps: float) -> None:
        """fps: frames per second to analyse; 0 means every frame."""
        self._period_ns = 1e9 / fps if fps > 0 else 0.0
        self._interval_ns = 0.0
        self._gaps = 0
        self._last_ns: int | None = None
        self._next_ns = 0.0

    def due(self, time_ns: int) -> bool:
        """Is the frame of this time to be analysed? Call once per frame, in order; the first is due."""
        if not self._period_ns:
            return True
        last, self._last_ns = self._last_ns, time_ns
        if last is None or time_ns < last - self._period_ns:
            return self._restart(time_ns)
        self._learn(time_ns - last)
        early_ns = self._next_ns - time_ns
        if early_ns > self._interval_ns / 2:
            return False
        if early_ns < -self._period_ns:
            return self._restart(time_ns)
        self._next_ns += self._period_ns
        return True

    @property
    def next_ns(self) -> int:
        """No frame before this is due; 0: not known, or every frame is."""
        return int(self._next_ns - self._interval_ns / 2) if self._period_ns and self._last_ns is not None else 0

    def _restart(self, time_ns: int) -> bool:
        self._next_ns = time_ns + self._period_ns
        return True

    def _learn(self, gap_ns: int) -> None:
        gap = min(max(gap_ns, 0), self._period_ns)
        self._gaps += 1
        self._interval_ns += (gap - self._interval_ns) * max(1.0 / self._gaps, _LEARN)
