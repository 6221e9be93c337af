"""Small stand-ins around a lane: a card, an engine that answers what it was told, events that are kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelines.contracts import SlotWriter
from pipelines.errors import EngineError
from pipelines.values import (
    F32,
    U8,
    Answer,
    ColorMatrix,
    ColorRange,
    Letterbox,
    ModelCard,
    Priority,
    SlotHeader,
)

CARD = ModelCard("toy", "yolov8", 32, 16, ("person", "vehicle"), top_k=4, score_threshold=0.5)


def header(task: int, camera: str = "cam", deadline_ns: int = 1 << 62, card: ModelCard = CARD) -> SlotHeader:
    fit = Letterbox(64, 32, card.input_w, card.input_h, 0, 0, card.input_w, card.input_h)
    return SlotHeader(
        task=task,
        camera=camera,
        model=card.name,
        arrival_ns=1,
        deadline_ns=deadline_ns,
        priority=Priority.NORMAL,
        fit=fit,
        color_range=ColorRange.LIMITED,
        color_matrix=ColorMatrix.BT601,
        payload_bytes=card.payload_bytes,
        shape=(card.input_h * 3 // 2, card.input_w),
    )


def one_box(score: float = 0.9, label: int = 0, card: ModelCard = CARD) -> F32:
    """(top_k, 6) rows with one box over the middle of the input."""
    rows = np.zeros((card.top_k, 6), np.float32)
    rows[0] = (card.input_w / 4, card.input_h / 4, card.input_w * 3 / 4, card.input_h * 3 / 4, score, label)
    return rows


@dataclass(slots=True)
class KeptEvents:
    """contracts.LaneEvents that remembers."""

    writers: list[SlotWriter] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    losses: list[tuple[tuple[int, ...], str]] = field(default_factory=list)

    def attached(self, writer: SlotWriter) -> None:
        self.writers.append(writer)

    def answered(self, answer: Answer) -> None:
        self.answers.append(answer)

    def lost(self, tasks: Sequence[int], reason: str) -> None:
        self.losses.append((tuple(tasks), reason))


class ToyEngine:
    """Answers one box per task, or does what `act` does. Counts its batches."""

    def __init__(self, card: ModelCard = CARD, max_batch: int = 4) -> None:
        self._card = card
        self._max_batch = max_batch
        self.batches: list[int] = []
        self.pinned: list[U8] = []
        self.act: Callable[[int], None] = lambda size: None
        self.gate = threading.Event()
        self.gate.set()

    @property
    def card(self) -> ModelCard:
        return self._card

    @property
    def max_batch(self) -> int:
        return self._max_batch

    @property
    def parallel(self) -> int:
        return 1

    def pin(self, region: U8) -> bool:
        self.pinned.append(region)
        return True

    def unpin(self, region: U8) -> None:
        self.pinned = [other for other in self.pinned if other is not region]

    def infer(self, payloads: Sequence[U8], color: F32) -> F32:
        if color.shape != (len(payloads), 3, 4):
            raise EngineError(f"color has shape {color.shape}")
        self.gate.wait(10)
        self.act(len(payloads))
        self.batches.append(len(payloads))
        return np.stack([one_box(card=self._card)] * len(payloads))

    def close(self) -> None:
        self.gate.set()
