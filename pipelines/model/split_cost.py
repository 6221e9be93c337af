"""Does a cut pay? Bytes over the link and measured time, of the whole and of the chain. Pure.

    whole   inputs over the link; whole on the worker; outputs back
    chain   pre on the DPU; first cut over the link; main on the worker; second cut back; post on the DPU

Times are measured on this machine, one thread, and taken for the DPU's; the worker's are these divided by
`worker_speedup`. The round trip itself is the same both ways and left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, Field


class CostOptions(BaseModel, frozen=True, extra="forbid"):
    """What the link and the worker are like."""

    link_gbit_s: float = Field(10.0, gt=0, description="Payload rate of the link between DPU and worker, Gbit/s.")
    worker_speedup: float = Field(
        10.0, gt=0, description="How many times as fast as this machine's core the worker runs the model."
    )
    least_main: float = Field(
        0.5, gt=0, le=1, description="A cut is proposed only if main does at least this share of the work."
    )
    least_gain: float = Field(
        0.05, ge=0, lt=1, description="A chain pays if it answers sooner by this share of the whole's time."
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """One way to run a model, for one batch."""

    dpu_ns: int
    worker_ns: int
    """Already at the worker's speed."""
    up_bytes: int
    down_bytes: int
    link_ns: int

    @property
    def total_ns(self) -> int:
        return self.dpu_ns + self.worker_ns + self.link_ns

    def __str__(self) -> str:
        bytes_ = f"{self.up_bytes:,} B up and {self.down_bytes:,} B down"
        parts = f"DPU {self.dpu_ns / 1e6:.3f}, link {self.link_ns / 1e6:.3f} for {bytes_}"
        return f"{self.total_ns / 1e6:.3f} ms ({parts}, worker {self.worker_ns / 1e6:.3f})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Both ways, side by side."""

    whole: Cost
    chain: Cost
    least_gain: float

    @property
    def pays(self) -> bool:
        return self.gain >= self.least_gain

    @property
    def gain(self) -> float:
        """Share of the whole's time that the chain saves; negative: it takes longer."""
        return 1 - self.chain.total_ns / max(self.whole.total_ns, 1)

    def __str__(self) -> str:
        return f"whole: {self.whole}; chain: {self.chain}; gain {self.gain:.1%}, wanted {self.least_gain:.0%}"


def cost(options: CostOptions, dpu_ns: float, here_ns: float, up_bytes: int, down_bytes: int) -> Cost:
    """`here_ns`: what the worker's share takes on this machine."""
    link_ns = (up_bytes + down_bytes) * 8 / options.link_gbit_s
    return Cost(int(dpu_ns), int(here_ns / options.worker_speedup), up_bytes, down_bytes, int(link_ns))


def fair_shares(times_ns: Mapping[str, int]) -> dict[str, float]:
    """Times of the parts that together take at least as long as the whole, whose nodes they run.

    Parts may take longer than the whole (what onnxruntime can no longer fuse); they cannot take less, but for noise,
    and noise must not make a cut pay.
    """
    parts = {name: float(taken) for name, taken in times_ns.items() if name != "whole"}
    factor = max(1.0, times_ns["whole"] / max(sum(parts.values()), 1.0))
    return {name: taken * factor for name, taken in parts.items()}
