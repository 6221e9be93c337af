"""What everybody else does with a clip: RGB frames, cv2 letterbox, float tensor, all candidates, NMS. And our way.

Reads with PyAV. Both ways give boxes in source pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from pipelines import color
from pipelines.contracts import Engine
from pipelines.model.change import Change
from pipelines.model.options import FoldOptions
from pipelines.model.original import open_original
from pipelines.model.recognise import Head, recognise
from pipelines.model.reference import candidates
from pipelines.model.reshape import reshape
from pipelines.model.runtime import Runner
from pipelines.postprocess.nms import suppress
from pipelines.postprocess.restore import to_source
from pipelines.preprocess.letterbox import fit
from pipelines.preprocess.planes import pad_yuv, write_planes
from pipelines.source.planes import color_tags, planes
from pipelines.values import F32, U8, ColorMatrix, ColorRange, Frame, Letterbox, ModelCard


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One frame both ways: planes for us, RGB as FFmpeg makes it (h, w, 3) for them."""

    frame: Frame
    rgb: U8


def pictures(clip: Path, step: int) -> Iterator[Picture]:
    """Every step-th frame of a clip."""
    with av.open(str(clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % step == 0:
                y, u, v, _ = planes(frame)
                color_range, matrix = color.resolve(*color_tags(frame), frame.height)
                ours = Frame(number, None, 0, bool(frame.key_frame), y, u, v, color_range, matrix)
                yield Picture(ours, frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False))


@dataclass(frozen=True, slots=True, eq=False)
class Unfolded:
    """The detector as its authors run it, at any size: one picture at a time, float tensor in."""

    runner: Runner
    picture: str
    head: Head
    wh: tuple[int, int]

    def rows(self, tensor: F32) -> F32:
        """All candidates (n, 6) of a tensor (3, h, w)."""
        return candidates(self.runner.run({self.picture: tensor[None]}), self.head, self.wh)


def unfolded(path: Path, wh: tuple[int, int]) -> Unfolded:
    """Its own file where the size is its own; else the graph with that size."""
    original = open_original(path, FoldOptions(width_px=wh[0], height_px=wh[1]))
    own = Runner(str(path), "original")
    head = recognise(_shapes(own, original.picture, original.own_wh), original.own_wh)
    if wh == original.own_wh:
        return Unfolded(own, original.picture, head, wh)
    body = reshape(original.model, original.picture, Change(original.own_wh, wh, head.grid))
    runner = Runner(body.SerializeToString(), "resized")
    return Unfolded(runner, original.picture, recognise(_shapes(runner, original.picture, wh), wh, head.name), wh)


def _shapes(runner: Runner, picture: str, wh: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    outputs = runner.run({picture: np.zeros((1, 3, wh[1], wh[0]), np.float32)})
    return {name: value.shape for name, value in outputs.items()}


def usual_boxes(model: Unfolded, card: ModelCard, rgb: U8, threshold: float) -> F32:
    """(n, 6) source px: letterbox of the RGB frame with cv2, NMS over all candidates."""
    h, w = rgb.shape[:2]
    scale = min(model.wh[0] / w, model.wh[1] / h)
    content_w, content_h = round(w * scale), round(h * scale)
    centered = card.anchor == "center"
    x, y = ((model.wh[0] - content_w) // 2, (model.wh[1] - content_h) // 2) if centered else (0, 0)
    boxed = np.full((model.wh[1], model.wh[0], 3), card.pad_rgb, np.uint8)
    boxed[y : y + content_h, x : x + content_w] = cv2.resize(rgb, (content_w, content_h))
    if card.channel_order == "bgr":
        boxed = boxed[:, :, ::-1]
    rows = model.rows(np.ascontiguousarray(boxed.transpose(2, 0, 1), np.float32) * np.float32(card.scale))
    return _final(rows, threshold, card, Letterbox(w, h, *model.wh, x, y, content_w, content_h))


def our_planes(card: ModelCard, frame: Frame) -> tuple[U8, Letterbox]:
    """The payload of a frame, and how it sits there."""
    geometry = fit(frame.wh, (card.input_w, card.input_h), card.anchor)
    payload = np.empty(card.payload_bytes, np.uint8)
    write_planes(frame, geometry, pad_yuv(card, frame.color_range, frame.color_matrix), payload)
    return payload, geometry


def our_boxes(engine: Engine, frame: Frame, threshold: float) -> F32:
    """(n, 6) source px through planes and the folded model."""
    payload, geometry = our_planes(engine.card, frame)
    matrix = affine_of(engine.card, frame.color_range, frame.color_matrix)
    return _final(engine.infer([payload], matrix[None])[0], threshold, engine.card, geometry)


def affine_of(card: ModelCard, color_range: ColorRange, matrix: ColorMatrix) -> F32:
    return color.affine(card, color_range, matrix)


def _final(rows: F32, threshold: float, card: ModelCard, geometry: Letterbox) -> F32:
    kept = suppress(rows[rows[:, 4] >= threshold], card.nms_iou)
    return np.column_stack([to_source(kept[:, :4], geometry), kept[:, 4:]]).astype(np.float32)


def matched(reference: F32, ours: F32, least_iou: float = 0.5) -> int:
    """How many rows of the reference have a row of ours of the same class that overlaps enough."""
    if not len(reference) or not len(ours):
        return 0
    low = np.maximum(reference[:, None, :2], ours[None, :, :2])
    high = np.minimum(reference[:, None, 2:4], ours[None, :, 2:4])
    both = np.clip(high - low, 0, None).prod(2)
    size_a, size_b = ((r[:, 2:4] - r[:, :2]).prod(1) for r in (reference, ours))
    iou = both / np.maximum(size_a[:, None] + size_b[None] - both, 1e-9)
    same = reference[:, None, 5] == ours[None, :, 5]
    return int(((iou >= least_iou) & same).any(1).sum())
