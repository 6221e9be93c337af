"""The engine for every machine: onnxruntime, on the CPU or whatever provider is named and present.

Needs onnxruntime and numpy only: no `onnx`, no OpenCV. On a CUDA device its tensors are bound there (onnx_bound.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from pipelines.errors import DeviceLost, EngineError, ModelError, OutOfMemory
from pipelines.values import F32, U8, ModelCard
from pipelines.worker.engines.folded import COLOR, CPU, DETECTIONS, PLANES, first_line, open_session
from pipelines.worker.engines.onnx_bound import BoundSession

CUDA = "CUDAExecutionProvider"


class OnnxEngine:
    """Implements contracts.Engine. One thread at a time; `infer` blocks for the time of the batch.

    Memory: one batch buffer of max_batch payloads, allocated once, and what onnxruntime keeps.
    """

    def __init__(
        self, path: Path | str, threads: int = 1, providers: Sequence[str] = (CPU,), max_batch: int = 8
    ) -> None:
        """Load a folded model. Takes from tenths of a second to seconds.

        Args:
            path: folded model file.
            threads: of one batch, on the CPU. They do not spin while they wait.
            providers: onnxruntime's names, best first; those that are not on this machine are passed over.
            max_batch: largest batch of `infer`.

        Raises:
            ModelError: not a folded model, or none of the providers is here; names the file.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # costs more CPU than it saves
        self._session: Any
        self._session, self._card = open_session(path, options, _present(providers))
        self._bound = BoundSession(self._session, self._card, "cuda") if self.provider == CUDA else None
        self._batch = np.empty((max_batch, self._card.input_h * 3 // 2, self._card.input_w), np.uint8)

    @property
    def card(self) -> ModelCard:
        return self._card

    @property
    def max_batch(self) -> int:
        return len(self._batch)

    @property
    def parallel(self) -> int:
        return 1

    def pin(self, region: U8) -> bool:
        """The host gathers a batch, wherever it then goes."""
        return False

    def unpin(self, region: U8) -> None:
        """Nothing was pinned."""

    @property
    def title(self) -> str:
        """What runs where, for people."""
        return f"onnxruntime {onnxruntime.__version__} {self.provider.removesuffix('ExecutionProvider')}"

    @property
    def provider(self) -> str:
        """The provider onnxruntime chose; empty when closed."""
        return str(self._session.get_providers()[0]) if self._session else ""

    def infer(self, payloads: Sequence[U8], color: F32) -> F32:
        """See contracts.Engine. The rows are the caller's own."""
        count = len(payloads)
        if self._session is None:
            raise EngineError("the engine is closed")
        if not 0 < count <= self.max_batch:
            raise EngineError(f"batch of {count}: this engine takes 1 to {self.max_batch}")
        for target, payload in zip(self._batch, payloads, strict=False):
            if payload.nbytes != target.nbytes:
                raise EngineError(f"payload of {payload.nbytes} bytes: {self._card.name} wants {target.nbytes}")
            np.copyto(target, payload.reshape(target.shape))
        planes, color = self._batch[:count], np.ascontiguousarray(color, np.float32)
        try:
            if self._bound is not None:
                return self._bound.run(planes, color)
            rows = self._session.run([DETECTIONS], {PLANES: planes, COLOR: color})[0]
        except Exception as error:  # onnxruntime's exceptions share no base of their own
            raise _kind_of(error)(f"{self._card.name}: {first_line(error)}") from error
        return np.asarray(rows, np.float32)

    def close(self) -> None:
        """Free the model. `infer` raises EngineError from now on."""
        self._session = self._bound = None


_NO_ROOM = (
    "out of memory",
    "failed to allocate",
    "bad_alloc",
    "bad allocation",
    "smaller than requested",
    "alloc_failed",
)
_STICKY = "cuda failure"


def _kind_of(error: Exception) -> type[EngineError]:
    """By onnxruntime's words, as it has no classes for this. After a CUDA error but that of memory nothing on the
    device is valid any more. The words are those of its source (1.2x); on a CUDA device this never ran.
    """
    said = str(error).lower()
    if any(words in said for words in _NO_ROOM):
        return OutOfMemory
    return DeviceLost if _STICKY in said else EngineError


def _present(providers: Sequence[str]) -> list[str]:
    here = onnxruntime.get_available_providers()
    chosen = [p for p in providers if p in here]
    if not chosen:
        raise ModelError(f"none of the providers {', '.join(providers)} is here; there are {', '.join(here)}")
    return chosen
