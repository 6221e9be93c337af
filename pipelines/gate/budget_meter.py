"""How much of something flows per second, judged over the last while. Pure; times are arguments."""

from __future__ import annotations

from math import exp


class RateMeter:
    """Amount per second, older amounts fading with a time constant (an exponential kernel). Costs under a microsecond.

    From the first amount on it is corrected for its short past: it does not start at zero and creep up. Time that goes
    backward counts as no time.
    """

    def __init__(self, fade_s: float, first_s: float = 1.0) -> None:
        """fade_s: time constant. first_s: the least span that the first amounts are taken to be spread over."""
        self._fade_s = fade_s
        self._first_s = first_s
        self._faded = 0.0
        self._begun_ns: int | None = None
        self._last_ns = 0

    def add(self, amount: float, now_ns: int) -> None:
        """An amount (CPU seconds, windows, ...) has just flowed."""
        if self._begun_ns is None:
            self._begun_ns = self._last_ns = now_ns
        self._fade(now_ns)
        self._faded += amount / self._fade_s

    def per_s(self, now_ns: int) -> float:
        """The rate now; 0.0 before the first amount."""
        if self._begun_ns is None:
            return 0.0
        self._fade(now_ns)
        past_s = max((now_ns - self._begun_ns) / 1e9, self._first_s)
        return self._faded / (1.0 - exp(-past_s / self._fade_s))

    def _fade(self, now_ns: int) -> None:
        if now_ns > self._last_ns:
            self._faded *= exp((self._last_ns - now_ns) / 1e9 / self._fade_s)
            self._last_ns = now_ns
