"""What is checked: an engine on a device, and what the checks need to know beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.color import affine
from pipelines.model.reference import synthetic_planes
from pipelines.values import F32, U8, ColorMatrix, ColorRange, ModelCard
from pipelines.worker.engines.device import Device
from pipelines.worker.engines.device_engine import DeviceEngine
from pipelines.worker.engines.device_fake import FakeDevice

PICTURES = 32
"""Different ones that the checks send round and round."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine that may be here. `open(contexts, graphs)` makes it; each with a device of its own."""

    name: str
    open: Callable[[int, bool], DeviceEngine]
    half: bool = False
    """It computes in float16, so its numbers may differ by that much."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and how much."""

    model: Path
    max_batch: int
    seconds: float
    """Of each timed part."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """One engine, open."""

    candidate: Candidate
    engine: DeviceEngine
    device: Device
    settings: Settings
    notes: list[str] = field(default_factory=list)

    @property
    def card(self) -> ModelCard:
        return self.engine.card

    def now_ms(self) -> float:
        """Wall clock; on the fake device its own, which counts and does not pass."""
        if isinstance(self.device, FakeDevice):
            return self.device.now_ms
        return time.perf_counter() * 1e3


Figures = dict[str, Any]


def pictures(card: ModelCard, count: int = PICTURES) -> U8:
    """(count, payload_bytes) uint8, each another."""
    wh = (card.input_w, card.input_h)
    return np.stack([synthetic_planes(wh, seed).reshape(-1) for seed in range(count)])


def colors(card: ModelCard, count: int) -> F32:
    """(count, 3, 4): cameras of two kinds, in turn."""
    kinds = (ColorRange.LIMITED, ColorMatrix.BT709), (ColorRange.FULL, ColorMatrix.BT601)
    return np.stack([affine(card, *kinds[i % 2]) for i in range(count)])


def percentile(values: Sequence[float], p: int) -> float:
    """By rank."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, len(ordered) * p // 100)], 4)
