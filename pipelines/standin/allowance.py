"""How much CPU the own detector may take: a fixed share, so that the gates never starve. Pure."""

from __future__ import annotations

_BURST_NS = 100_000_000
"""CPU time that may be saved up: the first pictures after a loss do not wait."""


class Allowance:
    """A purse that fills with `cores` seconds of CPU per second. One thread, but `takes_ns` may be read from any."""

    def __init__(self, cores: float) -> None:
        self._cores = cores
        self._purse_ns = float(_BURST_NS)
        self._at_ns: int | None = None
        self._each_ns = 0.0

    def spent(self, cpu_ns: int, took_ns: int, now_ns: int) -> None:
        """One picture cost this much CPU, and took so long on a machine that has other things to do."""
        self._purse_ns = self._filled(now_ns) - cpu_ns
        self._at_ns = now_ns
        each_ns = max(took_ns, cpu_ns / self._cores)
        self._each_ns += (each_ns - self._each_ns) * (0.25 if self._each_ns else 1.0)

    def wait_ns(self, now_ns: int) -> int:
        """Until the next picture may begin."""
        return int(max(0.0, -self._filled(now_ns)) / self._cores)

    def takes_ns(self, waiting: int, now_ns: int) -> int:
        """From now to the answer of one more picture, behind those that wait; 0 before the first was measured."""
        return int(self.wait_ns(now_ns) + (waiting + 1) * self._each_ns)

    def _filled(self, now_ns: int) -> float:
        passed_ns = 0 if self._at_ns is None else now_ns - self._at_ns
        return min(float(_BURST_NS), self._purse_ns + passed_ns * self._cores)
