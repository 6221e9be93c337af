"""Who is audited when: a draw with a known probability for every window that a gate drops.

The time a camera spends dropped at one gate is cut into windows. When a window begins, before anything is known of it,
it is drawn with probability

    p = most_probability  or, when that is too much,  boost * (share left / work that all windows would be)

`boost` is that of the gate score's stratum, times `suspect_boost` where a miss was found lately. `share left` is the
reserved share times how full the token bucket is (half full: 1), so the draw becomes rarer when the audit has spent
much and stops before the bucket is empty. The probability depends on the past only, never on what the window holds:
that is all the estimator needs (adaptive, sequential Poisson sampling: Särndal, Swensson, Wretman 1992, chapter 3).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from pipelines.gate.audit_window import AuditOptions, AuditWindow
from pipelines.gate.budget_meter import RateMeter
from pipelines.values import Outcome

_EARLY = 0.125
"""A window may end this part of its length early: key frames of a jittery clock still tile the time."""
_COST_WEIGHT = 0.1
"""Of one more measured window in the running cost of its gate."""
_LEAST_COST_S = 0.001
"""No window is taken to cost less: one that nobody charged for would otherwise be free."""


@dataclass(slots=True)
class _Camera:
    ends_ns: dict[Outcome, int]
    suspect_until_ns: int = 0


class AuditPlan:
    """The draws of one process. Pure: time and chance are arguments. Not thread-safe: the owner locks.

    The share is a token bucket in CPU seconds: a draw reserves what a window of its gate costs on average, `finish`
    corrects it. So work done <= share * cores * time + bucket + what windows in flight cost above their average.
    """

    def __init__(self, options: AuditOptions, cores: float) -> None:
        self._options = options
        self._rate = options.share * cores
        self._capacity_s = max(self._rate * options.burst_s, 2 * options.first_cost_s)
        self._level_s = self._capacity_s / 2
        self._filled_ns: int | None = None
        self._demand = RateMeter(options.adapt_s, first_s=options.window_s)
        self._costs: dict[Outcome, float] = {}
        self._reserved: dict[int, float] = {}
        self._cameras: dict[str, _Camera] = {}
        self._numbers = 0
        self.units: dict[tuple[str, Outcome], int] = {}
        """Windows begun since `take_units`, drawn or not, by camera and gate."""

    def offer(self, camera: str, gate: Outcome, score: float, now_ns: int, draw: float) -> AuditWindow | None:
        """A chance to begin a window: a key frame of a sleeping camera, or a frame that `still` or `empty` drops.

        Args:
            score: how near the gate was to letting it pass: 0 far, 1 at its threshold.
            draw: fresh uniform chance, [0, 1).

        Returns:
            The window, if one begins here and is drawn; the caller audits all of it. None: nothing to do.
        """
        known = self._cameras.setdefault(camera, _Camera({}))
        if now_ns < known.ends_ns.get(gate, now_ns):
            return None
        end_ns = now_ns + int(self._options.window_s * (1 - _EARLY) * 1e9)
        known.ends_ns[gate] = end_ns
        self.units[camera, gate] = self.units.get((camera, gate), 0) + 1
        stratum = bisect_right(self._options.edges, score)
        probability = self._probability(gate, stratum, now_ns < known.suspect_until_ns, now_ns)
        if draw >= probability:
            return None
        self._numbers += 1
        self._reserved[self._numbers] = self.cost_s(gate)
        self._level_s -= self.cost_s(gate)
        return AuditWindow(self._numbers, camera, gate, stratum, probability, now_ns, end_ns)

    def finish(self, window: AuditWindow, cpu_s: float, complete: bool = True) -> None:
        """A drawn window is over and has cost this much. Complete windows teach what a window costs."""
        reserved = self._reserved.pop(window.number, None)
        if reserved is None:
            return
        self._level_s = min(self._level_s + reserved - cpu_s, self._capacity_s)
        if complete:
            cost = self._costs.get(window.gate, cpu_s)
            self._costs[window.gate] = cost + _COST_WEIGHT * (cpu_s - cost)

    def suspect(self, camera: str, now_ns: int) -> None:
        """There is a reason to doubt this camera's gates (a miss, say): look closer."""
        known = self._cameras.setdefault(camera, _Camera({}))
        known.suspect_until_ns = now_ns + int(self._options.suspect_s * 1e9)

    def forget(self, camera: str) -> None:
        """The camera is gone."""
        self._cameras.pop(camera, None)

    def take_units(self) -> dict[tuple[str, Outcome], int]:
        """Windows begun since the last call, by camera and gate: what the sample stands for."""
        units, self.units = self.units, {}
        return units

    def cost_s(self, gate: Outcome) -> float:
        """CPU seconds of an average window of this gate."""
        return max(self._costs.get(gate, self._options.first_cost_s), _LEAST_COST_S)

    def level_s(self, now_ns: int) -> float:
        """CPU seconds that may be spent now."""
        if self._filled_ns is None:
            self._filled_ns = now_ns
        elapsed_s = max(now_ns - self._filled_ns, 0) / 1e9
        self._filled_ns = max(self._filled_ns, now_ns)
        self._level_s = min(self._level_s + self._rate * elapsed_s, self._capacity_s)
        return self._level_s

    def _probability(self, gate: Outcome, stratum: int, suspect: bool, now_ns: int) -> float:
        cost_s = self.cost_s(gate)
        boost = self._options.boost[stratum] * (self._options.suspect_boost if suspect else 1.0)
        self._demand.add(boost * cost_s, now_ns)
        level_s = self.level_s(now_ns)
        if level_s < cost_s:
            return 0.0
        left = self._rate * level_s / (self._capacity_s / 2)
        return min(self._options.most_probability, boost * left / self._demand.per_s(now_ns))
