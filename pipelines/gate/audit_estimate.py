"""How much the gates miss: recall of the chain, of each gate, and of each camera, with intervals.

    recall = found / (found + missed)

in event windows. `found` is known: the normal path saw them. `missed` is estimated from the audited windows with the
inverse of their probabilities (Horvitz and Thompson, JASA 1952), as a ratio to the number of windows that were begun
(Hájek), so windows that failed or were never offered count like the others of their gate. What was seen only because
the heartbeat or an audit had woken the stream is a miss that is known: it counts once, and is no part of the variance.

Two intervals, because there are two questions:

* `interval`: what was missed *by these cameras in this time*? The windows are the clusters of the sample, drawn one by
  one, so the variance is that of the draws, however the misses huddle in few cameras or hours. This is the one that
  is held to its 95 %.
* `lasting`: what would other days like this one bring? Cameras are taken as a sample of cameras, and the variance is
  that between them (ultimate clusters: M. Hansen, W. Hurwitz, W. Madow 1953). Never narrower than the other.

docs/audit.md has the definitions, the figures and what is not claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add

from pydantic import BaseModel, Field

from pipelines.gate.audit_camera import CameraCounts, CameraRecall, shrink
from pipelines.gate.audit_interval import Interval, total_interval
from pipelines.gate.audit_tally import CameraEvidence, Evidence, Tally
from pipelines.gate.audit_window import GATES
from pipelines.values import Outcome


class EstimateOptions(BaseModel, frozen=True, extra="forbid"):
    """When an estimate is worth acting upon."""

    memory_s: float = Field(86400.0, ge=60, description="Evidence older than this is forgotten, s.")
    least_windows: int = Field(300, ge=1, description="Audited windows below which the answer is `insufficient`.")
    least_misses: int = Field(20, ge=1, description="Misses seen (audited, known) that are enough with fewer windows.")
    least_events: int = Field(10, ge=1, description="Found windows and misses seen below which it is `insufficient`.")
    least_camera_windows: int = Field(20, ge=1, description="As least_windows, for one camera's own answer.")
    least_camera_misses: int = Field(4, ge=1, description="As least_misses, for one camera's own answer.")


@dataclass(frozen=True, slots=True)
class Recall:
    """Of the chain, or of one gate as if it were the only one."""

    found: float
    missed: float
    """Estimated, event windows."""
    interval: Interval
    """Of the recall of these cameras in this time."""
    lasting: Interval
    """Of the recall to expect of other days."""
    windows: int
    """Audited."""
    seen: int
    """Misses seen: audited windows with one, and known ones."""
    sufficient: bool

    @property
    def value(self) -> float:
        """0..1; 1.0 where nothing happened at all (never `sufficient`)."""
        return _recall(self.found, self.missed)


@dataclass(frozen=True, slots=True)
class AuditEstimate:
    """What the audit says at one instant."""

    chain: Recall
    gates: Mapping[Outcome, Recall]
    cameras: Mapping[str, CameraRecall]
    """Each shrunk towards the chain's recall."""


def estimate(evidence: Evidence, options: EstimateOptions) -> AuditEstimate:
    """Weigh the evidence. Pure; about 2 ms for 64 cameras.

    The misses of different gates are added: an event whose frames were dropped partly as `still` and partly as `empty`
    counts at both, so the chain is never flattered.
    """
    factors = _factors(evidence)
    gates = {gate: _recall_of(evidence, {gate: factors[gate]}, options) for gate in GATES}
    chain = _recall_of(evidence, factors, options)
    counts = {camera: _counts(record, factors, options) for camera, record in evidence.items()}
    return AuditEstimate(chain, gates, shrink(counts, chain.value))


def estimate_chain(evidence: Evidence, options: EstimateOptions) -> Recall:
    """The chain only."""
    return _recall_of(evidence, _factors(evidence), options)


