"""The detector's opinion of a picture: the shipped model, folded, through the product's own planes."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np

from pipelines.color import affine, resolve
from pipelines.model.catalog import resolve as find_model
from pipelines.postprocess.decode import detect
from pipelines.preprocess.letterbox import fit
from pipelines.preprocess.planes import pad_yuv, write_planes
from pipelines.values import U8, ColorMatrix, ColorRange, Frame, Letterbox, ModelCard
from pipelines.worker.engines.onnx import OnnxEngine
from scripts.bench.scenes.picture import split

_LEAST_SCORE = 0.1


class Eye:
    """One engine. One thread; some 5 ms per look."""

    def __init__(self, model: str = "detector") -> None:
        cv2.setNumThreads(1)
        path = find_model(model)
        self._engine = OnnxEngine(path)
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()
        """Of the folded file."""
        card = self._engine.card
        self._payload: U8 = np.empty(card.payload_bytes, np.uint8)
        self._fit: Letterbox | None = None

    @property
    def card(self) -> ModelCard:
        return self._engine.card

    def score(self, frame: Frame) -> float:
        """The best score in the picture, of any class; 0 where there is none."""
        card = self.card
        color_range, matrix = resolve(frame.color_range, frame.color_matrix, frame.wh[1])
        if self._fit is None or (self._fit.source_w, self._fit.source_h) != frame.wh:
            self._fit = fit(frame.wh, (card.input_w, card.input_h), card.anchor)
        write_planes(frame, self._fit, pad_yuv(card, color_range, matrix), self._payload)
        rows = self._engine.infer([self._payload], affine(card, color_range, matrix)[None])[0]
        found = detect(rows, self._fit, card, _LEAST_SCORE)
        return float(found.scores[0]) if len(found) else 0.0


def as_frame(picture: U8, number: int) -> Frame:
    """A scene's own picture, before any encoder, as the product's steps take it. I420."""
    y, u, v = split(picture)
    return Frame(number, None, 0, False, y, u, v, ColorRange.LIMITED, ColorMatrix.BT709)
