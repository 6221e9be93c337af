"""Sums over audited windows: all that the estimator needs to know, and no window kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

from pipelines.gate.audit_window import Audited
from pipelines.values import Outcome


@dataclass(slots=True)
class Tally:
    """Of one camera at one gate. With w = 1/probability and y = event windows missed in a window; sums add up."""

    units: float = 0.0
    """Windows begun, drawn or not."""
    windows: float = 0.0
    """Audited to the end."""
    positives: float = 0.0
    """Of these, with a miss."""
    weight: float = 0.0
    """sum w: estimates `units`."""
    missed: float = 0.0
    """sum w y."""
    square: float = 0.0
    """sum (1 - 1/w) w^2 y^2: with `cross` and `spread`, the variance of `missed` from the draws."""
    cross: float = 0.0
    """sum (1 - 1/w) w^2 y."""
    spread: float = 0.0
    """sum (1 - 1/w) w^2."""
    known: float = 0.0
    """Event windows that are known to be missed: seen only because the heartbeat or an audit had woken the stream."""

    def note(self, audited: Audited) -> None:
        """One more window that was audited to the end."""
        weight, missed = 1.0 / audited.window.probability, float(audited.missed)
        variance = weight * (weight - 1.0)
        self.windows += 1.0
        self.positives += missed > 0.0
        self.weight += weight
        self.missed += weight * missed
        self.square += variance * missed * missed
        self.cross += variance * missed
        self.spread += variance

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, name) + getattr(other, name) for name in _FIELDS))


_FIELDS = tuple(entry.name for entry in fields(Tally))


@dataclass(slots=True)
class CameraEvidence:
    """What is known of one camera: event windows that the normal path found, and the audit of what it dropped."""

    found: float = 0.0
    gates: dict[Outcome, Tally] = field(default_factory=dict)

    def gate(self, gate: Outcome) -> Tally:
        """The tally to write to."""
        return self.gates.setdefault(gate, Tally())

    def __add__(self, other: CameraEvidence) -> CameraEvidence:
        both = {gate: self.gates.get(gate, Tally()) + other.gates.get(gate, Tally()) for gate in _keys(self, other)}
        return CameraEvidence(self.found + other.found, both)


Evidence = Mapping[str, CameraEvidence]
"""By camera id."""


def _keys(one: CameraEvidence, other: CameraEvidence) -> Iterable[Outcome]:
    return [*one.gates, *(gate for gate in other.gates if gate not in one.gates)]


class History:
    """Evidence of the last while, in slices that are dropped whole when they are too old.

    Bound: memory / slice slices, each with one small record per camera and gate. Not thread-safe: the owner locks.
    """

    def __init__(self, memory_s: float, slices: int = 24) -> None:
        self._slice_ns = max(int(memory_s * 1e9) // slices, 1)
        self._slices = slices
        self._kept: dict[int, dict[str, CameraEvidence]] = {}

    def at(self, camera: str, now_ns: int) -> CameraEvidence:
        """The record to add to, now."""
        return self._kept.setdefault(now_ns // self._slice_ns, {}).setdefault(camera, CameraEvidence())

    def read(self, now_ns: int) -> dict[str, CameraEvidence]:
        """All that is remembered; drops what is too old."""
        oldest = now_ns // self._slice_ns - self._slices
        self._kept = {number: part for number, part in self._kept.items() if number > oldest}
        total: dict[str, CameraEvidence] = {}
        for part in self._kept.values():
            for camera, evidence in part.items():
                total[camera] = total.get(camera, CameraEvidence()) + evidence
        return total

    def forget(self, camera: str) -> None:
        """Its thresholds changed, or it is gone: what was learned speaks of another gate."""
        for part in self._kept.values():
            part.pop(camera, None)