def _recall_of(evidence: Evidence, factors: Mapping[Outcome, float], options: EstimateOptions) -> Recall:
    tallies = {gate: _fleet(evidence, gate) for gate in factors}
    found = sum(record.found for record in evidence.values())
    drawn = sum(factors[gate] * tally.missed for gate, tally in tallies.items())
    known = sum(tally.known for tally in tallies.values())
    typical = _typical(tallies, factors)
    variance = sum(_variance(tally, factors[gate]) for gate, tally in tallies.items())
    between = _between(evidence, factors, (known + drawn) / found if found else 0.0)
    effect = max(between / variance, 1.0) if variance > 0 else 1.0
    windows = round(sum(tally.windows for tally in tallies.values()))
    seen = round(sum(tally.positives + tally.known for tally in tallies.values()))
    return Recall(
        found=found,
        missed=known + drawn,
        interval=_as_recall(found, known, total_interval(drawn, variance, typical)),
        lasting=_as_recall(found, known, total_interval(drawn, variance * effect, typical * effect, imagined=1.0)),
        windows=windows,
        seen=seen,
        sufficient=_sufficient(windows, seen, options) and found + seen >= options.least_events,
    )


def _sufficient(windows: int, seen: int, options: EstimateOptions) -> bool:
    """To wait for so many misses instead of so many windows errs by about 1/misses, towards too low a recall."""
    return windows >= options.least_windows or seen >= options.least_misses


def _fleet(evidence: Evidence, gate: Outcome) -> Tally:
    return reduce(add, (record.gates[gate] for record in evidence.values() if gate in record.gates), Tally())


def _factors(evidence: Evidence) -> dict[Outcome, float]:
    """Windows begun per estimated window begun: near 1, above where windows were lost or could not be drawn."""
    tallies = {gate: _fleet(evidence, gate) for gate in GATES}
    return {gate: tally.units / tally.weight if tally.weight else 1.0 for gate, tally in tallies.items()}


def _variance(tally: Tally, factor: float) -> float:
    """Of factor * missed, over the draws; of the ratio, so about the mean miss per window."""
    mean = tally.missed / tally.weight if tally.weight else 0.0
    return factor**2 * max(tally.square - 2 * mean * tally.cross + mean**2 * tally.spread, 0.0)


def _typical(tallies: Mapping[Outcome, Tally], factors: Mapping[Outcome, float]) -> float:
    """What one unseen miss would weigh: the mean of variance per miss over the windows there were."""
    weight = sum(tally.weight for tally in tallies.values())
    return sum(factors[gate] * tally.spread for gate, tally in tallies.items()) / weight if weight else 0.0


def _between(evidence: Evidence, factors: Mapping[Outcome, float], odds: float) -> float:
    """Variance of the missed total if the cameras were a sample: squares of what each is off the common odds."""
    if len(evidence) < 2:
        return 0.0
    offs = [_missed(record, factors) - odds * record.found for record in evidence.values()]
    mean = sum(offs) / len(offs)
    return len(offs) / (len(offs) - 1) * sum((off - mean) ** 2 for off in offs)


def _missed(record: CameraEvidence, factors: Mapping[Outcome, float]) -> float:
    own = ((factor, record.gates[gate]) for gate, factor in factors.items() if gate in record.gates)
    return sum(tally.known + factor * tally.missed for factor, tally in own)


def _counts(record: CameraEvidence, factors: Mapping[Outcome, float], options: EstimateOptions) -> CameraCounts:
    tallies = record.gates
    windows = round(sum(tally.windows for tally in tallies.values()))
    seen = round(sum(tally.positives + tally.known for tally in tallies.values()))
    return CameraCounts(
        found=record.found,
        missed={gate: tally.known + factors[gate] * tally.missed for gate, tally in tallies.items()},
        variance=sum(factors[gate] ** 2 * tally.square for gate, tally in tallies.items()),
        typical=_typical(tallies, factors),
        windows=windows,
        seen=seen,
        sufficient=windows >= options.least_camera_windows or seen >= options.least_camera_misses,
    )


def _as_recall(found: float, known: float, missed: Interval) -> Interval:
    return Interval(_recall(found, known + missed.high), _recall(found, known + missed.low))


def _recall(found: float, missed: float) -> float:
    return found / (found + missed) if found + missed > 0 else 1.0
