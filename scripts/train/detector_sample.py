"""Endless training samples for the detector: real frames and empty places, with cut-outs pasted into both.

A sample is a picture uint8 (3, 256, 416), the target boxes (4, cells) xyxy, and the target classes (2, cells):
1, 0, -1 ignore.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from augment import Rng, crop_boxes, luma, random_window, sensor, soft_blob, tone
from background import MEDIAN_CUT, median_background
from cache import CachedClip, read_clips, read_sprites, read_textures, sprites_by_clip
from detector_box import CELLS, HEIGHT, PAD, STRIDES, WIDTH
from presence_sample import UNLABELLED
from scene import patch
from sprite import Sprite, paste, pose
from teacher import TRUTH

WEAK = 0.15
"""Teacher's boxes from here to TRUTH are ignored, unless they fill the frame; weaker ones are taken for nothing."""


class Stream(torch.utils.data.IterableDataset):
    """Endless samples. Opens the cache where it is iterated: in the loader's process."""

    def __init__(self, cache: Path, seed: int, exclude: Collection[str] = ()) -> None:
        self._cache, self._seed, self._exclude = cache, seed, exclude

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        worker = torch.utils.data.get_worker_info()
        index = worker.id if worker else 0
        self.setup()
        rng = np.random.default_rng([self._seed, index])
        cv2.setRNGSeed(self._seed + index)
        while True:
            yield self.sample(rng)

    def setup(self) -> None:
        """Read the training part of the cache; held-out frames are never touched."""
        self._clips = read_clips(self._cache, ("train",), self._exclude)
        sprites = read_sprites(self._cache, self._exclude)
        self._sprites = [sprites_by_clip(sprites, kind) for kind in (0, 1)]
        self._busy: dict[str, list[int]] = {}
        self._empties: list[tuple[np.ndarray, list[int]]] = []
        for clip in self._clips.values():
            self._sort_frames(clip)
        for name in MEDIAN_CUT:
            if name in self._clips:
                clip = self._clips[name]
                self._empties.append((median_background(clip, clip.frames[: clip.held_out]), [0]))
        textures = read_textures(self._cache)[:3]
        self._empties += [(np.ascontiguousarray(texture)[None], [0]) for texture in textures]
        self._names = sorted(self._busy)
        lengths = np.array([len(self._busy[name]) ** 0.5 for name in self._names])
        self._name_p = lengths / lengths.sum()

    def _sort_frames(self, clip: CachedClip) -> None:
        """Which training frames have something to learn, and which are known to be empty."""
        busy = [t for t in range(clip.held_out) if (clip.boxes[t][:, 4] >= TRUTH).any()]
        largest = 0.15 * clip.frames.shape[1] * clip.frames.shape[2]
        clip.boxes = [_believable(boxes, largest) for boxes in clip.boxes]
        if len(busy) > 4 and clip.name not in UNLABELLED:
            self._busy[clip.name] = busy
        empty = [t for t in range(clip.held_out) if clip.present[t] == 0]
        if clip.labels != "teacher" and empty:
            self._empties.append((clip.frames, empty))

    def sample(self, rng: Rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        kind = rng.random()
        if kind < 0.12:
            picture, boxes = self._mosaic(rng)
        else:
            picture, boxes = self._base(rng, (WIDTH, HEIGHT), kind < 0.6)
        things = rng.integers(0, 3) if kind < 0.6 else rng.integers(0, 6)
        if rng.random() < 0.4:
            soft_blob(rng, picture)
        if rng.random() < 0.15:
            patch(rng, picture, self._base(rng, (WIDTH, HEIGHT), False)[0], 0.02, 0.3)
        for _ in range(things if rng.random() < 0.85 else 0):
            boxes = self._add(rng, picture, boxes)
        if rng.random() < 0.35:
            picture, boxes = _barred(rng, picture, boxes)
        else:
            picture = _coloured(rng, picture)
        return np.ascontiguousarray(picture.transpose(2, 0, 1)), *targets(boxes)

    def _mosaic(self, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        """Four half-size pictures."""
        picture, found = np.empty((HEIGHT, WIDTH, 3), np.uint8), []
        half_w, half_h = WIDTH // 2, HEIGHT // 2
        for y in (0, half_h):
            for x in (0, half_w):
                part, boxes = self._base(rng, (half_w, half_h), rng.random() < 0.8)
                picture[y : y + half_h, x : x + half_w] = part
                boxes[:, :4] += [x, y, x, y]
                found.append(boxes)
        return picture, np.concatenate(found)

    def _base(self, rng: Rng, wh: tuple[int, int], real: bool) -> tuple[np.ndarray, np.ndarray]:
        """A part of a real frame or of an empty place -> (h, w, 3), boxes (n, 6) in it; score 0: ignore."""
        if real:
            name = self._names[rng.choice(len(self._names), p=self._name_p)]
            clip, busy = self._clips[name], self._busy[name]
            t = busy[rng.integers(len(busy))]
            frame, boxes = clip.frames[t], clip.boxes[t]
        else:
            frames, empty = self._empties[rng.integers(len(self._empties))]
            frame, boxes = frames[empty[rng.integers(len(empty))]], np.zeros((0, 6), np.float32)
        least = 0.3 if rng.random() < 0.5 else 0.6
        window = random_window(rng, frame.shape[:2], least, wh[0] / wh[1], 0.25)
        if rng.random() < 0.3:
            window = (0, 0, frame.shape[1], frame.shape[0])
        x, y, w, h = window
        boxes, visible = crop_boxes(boxes, window, wh)
        how = cv2.INTER_AREA if w > wh[0] else cv2.INTER_LINEAR
        picture = cv2.resize(np.ascontiguousarray(frame[y : y + h, x : x + w]), wh, interpolation=how)
        if rng.random() < 0.5:
            picture = np.ascontiguousarray(picture[:, ::-1])
            boxes[:, [0, 2]] = wh[0] - boxes[:, [2, 0]]
        boxes, visible = boxes[visible > 0.05], visible[visible > 0.05]
        boxes[(boxes[:, 4] < TRUTH) | (visible < 0.35), 4] = 0
        return picture, boxes

    def _sprite(self, rng: Rng) -> Sprite:
        clips = self._sprites[int(rng.random() < 0.5)]
        ours = clips[rng.integers(len(clips))]
        return ours[rng.integers(len(ours))]

    def _add(self, rng: Rng, picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Paste one cut-out, in place -> the boxes with its own; those it largely hides are ignored."""
        sprite = self._sprite(rng)
        rgba, x, y = pose(rng, sprite, (WIDTH, HEIGHT), 0.08, 0.95)
        box, visible, change = paste(picture, rgba, x, y)
        if visible <= 0:
            return boxes
        if len(boxes):
            w = np.clip(np.minimum(boxes[:, 2], box[2]) - np.maximum(boxes[:, 0], box[0]), 0, None)
            h = np.clip(np.minimum(boxes[:, 3], box[3]) - np.maximum(boxes[:, 1], box[1]), 0, None)
            area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) + 1e-6
            boxes[w * h / area > 0.55, 4] = 0
        score = 1.0 if visible > 0.35 and change > 8 else 0.0
        return np.concatenate([boxes, np.array([[*box, score, sprite.kind]], np.float32)])


def _believable(boxes: np.ndarray, largest: float) -> np.ndarray:
    """The teacher's boxes without the weak ones that fill the frame: those are no reason to ignore it."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return boxes[(boxes[:, 4] >= TRUTH) | ((boxes[:, 4] >= WEAK) & (area < largest))]


def _barred(rng: Rng, picture: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """With letterbox bars."""
    share = rng.uniform(0.6, 0.97)
    w, h = (WIDTH, round(HEIGHT * share)) if rng.random() < 0.7 else (round(WIDTH * share), HEIGHT)
    x, y = (WIDTH - w) // 2, (HEIGHT - h) // 2
    out = np.full((HEIGHT, WIDTH, 3), PAD, np.uint8)
    out[y : y + h, x : x + w] = _coloured(rng, cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA))
    boxes[:, :4] = boxes[:, :4] * ([w / WIDTH, h / HEIGHT] * 2) + [x, y, x, y]
    return out, boxes


def _coloured(rng: Rng, picture: np.ndarray) -> np.ndarray:
    """Colour, tone and sensor."""
    if rng.random() < 0.25:
        picture = cv2.merge([luma(picture)] * 3)
    elif rng.random() < 0.4:
        picture = np.clip(picture * rng.uniform(0.8, 1.2, 3), 0, 255).astype(np.uint8)
    return sensor(rng, cv2.LUT(picture, tone(rng, 0.45)))


def targets(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (n, 6), score 0 = ignore -> target boxes (4, cells), target classes (2, cells).

    Stride 8 takes longest sides below 96 px, stride 16 those from 56 px; between, both.
    """
    cells = sum(h * w for h, w in CELLS)
    box_target, class_target = np.zeros((4, cells), np.float32), np.zeros((2, cells), np.float32)
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    ignored = (boxes[:, 4] == 0) | (h < 7) | (w < 3)
    first = 0
    for (rows, columns), stride in zip(CELLS, STRIDES, strict=True):
        part = slice(first, first + rows * columns)
        first += rows * columns
        classes = class_target[:, part].reshape(2, rows, columns)
        place = box_target[:, part].reshape(4, rows, columns)
        for i in np.argsort(-(w * h)):  # large first: small ones win shared cells
            x1, y1, x2, y2, _, kind = boxes[i]
            longest = max(w[i], h[i])
            if ignored[i]:
                top, bottom = int(y1 / stride), int(np.ceil(y2 / stride))
                classes[:, top:bottom, int(x1 / stride) : int(np.ceil(x2 / stride))] = -1
                continue
            if (stride == 8 and longest >= 96) or (stride == 16 and longest < 56):
                continue
            ys = _middle((y1 + y2) / 2, min(0.15 * h[i], 1.2 * stride), stride, rows)
            xs = _middle((x1 + x2) / 2, min(0.15 * w[i], 1.2 * stride), stride, columns)
            classes[:, ys, xs] = 0
            classes[int(kind), ys, xs] = 1
            place[:, ys, xs] = np.array([x1, y1, x2, y2], np.float32)[:, None, None]
    return box_target, class_target


def _middle(centre: float, radius: float, stride: int, cells: int) -> slice:
    """The cells about the middle of a box."""
    first, last = (min(cells - 1, int(edge / stride)) for edge in (centre - radius, centre + radius))
    return slice(first, last + 1)
