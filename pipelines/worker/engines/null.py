"""The engine that finds nothing: to measure everything else, and to test without a model."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from pipelines.errors import EngineError
from pipelines.values import F32, U8, ModelCard


class NullEngine:
    """Implements contracts.Engine. Answers empty rows after a fixed time; does not look at the payloads."""

    def __init__(self, card: ModelCard, batch_ms: float = 0.0, max_batch: int = 8) -> None:
        """batch_ms: how long every batch takes, whatever its size."""
        self._card, self._batch_s, self._max_batch = card, batch_ms / 1e3, max_batch
        self._closed = False

    @property
    def card(self) -> ModelCard:
        return self._card

    @property
    def max_batch(self) -> int:
        return self._max_batch

    def warm(self) -> None:
        """Nothing to warm."""

    def infer(self, payloads: Sequence[U8], color: F32) -> F32:
        """See contracts.Engine. All scores are 0."""
        del color
        if self._closed or not 0 < len(payloads) <= self._max_batch:
            raise EngineError("the engine is closed" if self._closed else f"batch of {len(payloads)}")
        if self._batch_s:
            time.sleep(self._batch_s)
        return np.zeros((len(payloads), self._card.top_k, 6), np.float32)

    def close(self) -> None:
        self._closed = True
