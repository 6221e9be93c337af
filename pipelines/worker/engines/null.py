"""The engine that finds nothing: to measure everything else, and to test without a model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.errors import EngineError
from pipelines.values import F32, U8, ModelCard
from pipelines.worker.engines.folded import read_card


class NullEngine:
    """Implements contracts.Engine. Answers empty rows after a fixed time; does not look at the payloads."""

    def __init__(self, model: ModelCard | Path | str, max_batch: int = 8, batch_ms: float = 0.0) -> None:
        """Play a model.

        Args:
            model: the card, or the folded file that has it.
            max_batch: largest batch of `infer`.
            batch_ms: how long every batch takes, whatever its size.

        Raises:
            ModelError: the file is not a folded model.
        """
        self._card = model if isinstance(model, ModelCard) else read_card(model)
        self._max_batch, self._batch_s, self._closed = max_batch, batch_ms / 1e3, False

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
        """Payloads are not looked at."""
        return False

    def unpin(self, region: U8) -> None:
        """Nothing was pinned."""

    def infer(self, payloads: Sequence[U8], color: F32) -> F32:
        """See contracts.Engine. All scores are 0."""
        del color
        if self._closed:
            raise EngineError("the engine is closed")
        if not 0 < len(payloads) <= self._max_batch:
            raise EngineError(f"batch of {len(payloads)}: this engine takes 1 to {self._max_batch}")
        if self._batch_s:
            time.sleep(self._batch_s)
        return np.zeros((len(payloads), self._card.top_k, 6), np.float32)

    def close(self) -> None:
        """`infer` raises EngineError from now on."""
        self._closed = True
