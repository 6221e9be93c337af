"""Running a model in memory while it is folded and checked: onnxruntime on the CPU, one thread, no surprises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from pipelines.errors import ModelError

Array = npt.NDArray[Any]


class Runner:
    """A session of onnxruntime whose errors are ModelErrors. onnxruntime's message names the node that failed."""

    def __init__(self, model: bytes | str, what: str, optimize: bool = True) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        if not optimize:  # for one run only
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4  # what goes wrong comes back as an exception
        self._what = what
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base of their own
            raise ModelError(f"{what} cannot be loaded: {first_line(error)}") from error

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name; feeds are cast where the model takes float16. Raises ModelError, naming the node."""
        half = {i.name for i in self._session.get_inputs() if i.type == "tensor(float16)"}
        try:
            values = self._session.run(None, {n: v.astype(np.float16) if n in half else v for n, v in feeds.items()})
        except Exception as error:
            raise ModelError(f"{self._what} cannot run: {first_line(error)}") from error
        return {o.name: np.asarray(v) for o, v in zip(self._session.get_outputs(), values, strict=True)}


def first_line(error: object) -> str:
    """An error's text without its pages of context."""
    return str(error).strip().split("\n", 1)[0][:300]
