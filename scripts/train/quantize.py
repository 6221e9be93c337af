"""Int8 weights and uint8 activations for CPUs, by onnxruntime: what the commands for both models share.

The result is a plain ONNX file (QuantizeLinear and DequantizeLinear around the float operators) with the same input and
output; onnxruntime fuses it into integer kernels when it loads it. Same input and versions: the same file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

Feed = dict[str, np.ndarray]
"""Inputs of the model by name, a batch."""


class _Calibration(CalibrationDataReader):
    """Feeds what the model is asked to onnxruntime's calibration."""

    def __init__(self, feeds: Iterable[Feed]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def quantize(source: Path, feeds: Iterable[Feed], out: Path, **which: Any) -> None:
    """Write the int8 model.

    Weights are of seven bits: on x86 without VNNI the kernels add two products of uint8 and int8 in 16 bits, which
    may overflow with eight.

    Args:
        feeds: What the ranges of the activations are measured on.
        which: What `quantize_static` calls the nodes: `nodes_to_quantize`, or `op_types_to_quantize` and so on.
    """
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.onnx"
        quantize_static(
            source,
            draft,
            _Calibration(feeds),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"CalibMovingAverage": True},
            **which,
        )
        model = onnx.load(draft)
    del model.metadata_props[:]  # the tool's own marks
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, out)
