"""How much happens in a stream, from packet headers alone: complexity against the stream's own quiet. Pure.

Complexity is the logarithm of the payload plus what the quantiser took away: six steps of QP halve the step size's
inverse, so ln(bytes) + QP * ln(2) / 6 stays where it is when the encoder trades size for QP. With constant bit rate the
sizes alone say nothing.
"""

from __future__ import annotations

from collections import deque
from math import log

from pydantic import BaseModel, Field

from pipelines.gate.bitstream import PacketFacts
from pipelines.gate.score_fitness import Fitness
from pipelines.gate.score_window import SlidingQuantiles

LN_PER_QP = log(2) / 6
"""ITU-T H.264 8.5.8, H.265 8.6.3: the quantiser step doubles every 6."""


class ScoreOptions(BaseModel, frozen=True, extra="forbid"):
    """What a stream's own quiet is, and what stands out of it."""

    use_qp: bool = Field(True, description="false: sizes only, which constant bit rate makes blind.")
    window_s: float = Field(20.0, gt=0, description="The quiet is learned over so much of the past, s.")
    quiet_share: float = Field(0.3, gt=0.1, lt=1, description="This quantile of the window is the quiet level.")
    least_spread: float = Field(0.03, gt=0, description="Natural logarithm: no stream's quiet is steadier than this.")
    most: float = Field(8.0, gt=0, description="One packet's score is limited to this, either way.")
    mean_packets: int = Field(5, ge=1, le=100, description="The score is the mean of so many packets.")
    learn_s: float = Field(10.0, gt=0, description="A stream must have been seen for so long before it is judged, s.")
    key_interval_s: float = Field(
        15.0, gt=0, description="A stream without a key frame for longer cannot sleep: waking would cost too much, s."
    )


_LOW_SHARE = 0.05
_LOW_DEVIATIONS = 1.12
"""Between the 30 % and the 5 % quantile of a normal distribution lie so many standard deviations."""
_LEAST_SAMPLES = 8
_MOST_SAMPLES = 1000
_LEAST_BYTES = 64
"""An empty picture takes a few tens of bytes; their differences mean nothing."""


class Scorer:
    """One stream's score. Implements Predictor. One thread; about 5 us per packet.

    Each kind of packet (key, reference or not, slice type) has its own quiet: a quantile below the middle, so that
    activity for most of the window does not lift it, with the spread below it, which activity does not touch.
    """

    def __init__(self, options: ScoreOptions) -> None:
        self._options = options
        self._gain = LN_PER_QP if options.use_qp else 0.0
        self._fitness = Fitness(int(options.key_interval_s * 1e9))
        self._window_ns = int(options.window_s * 1e9)
        self._learn_ns = int(options.learn_s * 1e9)
        self._quiet: dict[object, SlidingQuantiles] = {}
        self._recent: deque[float] = deque(maxlen=options.mean_packets)
        self._since_ns: int | None = None
        self._last_ns = 0

    def restart(self) -> None:
        """A new connection: recent packets do not lead to the next. The quiet is kept while it is in the window."""
        self._fitness.restart()
        self._recent.clear()

    def update(self, facts: PacketFacts, time_ns: int) -> float:
        """Score of this packet and the few before it."""
        self._fitness.update(facts, time_ns)
        if self._since_ns is None or time_ns - self._last_ns > self._window_ns:
            self._since_ns = time_ns
        self._last_ns = time_ns
        if facts.payload_bytes:
            self._recent.append(self._deviation(facts, time_ns))
        return sum(self._recent) / len(self._recent) if self._recent else 0.0

    def _deviation(self, facts: PacketFacts, time_ns: int) -> float:
        kind = (facts.is_key, facts.is_reference, facts.slice_type, facts.qp is None)
        quiet = self._quiet.get(kind)
        if quiet is None:
            quiet = self._quiet[kind] = SlidingQuantiles(self._window_ns, _MOST_SAMPLES)
        complexity = log(facts.payload_bytes + _LEAST_BYTES) + self._gain * (facts.qp or 0)
        deviation = 0.0
        if len(quiet) >= _LEAST_SAMPLES:
            options = self._options
            level = quiet.quantile(options.quiet_share)
            spread = max(options.least_spread, (level - quiet.quantile(_LOW_SHARE)) / _LOW_DEVIATIONS)
            deviation = max(-options.most, min(options.most, (complexity - level) / spread))
        quiet.add(complexity, time_ns)
        return deviation

    def ready(self, time_ns: int) -> bool:
        """The quiet has been learned: the stream was seen for long enough, without a long gap."""
        del time_ns
        return self._since_ns is not None and self._last_ns - self._since_ns >= self._learn_ns

    def ungateable(self, time_ns: int) -> str:
        """Why this stream must be decoded whatever the score says, in words; empty if it need not."""
        return self._fitness.reason(time_ns)
