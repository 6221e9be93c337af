"""What a model's life in a worker is spoken of in: candidate, swap, and where candidates come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pipelines.contracts import Engine, SlotReader
from pipelines.values import ModelCard
from pipelines.worker.pinning import RegionReader


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may take over: what was asked for, and what was found and checked."""

    reference: str
    """As asked: a name, a file, a model directory, DIR@VERSION."""
    path: str
    """The folded file."""
    sha256: str
    """Of that file, as it was checked."""


@dataclass(frozen=True, slots=True)
class Swap:
    """What a load did, and how long each step took."""

    model: Candidate
    card: ModelCard
    checked_ns: int
    """In a process of its own, beside the running model."""
    ready_ns: int
    """Loaded and warmed here, beside the running model."""
    drained_ns: int
    """From the swap until the old model was freed; 0: it is still there."""
    reattached: bool
    """DPU processes had to attach again, as payloads or answers differ."""


@dataclass(frozen=True, slots=True)
class LifecycleStatistics:
    """Counters since start."""

    loads: int
    refused: int
    retiring: int
    last_error: str
    bad: bool = False
    """The model that serves has answered nothing well for some batches in a row."""


class CardedReader(SlotReader, Protocol):
    """A lane that knows which model it was attached for: all of them do."""

    @property
    def card(self) -> ModelCard: ...


class AttachedLane(CardedReader, RegionReader, Protocol):
    """One that a carrier has: it has memory too."""


class CandidateSource(Protocol):
    """Where models come from; app/gpu.py has it."""

    async def check(self, reference: str) -> Candidate:
        """Find the model and try it in a process of its own. Raises ModelError: it must not take over."""

    def open(self, candidate: Candidate) -> Engine:
        """Load it here. Any thread; blocks. Raises ModelError."""
