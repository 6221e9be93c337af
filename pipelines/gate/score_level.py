"""How much a packet stands above the usual for its kind: natural logarithm, from its size and QP. Pure.

A kind is key or not, reference or not, slice type, and how far the packet is from its key frame: behind one the encoder
saves, at constant rate down to a hundredth of the usual size.

Within a kind each QP has a level of its own once it was seen often enough. What a step of QP is worth differs from
stream to stream (measured: 0.1 to 1.3 in natural logarithms; most of a quiet picture is noise at the edge of being
dropped), so nothing is assumed where it can be seen. A QP that is new is compared by complexity,
`ln(bytes) + ln_per_qp * QP`.
"""

from __future__ import annotations

from math import log

from pipelines.gate.bitstream import PacketFacts
from pipelines.gate.score_window import SlidingQuantiles

_LEVEL_SHARE = 0.25
"""Well below the middle, so that activity does not lift it soon."""
_LEAST_SAMPLES = 6
_MOST_SAMPLES = 1000
"""A fast stream has a shorter window."""
_MOST_LN = 3.0
"""One packet counts for no more than a factor of 20."""
_EMPTY_BYTES = 64
"""An empty picture takes a few tens of bytes; their differences mean nothing."""
_STAGES = (0, 1, 2, 3, 4, 5, 5, 5, 5) + (6,) * 8
"""By packets since the key frame; later ones are alike, stage 7."""


class Levels:
    """One stream's levels. One thread; some 3 us per packet."""

    def __init__(self, ln_per_qp: float, window_ns: int) -> None:
        """window_ns: of the levels by complexity; those by QP have twice as long, as each is seen more seldom."""
        self._ln_per_qp = ln_per_qp
        self._window_ns = window_ns
        self._by_kind: dict[object, SlidingQuantiles] = {}
        self._by_qp: dict[object, SlidingQuantiles] = {}
        self._since_key = 0

    def above(self, facts: PacketFacts, time_ns: int) -> float:
        """Of one packet with a picture, limited; 0 while its kind is new. Learns the packet."""
        self._since_key = 0 if facts.is_key else self._since_key + 1
        stage = _STAGES[self._since_key] if self._since_key < len(_STAGES) else 7
        kind = (facts.is_key, facts.is_reference, facts.slice_type, stage, facts.qp is None)
        size = log(facts.payload_bytes + _EMPTY_BYTES)
        complexity = size + self._ln_per_qp * (facts.qp or 0)
        general = self._window(self._by_kind, kind, self._window_ns)
        own = self._window(self._by_qp, (kind, facts.qp), 2 * self._window_ns) if self._ln_per_qp else general
        if len(own) >= _LEAST_SAMPLES:
            above = size - own.quantile(_LEVEL_SHARE)
        elif len(general) >= _LEAST_SAMPLES:
            above = complexity - general.quantile(_LEVEL_SHARE)
        else:
            above = 0.0
        general.add(complexity, time_ns)
        if own is not general:
            own.add(size, time_ns)
        return max(-_MOST_LN, min(_MOST_LN, above))

    @staticmethod
    def _window(windows: dict[object, SlidingQuantiles], key: object, window_ns: int) -> SlidingQuantiles:
        found = windows.get(key)
        if found is None:
            found = windows[key] = SlidingQuantiles(window_ns, _MOST_SAMPLES)
        return found
