"""Judges that were tried and are not shipped: the mean of a second, of size alone or of size and QP."""

from __future__ import annotations

from collections import deque
from math import log
from statistics import NormalDist

from pipelines.gate.bitstream import PacketFacts
from pipelines.gate.packet import PacketGateOptions
from pipelines.gate.score_window import SlidingQuantiles

_WINDOW_NS, _MEAN_NS, _LEARN_NS = 30_000_000_000, 1_000_000_000, 15_000_000_000
_LEVEL_SHARE, _LOW_SHARE, _QUIET_SHARE = 0.3, 0.1, 0.5
_LEAST_SPREAD, _MOST_LN, _LEAST_SAMPLES = 0.015, 1.5, 8
_DEVIATIONS = NormalDist().inv_cdf(_QUIET_SHARE) - NormalDist().inv_cdf(_LOW_SHARE)


class Mean:
    """Implements Predictor: `ln(bytes) + ln_per_qp * QP` above the level of its kind, mean of a second, against how
    that mean behaves in the quieter half of 30 s."""

    def __init__(self, options: PacketGateOptions) -> None:
        self._ln_per_qp = options.ln_per_qp
        self._levels: dict[object, SlidingQuantiles] = {}
        self._quiet = SlidingQuantiles(_WINDOW_NS, 1000)
        self._recent: deque[tuple[int, float]] = deque()
        self._since_ns: int | None = None

    def update(self, facts: PacketFacts, time_ns: int) -> float:
        if self._since_ns is None:
            self._since_ns = time_ns
        recent = self._recent
        recent.append((time_ns, self._above(facts, time_ns)))
        while recent[0][0] <= time_ns - _MEAN_NS:
            recent.popleft()
        if time_ns - self._since_ns < _MEAN_NS:
            return 0.0
        mean = sum(above for _, above in recent) / len(recent)
        self._quiet.add(mean, time_ns)
        level = self._quiet.quantile(_QUIET_SHARE)
        spread = (level - self._quiet.quantile(_LOW_SHARE)) / _DEVIATIONS
        return (mean - level) / max(_LEAST_SPREAD, spread)

    def _above(self, facts: PacketFacts, time_ns: int) -> float:
        kind = (facts.is_key, facts.is_reference, facts.slice_type)
        levels = self._levels.setdefault(kind, SlidingQuantiles(_WINDOW_NS, 1000))
        complexity = log(facts.payload_bytes + 64) + self._ln_per_qp * (facts.qp or 0)
        above = complexity - levels.quantile(_LEVEL_SHARE) if len(levels) >= _LEAST_SAMPLES else 0.0
        levels.add(complexity, time_ns)
        return max(-_MOST_LN, min(_MOST_LN, above))

    def ready(self, time_ns: int) -> bool:
        return self._since_ns is not None and time_ns - self._since_ns >= _LEARN_NS

    def ungateable(self, time_ns: int) -> str:
        del time_ns
        return ""

    def restart(self) -> None:
        """A tape has one connection."""
