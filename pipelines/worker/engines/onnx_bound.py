"""An onnxruntime session whose tensors stay on its device: IO binding, for the CUDA provider.

Each batch size has its own device tensors, made at its first run and written in place: nothing is allocated after that,
and onnxruntime copies nothing behind our back. Works on the CPU too, where it saves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime

from pipelines.values import F32, U8, ModelCard
from pipelines.worker.engines.folded import COLOR, DETECTIONS, PLANES


@dataclass(frozen=True, slots=True)
class _Bound:
    binding: Any
    planes: Any
    color: Any
    rows: Any


class BoundSession:
    """One thread at a time. Memory: one set of tensors for each batch size that was run."""

    def __init__(self, session: Any, card: ModelCard, device: str) -> None:
        """`device`: onnxruntime's word, "cuda" or "cpu"."""
        self._session, self._card, self._device = session, card, device
        self._bound: dict[int, _Bound] = {}

    def run(self, planes: U8, color: F32) -> F32:
        """One batch. planes: (b, h * 3 / 2, w); color: (b, 3, 4). Returns (b, top_k, 6), the caller's own.

        Raises whatever onnxruntime raises.
        """
        bound = self._bound.get(len(planes)) or self._bind(planes, color)
        bound.planes.update_inplace(planes)
        bound.color.update_inplace(color)
        self._session.run_with_iobinding(bound.binding)
        return np.array(bound.rows.numpy(), np.float32)

    def _bind(self, planes: U8, color: F32) -> _Bound:
        make = onnxruntime.OrtValue
        rows_shape = (len(planes), self._card.top_k, 6)
        bound = _Bound(
            self._session.io_binding(),
            make.ortvalue_from_numpy(planes, self._device, 0),
            make.ortvalue_from_numpy(color, self._device, 0),
            make.ortvalue_from_shape_and_type(rows_shape, np.float32, self._device, 0),
        )
        bound.binding.bind_ortvalue_input(PLANES, bound.planes)
        bound.binding.bind_ortvalue_input(COLOR, bound.color)
        bound.binding.bind_ortvalue_output(DETECTIONS, bound.rows)
        self._bound[len(planes)] = bound
        return bound
