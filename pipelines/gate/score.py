"""How much happens in a stream, from packet headers alone: complexity against the stream's own quiet. Pure.

Complexity is the logarithm of the payload plus what the quantiser took away, `ln(bytes) + ln_per_qp * QP`: with
constant bit rate the size says nothing, since the encoder answers activity with QP. Standards fix the quantiser's step
(it grows by ln 2 / 6 = 0.116 per QP), but bytes fall faster than that, because most of a quiet picture is noise at the
edge of being dropped; 0.3 to 0.6 was measured best, and where QP hardly moves the figure does not matter.

One packet says little, as noise differs from picture to picture; a second of them does. So the mean is taken first, and
then compared with how that same mean behaves while the stream is quiet.
"""

from __future__ import annotations

from collections import deque
from math import log
from statistics import NormalDist

from pydantic import BaseModel, Field

from pipelines.gate.bitstream import PacketFacts
from pipelines.gate.score_fitness import Fitness
from pipelines.gate.score_window import SlidingQuantiles


class ScoreOptions(BaseModel, frozen=True, extra="forbid"):
    """What a stream's own quiet is, and what stands out of it."""

    ln_per_qp: float = Field(
        0.45, ge=0, le=2, description="What a step of QP is worth in natural logarithms of bytes; 0: sizes only."
    )
    mean_s: float = Field(1.0, gt=0, description="The score is of the mean over so much of the past, s.")
    window_s: float = Field(30.0, gt=0, description="The quiet is learned over so much of the past, s.")
    quiet_share: float = Field(
        0.5, gt=0.1, le=0.9, description="This quantile of the window is the quiet level; lower for busy places."
    )
    least_spread: float = Field(0.015, gt=0, description="Natural logarithm: no mean is steadier than this.")
    learn_s: float = Field(15.0, gt=0, description="A stream must have been seen for so long before it is judged, s.")
    key_interval_s: float = Field(
        15.0, gt=0, description="A stream without a key frame for longer cannot sleep: waking would cost too much, s."
    )


_LEVEL_SHARE = 0.3
"""Of one kind of packet: below the middle, so that activity does not lift it soon."""
_LOW_SHARE = 0.1
"""The spread is measured below the quiet, where activity does not reach."""
_NORMAL = NormalDist()
_LEAST_SAMPLES = 8
_MOST_SAMPLES = 1000
"""30 s at 33 packets a second; a faster stream has a shorter window."""
_MOST_LN = 1.5
"""One packet counts for no more than a factor of 4.5: several packets wake, not a single one."""
_EMPTY_BYTES = 64
"""An empty picture takes a few tens of bytes; their differences mean nothing."""


class Scorer:
    """One stream's score. Implements Predictor. One thread; about 5 us per packet, 250 kB.

    Each kind of packet (key, reference, slice type) has its own level. The score is in standard deviations of the
    quiet mean; 2 and more is worth a look.
    """

    def __init__(self, options: ScoreOptions) -> None:
        self._options = options
        self._fitness = Fitness(int(options.key_interval_s * 1e9))
        self._window_ns = int(options.window_s * 1e9)
        self._mean_ns = int(options.mean_s * 1e9)
        self._learn_ns = int(options.learn_s * 1e9)
        self._deviations = _NORMAL.inv_cdf(options.quiet_share) - _NORMAL.inv_cdf(_LOW_SHARE)
        self._since_ns: int | None = None
        self._last_ns = 0
        self._forget()

    def _forget(self) -> None:
        """Know nothing of the stream: at first, and when time jumps."""
        self._levels: dict[object, SlidingQuantiles] = {}
        self._quiet = SlidingQuantiles(self._window_ns, _MOST_SAMPLES)
        self._recent: deque[tuple[int, float]] = deque()
        self._recent_sum = 0.0
        self.restart()

    def restart(self) -> None:
        """A new connection: no score for a second. The quiet is kept while it is in the window."""
        self._fitness.restart()
        self._score = 0.0
        self._full_ns: int | None = None
        """From then on there is a whole `mean_s` to take the mean of; None: the next packet begins it."""

    def update(self, facts: PacketFacts, time_ns: int) -> float:
        """Score of the second that ends with this packet; 0 until there was one since the start or `restart`."""
        if self._since_ns is None or abs(time_ns - self._last_ns) > self._window_ns:
            self._forget()
            self._since_ns = self._last_ns = time_ns
        self._last_ns = time_ns = max(time_ns, self._last_ns)
        self._fitness.update(facts, time_ns)
        if facts.payload_bytes:
            self._score = self._against_quiet(self._mean(self._above_level(facts, time_ns), time_ns), time_ns)
        return self._score

    def _above_level(self, facts: PacketFacts, time_ns: int) -> float:
        """Complexity of one packet above the level of its kind, natural logarithm, limited."""
        kind = (facts.is_key, facts.is_reference, facts.slice_type, facts.qp is None)
        levels = self._levels.get(kind)
        if levels is None:
            levels = self._levels[kind] = SlidingQuantiles(self._window_ns, _MOST_SAMPLES)
        complexity = log(facts.payload_bytes + _EMPTY_BYTES) + self._options.ln_per_qp * (facts.qp or 0)
        above = complexity - levels.quantile(_LEVEL_SHARE) if len(levels) >= _LEAST_SAMPLES else 0.0
        levels.add(complexity, time_ns)
        return max(-_MOST_LN, min(_MOST_LN, above))

    def _mean(self, above: float, time_ns: int) -> float:
        recent = self._recent
        recent.append((time_ns, above))
        self._recent_sum += above
        while recent[0][0] <= time_ns - self._mean_ns:
            self._recent_sum -= recent.popleft()[1]
        return self._recent_sum / len(recent)

    def _against_quiet(self, mean: float, time_ns: int) -> float:
        if self._full_ns is None:
            self._full_ns = time_ns + self._mean_ns
        if time_ns < self._full_ns:
            return 0.0
        quiet, options = self._quiet, self._options
        quiet.add(mean, time_ns)
        level = quiet.quantile(options.quiet_share)
        spread = (level - quiet.quantile(_LOW_SHARE)) / self._deviations
        return (mean - level) / max(options.least_spread, spread)

    def ready(self, time_ns: int) -> bool:
        """The quiet has been learned: the stream was seen for long enough, without a long gap."""
        if self._since_ns is None or time_ns - self._last_ns > self._window_ns:
            return False
        return self._last_ns - self._since_ns >= self._learn_ns

    def ungateable(self, time_ns: int) -> str:
        """Why this stream must be decoded whatever the score says, in words; empty if it need not."""
        return self._fitness.reason(time_ns)
