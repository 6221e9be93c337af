"""Options of what answers while no worker does."""

from __future__ import annotations

from pydantic import BaseModel, Field


class DegradedOptions(BaseModel, frozen=True, extra="forbid"):
    """What answers while no worker does: a detector of this process, else the presence score alone."""

    detector: str | None = Field(
        None,
        min_length=1,
        description="Detector that then runs here, on the CPU: name, or ONNX file, as model.detector; unset: presence "
        "alone answers.",
    )
    cores: float = Field(0.5, gt=0, le=64, description="CPU that it may take at most (cores).")
    slots: int = Field(
        8, ge=1, le=256, description="Pictures that may wait for it while no worker is attached (count)."
    )
    silence_ms: int = Field(
        500,
        ge=50,
        description="A worker that has tasks and answers none of them for so long, and for three times as long as it "
        "usually takes, does not answer (milliseconds).",
    )
    failures: int = Field(3, ge=1, description="Failed answers in a row after which a worker does not answer (count).")
    probe_ms: int = Field(
        500,
        ge=50,
        description="One frame in this time is given to a worker that does not answer, to see whether it does again "
        "(milliseconds).",
    )
