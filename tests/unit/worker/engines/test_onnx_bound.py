"""Tensors bound once per batch size give the same rows. On the CPU here; with CUDA only the place differs."""

from __future__ import annotations

import numpy as np
import onnxruntime

from pipelines.color import affine
from pipelines.model.known import SHIPPED_FOLDER
from pipelines.values import ColorMatrix, ColorRange
from pipelines.worker.engines.folded import COLOR, CPU, DETECTIONS, PLANES, open_session
from pipelines.worker.engines.onnx import OnnxEngine
from pipelines.worker.engines.onnx_bound import BoundSession

MODEL = SHIPPED_FOLDER / "detector.folded.onnx"


def test_bound_tensors_are_written_anew_for_each_batch() -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session, card = open_session(MODEL, options, [CPU])
    bound = BoundSession(session, card, "cpu")
    rng = np.random.default_rng(0)
    kept = []
    for count in (1, 2, 1):
        planes = rng.integers(0, 256, (count, card.input_h * 3 // 2, card.input_w), np.uint8)
        color = np.stack([affine(card, ColorRange.FULL, ColorMatrix.BT601)] * count)
        rows = bound.run(planes, color)
        np.testing.assert_array_equal(rows, session.run([DETECTIONS], {PLANES: planes, COLOR: color})[0])
        kept.append((rows, rows.copy()))
    for rows, before in kept:  # the caller's own: a later batch does not change them
        np.testing.assert_array_equal(rows, before)


def test_an_engine_says_what_it_runs_on() -> None:
    engine = OnnxEngine(MODEL, max_batch=1)
    assert engine.title == f"onnxruntime {onnxruntime.__version__} CPU"
    engine.close()
