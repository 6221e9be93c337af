"""How much a packet stands above the usual for its kind: natural logarithm, from its size and QP. Pure.

A kind is key or not, reference or not, slice type, and how far the packet is from its key frame: behind one the encoder
saves, at constant rate down to a hundredth of the usual size.

Within a kind each QP has a level of its own once it was seen often enough. What a step of QP is worth differs from
stream to stream (measured: 0.1 to 1.3 in natural logarithms; most of a quiet picture is noise at the edge of being
dropped), so nothing is assumed where it can be seen. A QP that is new is compared by complexity,
`ln(bytes) + ln_per_qp * QP`.

Where noise is coded, sizes go on falling to the end of the group (by a quarter between the 17th packet and the 49th,
seen at QP 18): against one level for all of these, the middle of every group would look busy. So a packet is compared
with its stretch of the group as soon as that is known, and with its wider stage before.
"""

from __future__ import annotations

from collections import defaultdict
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
_STAGES = (0, 1, 2, 3, 4, 5, 5, 5, 5) + (6,) * 8 + (7,)
"""By packets since the key frame; later ones are alike."""
_FIRST_WIDTH = 4
_PASSES = 2
"""A stretch of the group is known once the window has so many of it: one alone may be what is happening now."""


def _stretches() -> tuple[tuple[int, int], ...]:
    """Number and width of the stretch each packet of a group is in, by packets since the key frame; later ones are in
    the last. They widen as the curve flattens."""
    out = [(place, 1) for place in range(_FIRST_WIDTH + 1)]
    while len(out) < _LONGEST_GROUP:
        width = max(_FIRST_WIDTH, len(out) // 4)
        out += [(len(out), width)] * width
    return tuple(out)


_LONGEST_GROUP = 375
"""Of packets: 15 s at 25 per second."""
_STRETCHES = _stretches()
_PLACE_BITS = 9
"""Of a key: which stage or stretch; QP above it."""


class _Like:
    """The levels of one kind of packets, at each place of the group."""

    __slots__ = ("by_qp", "by_stage", "by_stretch")

    def __init__(self) -> None:
        self.by_stage: dict[int, SlidingQuantiles] = {}
        """Complexity."""
        self.by_qp: dict[int, SlidingQuantiles] = {}
        """Size, by stage and QP."""
        self.by_stretch: dict[int, SlidingQuantiles] = {}
        """Size, by stretch and QP."""


class Levels:
    """One stream's levels. One thread; some 6 us per packet."""

    def __init__(self, ln_per_qp: float, window_ns: int) -> None:
        """window_ns: of the levels by complexity; those by QP have twice as long, as each is seen more seldom."""
        self._ln_per_qp = ln_per_qp
        self._window_ns = window_ns
        self._likes: defaultdict[object, _Like] = defaultdict(_Like)
        self._since_key = 0

    def above(self, facts: PacketFacts, time_ns: int) -> float:
        """Of one packet with a picture, limited; 0 while its kind is new. Learns the packet."""
        self._since_key = 0 if facts.is_key else self._since_key + 1
        qp = (facts.qp or 0) if self._ln_per_qp else 0
        like = self._likes[facts.is_key, facts.is_reference, facts.slice_type, facts.qp is None]
        stage = _STAGES[min(self._since_key, len(_STAGES) - 1)]
        stretch, width = _STRETCHES[min(self._since_key, len(_STRETCHES) - 1)]
        size = log(facts.payload_bytes + _EMPTY_BYTES)
        complexity = size + self._ln_per_qp * qp
        general = self._window(like.by_stage, stage, self._window_ns)
        own = self._window(like.by_qp, qp << _PLACE_BITS | stage, 2 * self._window_ns) if self._ln_per_qp else general
        near = self._window(like.by_stretch, qp << _PLACE_BITS | stretch, 2 * self._window_ns)
        if len(near) >= max(_LEAST_SAMPLES, _PASSES * width):
            above = size - near.quantile(_LEVEL_SHARE)
        elif len(own) >= _LEAST_SAMPLES:
            above = size - own.quantile(_LEVEL_SHARE)
        elif len(general) >= _LEAST_SAMPLES:
            above = complexity - general.quantile(_LEVEL_SHARE)
        else:
            above = 0.0
        general.add(complexity, time_ns)
        if own is not general:
            own.add(size, time_ns)
        near.add(size, time_ns)
        return max(-_MOST_LN, min(_MOST_LN, above))

    @staticmethod
    def _window(windows: dict[int, SlidingQuantiles], key: int, window_ns: int) -> SlidingQuantiles:
        found = windows.get(key)
        if found is None:
            found = windows[key] = SlidingQuantiles(window_ns, _MOST_SAMPLES)
        return found
