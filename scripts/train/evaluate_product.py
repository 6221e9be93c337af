"""The detector as the product runs it: the decoder's planes, I420 letterbox, folded model, the product's own NMS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from evaluate_detector import LEAST
from footage import Footage
from pipelines.color import affine, resolve
from pipelines.model import catalog
from pipelines.model.known import SHIPPED
from pipelines.postprocess.decode import detect
from pipelines.preprocess.letterbox import fit
from pipelines.preprocess.planes import pad_yuv, write_planes
from pipelines.source.planes import color_tags, planes
from pipelines.values import Frame
from pipelines.worker.engines.onnx import OnnxEngine


class ProductDetector:
    """`product(frame)` -> boxes (n, 6) in source pixels. Folds the model on first use, into the user's cache."""

    def __init__(self, path: Path) -> None:
        self._engine = OnnxEngine(catalog.resolve(path, options=SHIPPED["detector"]), max_batch=1)

    def __call__(self, picture: av.VideoFrame) -> np.ndarray:
        y, u, v, _ = planes(picture)
        color_range, matrix = color_tags(picture)
        frame = Frame(0, None, 0, True, y, u, v, color_range, matrix)
        card, space = self._engine.card, resolve(color_range, matrix, frame.wh[1])
        place = fit(frame.wh, (card.input_w, card.input_h), card.anchor)
        payload = np.empty(card.payload_bytes, np.uint8)
        write_planes(frame, place, pad_yuv(card, *space), payload)
        rows = self._engine.infer([payload], affine(card, *space)[None])[0]
        found = detect(rows, place, card, LEAST)
        return np.concatenate([found.xyxy, found.scores[:, None], found.classes[:, None]], 1)

    def over(self, clip: Footage) -> Iterator[np.ndarray]:
        """Boxes of the evaluated frames, in pixels of `clip.rgb`."""
        for rgb, picture in zip(clip.rgb[clip.held_out :], clip.pictures(), strict=True):
            yield self(picture) * [*[rgb.shape[1] / picture.width] * 4, 1, 1]
