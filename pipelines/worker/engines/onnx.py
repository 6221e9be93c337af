"""The engine for every machine: onnxruntime, on the CPU or whatever provider is named and present.

Needs onnxruntime and numpy only: no `onnx`, no OpenCV. A folded model's names and shapes are fixed, see FOLDED below.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from pipelines.card import METADATA_KEY, from_json
from pipelines.errors import EngineError, ModelError
from pipelines.values import F32, U8, ModelCard

CPU = "CPUExecutionProvider"
FOLDED = {"planes": "tensor(uint8)", "color": "tensor(float)"}
"""Inputs of a folded model: planes (b, h * 3 / 2, w), color (b, 3, 4). Output: detections (b, top_k, 6)."""
OUTPUT = "detections"


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
        self._session: Any = _session(path, threads, _present(providers))
        self._card = _card(path, self._session)
        rows, columns = self._card.input_h * 3 // 2, self._card.input_w
        self._batch = np.empty((max_batch, rows, columns), np.uint8)

    @property
    def card(self) -> ModelCard:
        return self._card

    @property
    def max_batch(self) -> int:
        return len(self._batch)

    @property
    def provider(self) -> str:
        """The provider onnxruntime chose; empty when closed."""
        return str(self._session.get_providers()[0]) if self._session else ""

    def warm(self) -> None:
        """Run the smallest and the largest batch once, so that the first real one does not pay for set-up."""
        for count in {1, self.max_batch}:
            empty = np.zeros(self._card.payload_bytes, np.uint8)
            self.infer([empty] * count, np.zeros((count, 3, 4), np.float32))

    def infer(self, payloads: Sequence[U8], color: F32) -> F32:
        """See contracts.Engine. The rows are the caller's own."""
        count = len(payloads)
        if self._session is None:
            raise EngineError("the engine is closed")
        if not 0 < count <= self.max_batch:
            raise EngineError(f"batch of {count}: this engine takes 1 to {self.max_batch}")
        for target, payload in zip(self._batch, payloads, strict=False):
            if payload.nbytes != self._card.payload_bytes:
                raise EngineError(f"payload of {payload.nbytes} bytes: {self._card.name} wants {target.nbytes}")
            np.copyto(target, payload.reshape(target.shape))
        try:
            feeds = {"planes": self._batch[:count], "color": np.ascontiguousarray(color, np.float32)}
            rows = self._session.run([OUTPUT], feeds)[0]
        except Exception as error:  # onnxruntime's exceptions share no base of their own
            raise EngineError(f"{self._card.name}: {_first_line(error)}") from error
        return np.asarray(rows, np.float32)

    def close(self) -> None:
        """Free the model. `infer` raises EngineError from now on."""
        self._session = None


def _present(providers: Sequence[str]) -> list[str]:
    here = onnxruntime.get_available_providers()
    chosen = [p for p in providers if p in here]
    if not chosen:
        raise ModelError(f"none of the providers {', '.join(providers)} is here; there are {', '.join(here)}")
    return chosen


def _session(path: Path | str, threads: int, providers: list[str]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning costs more CPU than it saves
    options.log_severity_level = 4  # what goes wrong comes back as an exception
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # see infer
        raise ModelError(f"{path}: cannot be loaded: {_first_line(error)}") from error


def _card(path: Path | str, session: Any) -> ModelCard:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ModelError(f"{path}: not a folded model (no {METADATA_KEY}): fold it with `framegate models fold`")
    card = from_json(text)
    found = {i.name: (i.type, i.shape[1:]) for i in session.get_inputs()}
    wanted = {"planes": [card.input_h * 3 // 2, card.input_w], "color": [3, 4]}
    if found != {name: (FOLDED[name], shape) for name, shape in wanted.items()}:
        raise ModelError(f"{path}: its inputs {found} do not fit its card ({card.input_w}x{card.input_h})")
    if [o.name for o in session.get_outputs()] != [OUTPUT]:
        raise ModelError(f"{path}: its output is not `{OUTPUT}`")
    return card


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:300]
