"""Endless training samples for the presence network: real frames, and cut-outs pasted into empty scenes.

A sample is thumbnail and background uint8 (2, 96, 160), the label of the frame (1, 0, -1 ignore), and the heat map's
target (12, 20): 1, 0, -1 ignore, -2 unlabelled cell of a busy frame.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch

from augment import Rng, Window, crop_boxes, light_field, luma, random_window, sensor, soft_blob, tone
from background import MEDIAN_CUT, median_background
from cache import CachedClip, read_clips, read_sprites, read_textures, sprites_by_clip
from presence_net import GRID_H, GRID_W, HEIGHT, WIDTH
from scene import clutter, invented, patch
from sprite import Sprite, paste, pose

WORK_W, WORK_H = 320, 192
"""Pictures are composed at twice the thumbnail's size."""
UNLABELLED = ("horse",)
"""Its riders, 4 % of the height, were never labelled: a background, nothing else."""


@dataclass(slots=True)
class Composition:
    """A sample being made."""

    current: np.ndarray
    background: np.ndarray
    wanted: list[np.ndarray] = field(default_factory=list)
    """Boxes of what the network must see, xyxy."""
    grey: list[np.ndarray] = field(default_factory=list)
    """Boxes of what counts neither way."""
    label: int = 0
    busy: bool = False
    """A real frame in which something unlabelled may be."""

    def unless_present(self) -> None:
        """Something is there that counts neither way: so does the frame, unless something wanted is there too."""
        self.label = self.label if self.label == 1 else -1


