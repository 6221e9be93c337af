"""The worker's part of a split detector: tensors in, tensors out, by onnxruntime on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from pipelines.errors import EngineError, ModelError
from pipelines.values import F32, U8, ModelCard
from pipelines.worker.engines.folded import first_line

Array = npt.NDArray[Any]


class PartEngine:
    """Implements contracts.Engine. Payloads are what crosses to this part, rows what crosses back.

    A part's shapes are numbers, its batch among them: tasks are run one by one.
    """

    def __init__(
        self,
        file: Path,
        card: ModelCard,
        views: Callable[[U8], Mapping[str, Array]],
        to_rows: Callable[[Mapping[str, Array]], F32],
        threads: int,
        providers: Sequence[str],
    ) -> None:
        """Load the part. Takes from tenths of a second to seconds.

        Args:
            file: main.onnx.
            card: Its `tensor_bytes` and `top_k` are what crosses.
            views: The tensors in a payload, by name.
            to_rows: Tensors by name as an answer's rows.

        Raises:
            ModelError: it cannot be loaded.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # what goes wrong comes back as an exception
        try:
            self._session: Any = onnxruntime.InferenceSession(str(file), options, providers=list(providers))
        except Exception as error:  # onnxruntime's exceptions share no base of their own
            raise ModelError(f"{file}: cannot be loaded: {first_line(error)}") from error
        self._card, self._views, self._to_rows = card, views, to_rows
        self._outputs = [output.name for output in self._session.get_outputs()]

    @property
    def card(self) -> ModelCard:
        return self._card

    @property
    def max_batch(self) -> int:
        return 1

    @property
    def parallel(self) -> int:
        return 1

    @property
    def title(self) -> str:
        """What runs where, for people."""
        where = self._session.get_providers()[0] if self._session else ""
        return f"onnxruntime {onnxruntime.__version__} {where.removesuffix('ExecutionProvider')}, part of a split model"

    def pin(self, region: U8) -> bool:
        """Payloads are read where they lie, by onnxruntime."""
        return False

    def unpin(self, region: U8) -> None: ...

    def infer(self, payloads: Sequence[U8], color: F32) -> F32:
        """See contracts.Engine; `color` was used up by the part before."""
        del color
        if self._session is None:
            raise EngineError("the engine is closed")
        return np.stack([self._one(payload) for payload in payloads])

    def _one(self, payload: U8) -> F32:
        if payload.nbytes != self._card.tensor_bytes:
            raise EngineError(f"payload of {payload.nbytes} bytes: {self._card.name} wants {self._card.tensor_bytes}")
        try:
            values = self._session.run(self._outputs, dict(self._views(payload)))
        except Exception as error:
            raise EngineError(f"{self._card.name}: {first_line(error)}") from error
        return self._to_rows(dict(zip(self._outputs, values, strict=True)))

    def close(self) -> None:
        """Free the model. `infer` raises EngineError from now on."""
        self._session = None
