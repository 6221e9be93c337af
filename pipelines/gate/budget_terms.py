"""The words of the decode budget: options, answers, readings."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, Field

from pipelines.values import Cause


class BudgetOptions(BaseModel, frozen=True, extra="forbid"):
    """What decoding may cost, and who goes first when it is too little."""

    cores: float = Field(
        0.0,
        ge=0,
        description="What all decoding may take, cores (CPU s per s); 0: what the machine has left (see spare_share).",
    )
    spare_share: float = Field(
        0.10,
        ge=0,
        le=0.5,
        description="With cores 0: this share of the machine stays idle, whatever else runs; cameras are shed instead. "
        "A container's quota is not seen: there, set cores.",
    )
    first_cores: float = Field(0.08, gt=0, description="What a stream is taken to cost until one was measured, cores.")
    least_cores: float = Field(0.002, gt=0, description="No stream is taken to cost less, cores.")
    weights: tuple[float, float, float] = Field(
        (1.0, 4.0, 16.0), description="What a second of a low, normal and high camera is worth, relatively; ascending."
    )
    keep_bonus: float = Field(1.5, ge=1, description="A stream that decodes counts this much more than one that waits.")
    reserve: float = Field(0.05, ge=0, lt=1, description="Share of the budget that who comes in must leave free.")
    patience_s: float = Field(30.0, gt=0, description="A stream refused this long is served from the floor, s.")
    floor_hold_s: float = Field(2.0, gt=0, description="It then keeps its grant this long, s.")
    floor_share: float = Field(0.2, ge=0, le=1, description="Share of the budget for these; at least one is served.")
    wanting_s: float = Field(5.0, gt=0, description="A stream that has not asked for this long wants no more, s.")
    fade_s: float = Field(10.0, gt=0, description="Time over which catch-up, heartbeat and audit work is averaged, s.")


@dataclass(frozen=True, slots=True)
class Grant:
    """The stream may decode until it is put back or released. cores: what it is taken to cost."""

    cores: float


@dataclass(frozen=True, slots=True)
class Refused:
    """The stream's packets are `shed`."""

    reason: Cause
    """OVER_BUDGET or PUT_BACK."""


@dataclass(frozen=True, slots=True)
class BudgetSnapshot:
    """One reading, in cores. committed <= cores, but for one decision and until the next rebalance."""

    cores: float
    committed: float
    """granted + overhead."""
    overhead: float
    """Catch-up, heartbeat and audit."""
    granted: int
    refused: int
    grants: int
    """Decisions since start."""
    refusals: int
    """Changes from idle or granted to refused, since start."""
    put_back: int
