"""What is audited: windows of a camera at a gate, and what was learned of them."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, Field, model_validator

from pipelines.values import Outcome

GATES = (Outcome.ASLEEP, Outcome.STILL, Outcome.EMPTY)
"""The gates that are audited, by the outcome they give."""


class AuditOptions(BaseModel, frozen=True, extra="forbid"):
    """How much of what the gates drop is looked at anyway, and how it is chosen."""

    enabled: bool = Field(True, description="false: nothing is audited, and the miss rate is not known.")
    share: float = Field(0.02, gt=0, le=0.5, description="Share of the cores that the audit may spend, all its work.")
    window_s: float = Field(4.0, gt=0.5, le=60, description="Length of an audited window: about that of an event, s.")
    most_probability: float = Field(0.5, gt=0, le=1, description="A window is never more likely to be audited.")
    edges: tuple[float, ...] = Field(
        (0.5, 0.8), description="Gate scores (1 = would have passed) that part the strata."
    )
    boost: tuple[float, ...] = Field((1.0, 2.0, 4.0), description="Relative probability of each stratum, lowest first.")
    suspect_boost: float = Field(8.0, ge=1, description="A camera in which a miss was found is audited this much more.")
    suspect_s: float = Field(1800.0, ge=0, description="A camera stays suspect this long after its last miss, s.")
    burst_s: float = Field(300.0, gt=0, description="Unspent share is kept for at most this long, s.")
    adapt_s: float = Field(120.0, gt=0, description="Time over which the probability follows the load, s.")
    first_cost_s: float = Field(0.4, gt=0, description="Work a window is taken to be until measured, CPU s.")
    grace_s: float = Field(0.5, ge=0, description="Found this much before or after a window is found in it, s.")
    settle_s: float = Field(2.0, ge=0, description="Answers of the normal path may come this late, s.")

    @model_validator(mode="after")
    def _strata_fit(self) -> AuditOptions:
        if len(self.boost) != len(self.edges) + 1 or min(self.boost) <= 0 or list(self.edges) != sorted(self.edges):
            raise ValueError("edges ascend, and boost has one positive value more than edges")
        return self


@dataclass(frozen=True, slots=True)
class AuditWindow:
    """One drawn window. It ends at the first chance (key frame, or dropped frame) at or after `end_ns`."""

    number: int
    camera: str
    gate: Outcome
    stratum: int
    """Index into AuditOptions.boost, by the gate's score when the window began."""
    probability: float
    """With which it was drawn, 0..1; fixed before the draw."""
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Audited:
    """What became of a window."""

    window: AuditWindow
    outcome: Outcome
    """inferred: it counts. Else why it does not: failed, late, stopped, ..."""
    missed: int
    """Event windows in it that the detector saw and the normal path did not; nearly always 0 or 1."""
    cpu_s: float
    """All work it cost."""