class Stream(torch.utils.data.IterableDataset):
    """Endless samples. Opens the cache where it is iterated: in the loader's process."""

    def __init__(self, cache: Path, seed: int, exclude: Collection[str] = (), real: float = 0.35) -> None:
        self._cache, self._seed, self._exclude, self._real = cache, seed, exclude, real

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.float32, np.ndarray]]:
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
        self._gray = {
            name: np.stack([luma(frame) for frame in clip.frames[: clip.held_out]])
            for name, clip in self._clips.items()
        }
        empties = [source for clip in self._clips.values() for source in self._empty(clip)]
        textures = [(luma(texture)[None], 0.4) for texture in read_textures(self._cache)]
        self._empties = [stack for stack, _ in empties + textures]
        weights = np.array([weight for _, weight in empties + textures])
        self._empty_p = weights / weights.sum()
        self._names = sorted(set(self._clips) - set(UNLABELLED))
        lengths = np.array([len(self._gray[name]) ** 0.5 for name in self._names])
        self._name_p = lengths / lengths.sum()

    def _empty(self, clip: CachedClip) -> list[tuple[np.ndarray, float]]:
        """Stacks (t, h, w) of empty pictures of one clip, with their weight."""
        if not clip.fixed:
            return []
        out, gray = [], self._gray[clip.name]
        empty = np.where(clip.present[: clip.held_out] == 0)[0]
        if clip.labels != "teacher" and len(empty) > 5:
            out.append((gray[empty], 1.0))
        if clip.name in MEDIAN_CUT:
            out.append((median_background(clip, gray), 1.0))
        return out

    def sample(self, rng: Rng) -> tuple[np.ndarray, np.float32, np.ndarray]:
        if rng.random() < self._real:
            made = self._real_frame(rng)
            things = int(rng.random() < 0.15)
        else:
            made = Composition(*self._scene(rng))
            things = rng.choice(4, p=(0.46, 0.36, 0.12, 0.06))
        self._distract(rng, made)
        if rng.random() < 0.2:
            self._ghost(rng, made)
        for _ in range(things):
            self._thing(rng, made)
        self._history(rng, made)
        return self._finish(rng, made)

    def _sprite(self, rng: Rng) -> Sprite:
        clips = self._sprites[int(rng.random() < 0.42)]
        ours = clips[rng.integers(len(clips))]
        return ours[rng.integers(len(ours))]

    def _view(self, picture: np.ndarray, window: Window, mirror: bool) -> np.ndarray:
        x, y, w, h = window
        out = cv2.resize(picture[y : y + h, x : x + w], (WORK_W, WORK_H), interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(out[:, ::-1]) if mirror else out

    def _pair(self, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        """The same part of an empty place at two times."""
        stack = self._empties[rng.choice(len(self._empties), p=self._empty_p)]
        i, j = rng.integers(len(stack), size=2)
        window = random_window(rng, stack.shape[1:], 0.35, WIDTH / HEIGHT, 0.3)
        mirror = rng.random() < 0.5
        return self._view(stack[i], window, mirror), self._view(stack[j], window, mirror)

    def _scene(self, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        """An empty thumbnail and background: real, invented or mixed, with the same still clutter in both."""
        current, background = (view.copy() for view in self._pair(rng))
        kind = rng.random()
        if kind < 0.25:
            current = invented(rng, (WORK_H, WORK_W))
            background = current.copy()
        elif kind < 0.5:  # two places, side by side or one above the other
            other, other_background = self._pair(rng)
            share = rng.uniform(0.2, 0.8)
            part = np.s_[:, : int(share * WORK_W)] if rng.random() < 0.6 else np.s_[: int(share * WORK_H)]
            current[part], background[part] = other[part], other_background[part]
        if rng.random() < 0.6:
            clutter(rng, [current, background], self._pair(rng)[0], rng.integers(1, 9))
        return current, background

    def _past(self, rng: Rng, gray: np.ndarray, t: int, fixed: bool) -> np.ndarray:
        """A background for frame t: itself, the clip's start, any frame, or a mean of the recent past."""
        kind = rng.random()
        if kind < 0.15 or (not fixed and kind < 0.5):
            return gray[t]
        if kind < 0.35:
            return gray[rng.integers(0, min(len(gray), 5))]
        if kind < 0.55:
            return gray[rng.integers(len(gray))]
        length = int(np.exp(rng.uniform(np.log(8), np.log(400))))
        some = rng.integers(max(0, t - length), t + 1, 7)
        return (np.median(gray[some], 0) if rng.random() < 0.6 else gray[some].mean(0)).astype(np.uint8)

    def _real_frame(self, rng: Rng) -> Composition:
        """A frame of a clip with the teacher's boxes, and its label."""
        name = self._names[rng.choice(len(self._names), p=self._name_p)]
        clip, gray = self._clips[name], self._gray[name]
        t = rng.integers(len(gray))
        past = self._past(rng, gray, t, clip.fixed)
        whole = (0, 0, gray.shape[2], gray.shape[1])
        window = whole if rng.random() < 0.4 else random_window(rng, gray.shape[1:], 0.4, WIDTH / HEIGHT, 0.2)
        mirror = rng.random() < 0.5
        boxes, visible = crop_boxes(clip.boxes[t], window, (WORK_W, WORK_H))
        if mirror:
            boxes[:, [0, 2]] = WORK_W - boxes[:, [2, 0]]
        boxes, visible = boxes[visible > 0.15], visible[visible > 0.15]
        wanted = (boxes[:, 4] >= 0.4) & (visible > 0.35) & (boxes[:, 3] - boxes[:, 1] >= 8)
        label = clip.present[t]
        if label != 0 and window[2] != whole[2]:
            label = -1
        if clip.labels == "gt" and clip.present[t] == 0:
            boxes, wanted = boxes[:0], wanted[:0]
        current, background = self._view(gray[t], window, mirror), self._view(past, window, mirror)
        change = cv2.absdiff(current, background)
        for i in np.where(wanted)[0]:  # what the background has as well is not asked for
            x1, y1, x2, y2 = boxes[i, :4].astype(int)
            wanted[i] = change[y1 : y2 + 1, x1 : x2 + 1].mean() > 8
        if label == 1 and not wanted.any() and (len(boxes) or change.mean() < 2):
            label = -1
        return Composition(
            current.copy(),
            background.copy(),
            list(boxes[wanted][:, :4]),
            list(boxes[~wanted][:, :4]),
            1 if wanted.any() else label,
            label != 0,
        )

    def _distract(self, rng: Rng, made: Composition) -> None:
        """Shadows, light and patches that are not asked for."""
        for _ in range(rng.integers(0, 3) if rng.random() < 0.55 else 0):
            kind = rng.random()
            if kind < 0.6:
                soft_blob(rng, made.current)
            elif kind < 0.7:
                soft_blob(rng, made.background)
            else:
                under = made.current if rng.random() < 0.6 else made.background
                patch(rng, under, self._pair(rng)[0], 0.015, 0.15)

    def _ghost(self, rng: Rng, made: Composition) -> None:
        """Something that has left, and that the background still shows."""
        rgba, x, y = pose(rng, self._sprite(rng), (WORK_W, WORK_H), 0.08, 0.9)
        rgba[..., 3] *= rng.uniform(0.3, 1)
        paste(made.background, rgba, x, y)

    def _thing(self, rng: Rng, made: Composition) -> None:
        """A person or a vehicle: new, passing, or partly or wholly absorbed by the background."""
        rgba, x, y = pose(rng, self._sprite(rng), (WORK_W, WORK_H), 0.07, 0.95)
        rgba[..., 3] *= rng.uniform(0.85, 1)
        kind = rng.random()
        if kind < 0.12:  # stands still, absorbed: counts neither way
            paste(made.background, rgba, x, y)
            made.grey.append(paste(made.current, rgba, x, y)[0])
            made.unless_present()
            return
        if kind < 0.26:
            paste(made.background, rgba, x + int(rng.normal(0, rgba.shape[1])), y + int(rng.normal(0, 4)))
        elif kind < 0.38:
            faint = rgba.copy()
            faint[..., 3] *= rng.uniform(0.2, 0.7)
            paste(made.background, faint, x, y)
        box, visible, change = paste(made.current, rgba, x, y)
        if visible > 0.25 and (box[2] - box[0]) * (box[3] - box[1]) > 60 and change > 7:
            made.wanted.append(box)
            made.label = 1
        elif visible > 0:
            made.grey.append(box)
            made.unless_present()

    def _history(self, rng: Rng, made: Composition) -> None:
        """What a start, a slow update or a shaking camera do to the background."""
        if rng.random() < 0.08:  # no history: nothing has changed
            made.background = made.current.copy()
            made.label = 0 if made.label == 0 else -1
            made.grey, made.wanted = made.grey + made.wanted, []
        elif rng.random() < 0.15:
            made.background = cv2.addWeighted(made.background, 0.7, made.current, 0.3, 0)
        if rng.random() < 0.25:
            shift = np.array([[1, 0, rng.normal(0, 1.5)], [0, 1, rng.normal(0, 1.5)]], np.float32)
            made.background = cv2.warpAffine(made.background, shift, (WORK_W, WORK_H), borderMode=cv2.BORDER_REPLICATE)

    def _finish(self, rng: Rng, made: Composition) -> tuple[np.ndarray, np.float32, np.ndarray]:
        """Light, sensor and size; then the heat map's target."""
        current, background = _light(rng, made.current, made.background)
        if rng.random() < 0.3:
            background = cv2.GaussianBlur(background, (0, 0), rng.uniform(0.5, 2))
        current, background = sensor(rng, current), sensor(rng, background)
        how = (cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_NEAREST)[rng.choice(3, p=(0.6, 0.25, 0.15))]
        thumbs = np.stack([cv2.resize(p, (WIDTH, HEIGHT), interpolation=how) for p in (current, background)])
        return thumbs, np.float32(made.label), target(made.wanted, made.grey, made.busy)


def _light(rng: Rng, current: np.ndarray, background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Change the light of the scene, then the exposure of both pictures, then a little of one alone."""
    kind = rng.random()
    if kind < 0.3:  # uneven
        gain = light_field(rng, (WORK_H, WORK_W), rng.uniform(0.05, 0.5))
        current = np.clip(current * gain, 0, 255).astype(np.uint8)
    elif kind < 0.36:  # the lights have just been switched on
        gain = light_field(rng, (WORK_H, WORK_W), 0.4)
        background = np.clip(background * gain * rng.uniform(0.05, 0.4), 0, 255).astype(np.uint8)
    table = tone(rng)
    current, background = cv2.LUT(current, table), cv2.LUT(background, table)
    if rng.random() < 0.35:
        levels = np.arange(256) * np.exp(rng.normal(0, 0.2)) + rng.normal(0, 6)
        current = cv2.LUT(current, np.clip(levels, 0, 255).astype(np.uint8))
    return current, background


def target(wanted: list[np.ndarray], grey: list[np.ndarray], busy: bool) -> np.ndarray:
    """Boxes in working pixels -> (12, 20) float32: the middle half of each wanted box is 1, its rest is ignored."""
    out = np.zeros((GRID_H, GRID_W), np.float32)
    cell = WORK_W / GRID_W
    if busy:
        out[:] = -2
    for box in grey + wanted:
        out[int(box[1] / cell) : int(np.ceil(box[3] / cell)), int(box[0] / cell) : int(np.ceil(box[2] / cell))] = -1
    for box in wanted:
        cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        w, h = (box[2] - box[0]) * 0.25, (box[3] - box[1]) * 0.25
        top, bottom = min(GRID_H - 1, int((cy - h) / cell)), min(GRID_H - 1, int((cy + h) / cell))
        left, right = min(GRID_W - 1, int((cx - w) / cell)), min(GRID_W - 1, int((cx + w) / cell))
        out[top : bottom + 1, left : right + 1] = 1
    return out
