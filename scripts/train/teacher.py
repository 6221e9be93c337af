"""Pseudo labels: YOLOX-nano on the whole frame and on four overlapping tiles, each averaged with its mirror image.

Boxes are rows (x1, y1, x2, y2, score, class) in pixels; class 0 person, 1 vehicle (bicycle, car, motorcycle, bus,
truck).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

from box import iou, nms

SIZE = 416
STRIDES = (8, 16, 32)
PAD = 114
COCO = {0: 0, 1: 1, 2: 1, 3: 1, 5: 1, 7: 1}
"""COCO class -> ours."""
LOWEST = 0.1
"""Boxes below it are not kept; 0.1 to 0.4 means: do not care."""
TRUTH = 0.4
"""Boxes from here on are taken for truth."""


def session(path: Path) -> ort.InferenceSession:
    """One thread, quiet, CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Teacher:
    """`teacher(rgb)` -> boxes (n, 6). Costs ten runs of the model: about 80 ms."""

    def __init__(self, path: Path) -> None:
        """path: Megvii's yolox_nano.onnx at 416x416, unfolded."""
        self._session = session(path)
        cells = [SIZE // k for k in STRIDES]
        self._grid = np.concatenate(
            [np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1).reshape(-1, 2) for n in cells]
        )
        self._stride = np.concatenate([np.full(n * n, k) for n, k in zip(cells, STRIDES, strict=True)])[:, None]

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """(h, w, 3) uint8 RGB -> boxes (n, 6) of score >= LOWEST."""
        height, width = rgb.shape[:2]
        found = [self._view(rgb)]
        tile_h, tile_w = int(height * 0.6), int(width * 0.6)
        for y in (0, height - tile_h):
            for x in (0, width - tile_w):
                boxes = self._view(rgb[y : y + tile_h, x : x + tile_w])
                if len(boxes):
                    boxes = boxes[~_cut(boxes, x, y, tile_w, tile_h)]
                    boxes[:, :4] += [x, y, x, y]
                    found.append(boxes)
        boxes = np.concatenate(found)
        return nms(boxes[boxes[:, 4] >= LOWEST])

    def _view(self, rgb: np.ndarray) -> np.ndarray:
        """One picture and its mirror image; boxes that only one of them has count half."""
        one, other = (self._pass(rgb, mirrored) for mirrored in (False, True))
        if not len(one) or not len(other):
            alone = np.concatenate([one, other])
            alone[:, 4] *= 0.5
            return alone
        overlap = iou(one, other) * (one[:, None, 5] == other[None, :, 5])
        partner, hit = overlap.argmax(1), overlap.max(1) > 0.5
        merged = []
        for i in range(len(one)):
            row = (one[i] + other[partner[i]]) / 2 if hit[i] else one[i] * [1, 1, 1, 1, 0.5, 1]
            row[5] = one[i, 5]
            merged.append(row)
        merged += [other[i] * [1, 1, 1, 1, 0.5, 1] for i in set(range(len(other))) - set(partner[hit])]
        return np.array(merged).reshape(-1, 6)

    def _pass(self, rgb: np.ndarray, mirrored: bool) -> np.ndarray:
        height, width = rgb.shape[:2]
        scale = min(SIZE / height, SIZE / width)
        w, h = int(width * scale), int(height * scale)
        small = cv2.resize(rgb, (w, h))
        padded = np.full((SIZE, SIZE, 3), PAD, np.uint8)
        padded[:h, :w] = small[:, ::-1] if mirrored else small
        boxes, scores = self._run(padded)
        some = scores.max(1) > 0.06
        boxes, scores = boxes[some], scores[some]
        if mirrored:
            boxes[:, [0, 2]] = w - boxes[:, [2, 0]]
        ours = scores[:, list(COCO)]
        best = ours.max(1)
        kind = np.array(list(COCO.values()))[ours.argmax(1)]
        rows = np.concatenate([boxes / scale, best[:, None], kind[:, None]], 1)
        rows = rows[best >= scores.max(1) * 0.6]  # some other class may be a little better, not much
        rows[:, :4] = np.clip(rows[:, :4], 0, [width, height, width, height])
        return nms(rows)

    def _run(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(416, 416, 3) RGB -> boxes xyxy (cells, 4), class scores (cells, 80). The model wants BGR."""
        planes = np.ascontiguousarray(rgb[:, :, ::-1].transpose(2, 0, 1)[None], np.float32)
        out = self._session.run(None, {"images": planes})[0][0]
        centre = (out[:, :2] + self._grid) * self._stride
        size = np.exp(out[:, 2:4]) * self._stride
        return np.concatenate([centre - size / 2, centre + size / 2], 1), out[:, 4:5] * out[:, 5:]


def _cut(boxes: np.ndarray, x: int, y: int, tile_w: int, tile_h: int) -> np.ndarray:
    """Which boxes of a tile touch a border that is not the picture's: the object goes on there."""
    left, top = (x > 0) & (boxes[:, 0] < 3), (y > 0) & (boxes[:, 1] < 3)
    right, bottom = (x == 0) & (boxes[:, 2] > tile_w - 3), (y == 0) & (boxes[:, 3] > tile_h - 3)
    return left | top | right | bottom


def given_boxes(path: Path) -> dict[int, np.ndarray]:
    """Boxes that came with `opendatacam` (its authors' darknet YOLO, MIT): frame number -> (n, 6), score > 0.4."""
    rows: dict[int, list[list[float]]] = {}
    for line in path.read_text().splitlines():
        cells = line.split(",")
        x, y, w, h, score = map(float, cells[2:7])
        person = "person" in cells[7]
        rows.setdefault(int(cells[0]) - 1, []).append([x, y, x + w, y + h, score, 0 if person else 1])
    found = {number: np.array(boxes) for number, boxes in rows.items()}
    return {number: boxes[boxes[:, 4] > 0.4] for number, boxes in found.items()}


def merge_given(boxes: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The teacher's boxes, and those given ones that no box of the teacher covers."""
    if not len(given):
        return boxes
    first = boxes.copy()
    first[:, 4] += 1  # so that the teacher's win
    merged = nms(np.concatenate([first, given]), 0.45)
    merged[:, 4] -= merged[:, 4] > 1
    return merged
