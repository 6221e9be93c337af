"""Is anything there that is not part of the background? One small ONNX model, shared by all cameras of a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from pydantic import BaseModel, Field

from pipelines.errors import ModelError
from pipelines.values import U8

_SHAPE = (2, 96, 160)
"""Of one sample: luma thumbnail, background thumbnail."""
_LONGEST_STEP_S = 5.0
"""No single frame counts for more than this: after a long gap one frame must not become the background."""


class PresenceOptions(BaseModel, frozen=True, extra="forbid"):
    """How the presence model is asked."""

    enabled: bool = Field(True, description="false: no frame is asked about.")
    threshold: float = Field(0.4, ge=0, le=1, description="Frames at or above this probability go on.")
    background_s: float = Field(30.0, gt=0, description="Time constant of the background's running mean, s.")
    warmup_s: float = Field(
        30.0, ge=0, description="After a start or a scene change every frame goes on for this long, s."
    )


class PresenceModel:
    """One session for all cameras. `probability` may be called from many threads at once."""

    def __init__(self, path: Path) -> None:
        """Load and check the model.

        Raises:
            ModelError: the file cannot be loaded, or is not a presence model.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors share no base class
            raise ModelError(f"{path}: onnxruntime cannot load it: {error}") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if not _fits(inputs, "tensor(uint8)", _SHAPE) or not _fits(outputs, "tensor(float)", (1,)):
            raise ModelError(
                f"{path}: a presence model has one input uint8 (n, 2, 96, 160) and one output float32 (n, 1); "
                f"this one has inputs {_describe(inputs)} and outputs {_describe(outputs)}"
            )
        self._input, self._output = inputs[0].name, outputs[0].name

    def probability(self, thumbs: U8) -> float:
        """thumbs: (1, 2, 96, 160) uint8, contiguous. Returns 0..1. Blocks 0.2 to 0.4 ms, without the GIL."""
        (prob,) = self._session.run([self._output], {self._input: thumbs})
        return float(prob[0, 0])


def _fits(values: list[Any], kind: str, shape: tuple[int, ...]) -> bool:
    """One tensor (n, *shape); n is dynamic or 1. Other symbolic sizes are taken on trust: the file does not say."""
    if len(values) != 1 or values[0].type != kind or len(values[0].shape) != len(shape) + 1:
        return False
    pairs = zip(values[0].shape, (1, *shape), strict=True)
    return all(got == want or not isinstance(got, int) for got, want in pairs)


def _describe(values: list[Any]) -> str:
    return ", ".join(f"{v.name} {v.type} {v.shape}" for v in values) or "none"


class PresenceGate:
    """One camera's background, and the question to the shared model. Pump thread. Implements contracts.Presence.

    Background: running mean, `bg += (thumbnail - bg) * dt / background_s`, as in the model's card. Every analysed frame
    must come here, to `probability` or to `observe`: a background made of moving frames only would absorb people.
    """

    def __init__(self, model: PresenceModel, options: PresenceOptions) -> None:
        self._model = model
        self._options = options
        self._thumbs = np.zeros((1, *_SHAPE), np.uint8)
        self._background = np.zeros(_SHAPE[1:], np.float32)
        self._started_ns: int | None = None
        self._last_ns = 0

    def probability(self, thumbnail: U8, time_ns: int) -> float:
        """Ask, then feed the background. thumbnail: (96, 160) uint8. Returns 0..1."""
        if self._started_ns is None:
            self.observe(thumbnail, time_ns)
        self._thumbs[0, 0] = thumbnail
        cv2.convertScaleAbs(self._background, dst=self._thumbs[0, 1])
        answer = self._model.probability(self._thumbs)
        self.observe(thumbnail, time_ns)
        return answer

    def observe(self, thumbnail: U8, time_ns: int) -> None:
        """Feed the background only. About 10 us."""
        if self._started_ns is None:
            self._started_ns = time_ns
            self._background[:] = thumbnail
        else:
            passed_s = min(max((time_ns - self._last_ns) / 1e9, 0.0), _LONGEST_STEP_S)
            weight = min(1.0, passed_s / self._options.background_s)
            cv2.accumulateWeighted(thumbnail, self._background, weight)
        self._last_ns = time_ns

    def ready(self, time_ns: int) -> bool:
        """False while the background is still being learned: let every frame pass."""
        return self._started_ns is not None and time_ns - self._started_ns >= self._options.warmup_s * 1e9

    def reset(self) -> None:
        """Scene change or new connection: learn the background anew."""
        self._started_ns = None
