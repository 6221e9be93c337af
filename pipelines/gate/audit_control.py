"""Thresholds that follow the audit: the chain is held at a target recall, never moved by a guess.

For one camera where its own audit is sufficient; else, where the fleet's is, for every camera that, shrunk towards the
fleet, is on the same side of the target:

| the interval of the recall lies | step |
|---|---|
| wholly below the target | `step` down at the gate that misses most; `fast_step` if the recall is lower by `far` |
| around the target | none: the evidence does not tell |
| wholly above target + `margin`, fleet too | `relax_step` up, at most every `relax_s` |
| anywhere, but the evidence is insufficient | none |

"Down" multiplies the threshold of a gate: it lets more through. At `least_factor` a further step opens the gate: a
camera whose score says nothing cannot be gated. After `retry_s`, twice as long each time, it is closed again at the
least factor, to see.
Every step ends the evidence it was taken on (`AuditStep.cameras` are to be forgotten), so the same windows never
count for two steps, and the thing cannot swing faster than evidence grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pydantic import BaseModel, Field

from pipelines.contracts import GateSetting
from pipelines.gate.audit_camera import CameraRecall
from pipelines.gate.audit_estimate import AuditEstimate
from pipelines.gate.audit_interval import Interval
from pipelines.gate.audit_window import GATES
from pipelines.values import Outcome


class ControlOptions(BaseModel, frozen=True, extra="forbid"):
    """Where the thresholds are to go, and how fast. Factors multiply the configured thresholds."""

    target_recall: float = Field(0.95, gt=0, lt=1, description="Recall of the chain to hold, in event windows.")
    margin: float = Field(0.02, ge=0, lt=1, description="Above the target by this much, thresholds may be relaxed.")
    far: float = Field(0.2, ge=0, lt=1, description="Below the target by this much, the fast step is taken.")
    step: float = Field(0.85, gt=0, lt=1, description="Factor of a step towards more sensitive.")
    fast_step: float = Field(0.5, gt=0, lt=1, description="The same, far below the target.")
    relax_step: float = Field(1.05, gt=1, le=2, description="Factor of a step towards less sensitive.")
    least_factor: float = Field(0.25, gt=0, le=1, description="Lower bound; below it the gate is opened.")
    most_factor: float = Field(1.5, ge=1, description="Bound the other way.")
    relax_s: float = Field(3600.0, ge=0, description="Between two steps towards less sensitive of a camera, s.")
    retry_s: float = Field(14400.0, gt=0, description="An opened gate is tried again after this, doubled each time, s.")


Settings = Mapping[Outcome, GateSetting]
_START: Settings = {gate: GateSetting() for gate in GATES}


@dataclass(frozen=True, slots=True)
class AuditStep:
    """One move of one gate of one camera."""

    camera: str
    gate: Outcome
    setting: GateSetting
    reason: str


@dataclass(slots=True)
class _Camera:
    gates: dict[Outcome, GateSetting] = field(default_factory=lambda: dict(_START))
    relaxed_ns: int | None = None


class ThresholdControl:
    """The settings of every camera. Pure: the estimate and the time are arguments. Not thread-safe."""

    def __init__(self, options: ControlOptions) -> None:
        self._options = options
        self._cameras: dict[str, _Camera] = {}

    def settings(self, camera: str) -> Settings:
        """Of one camera, by gate."""
        known = self._cameras.get(camera)
        return _START if known is None else dict(known.gates)

    def forget(self, camera: str) -> None:
        """The camera is gone."""
        self._cameras.pop(camera, None)

    def update(self, estimate: AuditEstimate, now_ns: int) -> list[AuditStep]:
        """Take at most one step per camera. The evidence of these cameras is used up: forget it."""
        steps = self._retry(now_ns)
        done = {step.camera for step in steps}
        for camera, recall in estimate.cameras.items():
            if camera not in done and (step := self._step(camera, recall, estimate, now_ns)):
                steps.append(step)
        return steps

    def _retry(self, now_ns: int) -> list[AuditStep]:
        steps = []
        for camera, known in self._cameras.items():
            for gate, setting in known.gates.items():
                since_ns = setting.open_since_ns
                wait_ns = self._options.retry_s * 1e9 * 2 ** max(setting.openings - 1, 0)
                if since_ns is not None and now_ns - since_ns >= wait_ns:
                    closed = known.gates[gate] = replace(setting, open_since_ns=None)
                    steps.append(AuditStep(camera, gate, closed, "tries the gate again"))
                    break
        return steps

    def _step(self, camera: str, own: CameraRecall, estimate: AuditEstimate, now_ns: int) -> AuditStep | None:
        target, chain = self._options.target_recall, estimate.chain
        if own.sufficient and own.interval.high < target:
            return self._tighten(camera, own.missed, own.value, "its recall", now_ns)
        if not chain.sufficient:
            return None
        if chain.interval.high < target and own.value < target:
            missed = {gate: recall.missed for gate, recall in estimate.gates.items()}
            return self._tighten(camera, missed, chain.value, "the fleet's recall", now_ns)
        above = target + self._options.margin
        if chain.interval.low > above and own.sufficient and own.interval.low > above:
            return self._relax(camera, own.interval, now_ns)
        return None

    def _tighten(
        self, camera: str, missed: Mapping[Outcome, float], recall: float, what: str, now_ns: int
    ) -> AuditStep | None:
        options, known = self._options, self._cameras.setdefault(camera, _Camera())
        closed = [gate for gate in missed if missed[gate] > 0 and known.gates[gate].open_since_ns is None]
        if not closed:
            return None
        gate = max(closed, key=lambda gate: missed[gate])
        old = known.gates[gate]
        reason = f"{what} is about {recall:.2f}, the target {options.target_recall:.2f}"
        if old.factor <= options.least_factor:
            new = replace(old, open_since_ns=now_ns, openings=min(old.openings + 1, 16))
        else:
            step = options.fast_step if recall < options.target_recall - options.far else options.step
            new = replace(old, factor=max(old.factor * step, options.least_factor))
        known.gates[gate] = new
        known.relaxed_ns = now_ns  # after a step down it waits before the next one up
        return AuditStep(camera, gate, new, reason)

    def _relax(self, camera: str, interval: Interval, now_ns: int) -> AuditStep | None:
        options, known = self._options, self._cameras.setdefault(camera, _Camera())
        if known.relaxed_ns is not None and now_ns - known.relaxed_ns < options.relax_s * 1e9:
            return None
        gate = min(GATES, key=lambda gate: known.gates[gate].factor)
        old = known.gates[gate]
        if old.factor >= 1.0:  # beyond what was configured only before the decoder: that is where work is saved
            gate, old = Outcome.ASLEEP, known.gates[Outcome.ASLEEP]
        factor = min(old.factor * options.relax_step, options.most_factor)
        if old.open_since_ns is not None or factor <= old.factor:
            return None
        new = known.gates[gate] = replace(old, factor=factor)
        known.relaxed_ns = now_ns
        return AuditStep(
            camera, gate, new, f"its recall is {interval.low:.2f} or more, the target {options.target_recall:.2f}"
        )
