"""How much happens in a stream, from packet headers alone: against the stream's own quiet. Pure.

1. Each packet is compared with its like (score_level.py): same kind, same distance from the key frame, same QP.
   With constant bit rate the size says nothing, since the encoder answers activity with QP; at one QP it does.
2. One packet says little, as noise differs from picture to picture. Looked at are the mean and the least of the last
   third of a second (score_recent.py).
3. Each of the three is compared with how it behaves while this stream is quiet, and the score is their sum.
"""

from __future__ import annotations

from statistics import NormalDist

from pydantic import BaseModel, Field

from pipelines.gate.bitstream import PacketFacts
from pipelines.gate.score_fitness import Fitness
from pipelines.gate.score_level import Levels
from pipelines.gate.score_recent import Recent
from pipelines.gate.score_window import SlidingQuantiles


class ScoreOptions(BaseModel, frozen=True, extra="forbid"):
    """What a stream's own quiet is, and what stands out of it."""

    ln_per_qp: float = Field(
        0.45,
        ge=0,
        le=2,
        description="What a step of QP is worth in natural logarithms of bytes, at a QP that is new; 0: sizes only.",
    )
    mean_s: float = Field(0.36, gt=0, description="The score is of mean and least of so much of the past, s.")
    window_s: float = Field(30.0, gt=0, description="The quiet is learned over so much of the past, s.")
    quiet_share: float = Field(
        0.35, gt=0.1, le=0.65, description="This quantile of the window is the quiet level; lower for busy places."
    )
    least_spread: float = Field(0.05, gt=0, description="Natural logarithm: nothing is steadier than this.")
    learn_s: float = Field(15.0, gt=0, description="A stream must have been seen for so long before it is judged, s.")
    key_interval_s: float = Field(
        15.0, gt=0, description="A stream without a key frame for longer cannot sleep: waking would cost too much, s."
    )


_SPREAD_SHARE = 0.3
"""The spread is measured from the quiet level to the quantile so much higher: a third of the window may be busy."""
_NORMAL = NormalDist()
_LEARN_EACH = 4
"""Each fourth value is learned: neighbours share most of their packets."""
_MOST_SAMPLES = 1000
_SCALE = 0.4
"""Of the sum of three that mostly go together: about the deviations of one of them."""


class _Quiet:
    """How one figure behaves while the stream is quiet."""

    __slots__ = ("_deviations", "_least", "_level", "_samples", "_shares", "_spread", "_turn")

    def __init__(self, options: ScoreOptions) -> None:
        low, high = options.quiet_share, options.quiet_share + _SPREAD_SHARE
        self._shares = low, high
        self._deviations = _NORMAL.inv_cdf(high) - _NORMAL.inv_cdf(low)
        self._least = options.least_spread
        self._samples = SlidingQuantiles(int(options.window_s * 1e9), _MOST_SAMPLES)
        self._turn = 0
        self._level, self._spread = 0.0, self._least

    def deviations(self, value: float, time_ns: int) -> float:
        """How far this is above the quiet level."""
        if self._turn == 0:
            samples = self._samples
            samples.add(value, time_ns)
            self._level = samples.quantile(self._shares[0])
            self._spread = max(self._least, (samples.quantile(self._shares[1]) - self._level) / self._deviations)
        self._turn = (self._turn + 1) % _LEARN_EACH
        return (value - self._level) / self._spread


class Scorer:
    """One stream's score. Implements Predictor. One thread; some 9 us per packet, 290 kB.

    The score is in standard deviations of the quiet, roughly; 3 and more is worth a look.
    """

    def __init__(self, options: ScoreOptions) -> None:
        self._options = options
        self._fitness = Fitness(int(options.key_interval_s * 1e9))
        self._window_ns = int(options.window_s * 1e9)
        self._mean_ns = int(options.mean_s * 1e9)
        self._learn_ns = int(options.learn_s * 1e9)
        self._since_ns: int | None = None
        self._last_ns = 0
        self._forget()

    def _forget(self) -> None:
        """Know nothing of the stream: at first, and when time jumps."""
        self._levels = Levels(self._options.ln_per_qp, self._window_ns)
        self._quiet = _Quiet(self._options), _Quiet(self._options), _Quiet(self._options)
        self.restart()

    def restart(self) -> None:
        """A new connection: no score until there was enough of it. The quiet is kept while it is in the window."""
        self._fitness.restart()
        self._recent = Recent(self._mean_ns)
        self._score = 0.0

    def update(self, facts: PacketFacts, time_ns: int) -> float:
        """Score of the time that ends with this packet; 0 until there was enough since the start or `restart`."""
        if self._since_ns is None or abs(time_ns - self._last_ns) > self._window_ns:
            self._forget()
            self._since_ns = self._last_ns = time_ns
        self._last_ns = time_ns = max(time_ns, self._last_ns)
        self._fitness.update(facts, time_ns)
        if facts.payload_bytes:
            above = self._levels.above(facts, time_ns)
            if not facts.is_key:
                self._score = self._judged(above, time_ns)
        return self._score

    def _judged(self, above: float, time_ns: int) -> float:
        figures = self._recent.add(above, time_ns)
        if figures is None:
            return 0.0
        mean, least, late = self._quiet
        return _SCALE * (
            mean.deviations(figures.mean, time_ns)
            + least.deviations(figures.least, time_ns)
            + late.deviations(figures.least_of_late, time_ns)
        )

    def ready(self, time_ns: int) -> bool:
        """The quiet has been learned: the stream was seen for long enough, without a long gap."""
        if self._since_ns is None or time_ns - self._last_ns > self._window_ns:
            return False
        return self._last_ns - self._since_ns >= self._learn_ns

    def ungateable(self, time_ns: int) -> str:
        """Why this stream must be decoded whatever the score says, in words; empty if it need not."""
        return self._fitness.reason(time_ns)
