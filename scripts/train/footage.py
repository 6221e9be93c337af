"""The sampled frames of one clip, decoded once, with what labels there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from clip import Clip, find, held_out_from, present_labels, sampled
from pipelines.source.planes import planes
from teacher import Teacher, given_boxes, merge_given

WIDEST_PX = 640


@dataclass(slots=True)
class Footage:
    """Frames and labels of one clip, as sampled."""

    clip: Clip
    path: Path
    numbers: list[int]
    times_s: list[float]
    rgb: list[np.ndarray]
    """(h, w, 3) uint8, at most WIDEST_PX wide."""
    luma: list[np.ndarray]
    """(96, 160) uint8: thumbnails of the Y plane as it is in the stream."""
    boxes: list[np.ndarray]
    """The teacher's, in pixels of `rgb`; no rows before `labelled_from`."""
    present: np.ndarray
    labels: str
    held_out: int

    @property
    def part(self) -> str:
        return {"train": "third", "holdout": "clip", "unclear": "unclear"}[self.clip.role]

    def pictures(self) -> Iterator[av.VideoFrame]:
        """The evaluated frames as the decoder gives them."""
        for i, (_, _, picture) in enumerate(sampled(self.path, self.clip.step_s)):
            if i >= self.held_out:
                yield picture


def shrink(rgb: np.ndarray) -> tuple[np.ndarray, float]:
    """At most WIDEST_PX wide -> picture, scale."""
    height, width = rgb.shape[:2]
    scale = min(1.0, WIDEST_PX / width)
    if scale == 1:
        return rgb, 1.0
    return cv2.resize(rgb, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA), scale


def load(clip: Clip, data: Path, teacher: Teacher | None, only_held_out: bool = False) -> Footage | None:
    """Decode and label; None where this machine lacks the clip.

    teacher: None: no boxes. only_held_out: ask the teacher about held-out frames only (it costs 80 ms a frame).
    """
    path = find(clip, data)
    if path is None:
        return None
    held_out = held_out_from(clip, sum(1 for _ in sampled(path, clip.step_s)))
    own_labels = bool(clip.events) or clip.present is not None
    first = held_out if only_held_out and own_labels else 0
    useless = not clip.boxes and own_labels
    none = np.zeros((0, 6))
    rgb, luma, boxes, numbers, times_s = [], [], [], [], []
    for number, time_s, frame in sampled(path, clip.step_s):
        picture = frame.to_ndarray(format="rgb24")
        small, scale = shrink(picture)
        asked = teacher is not None and not useless and len(rgb) >= first
        boxes.append(teacher(picture) * [*[scale] * 4, 1, 1] if asked else none)
        rgb.append(small)
        luma.append(cv2.resize(planes(frame)[0], (160, 96), interpolation=cv2.INTER_LINEAR))
        numbers.append(number)
        times_s.append(time_s)
    given = data / "gt" / f"{Path(clip.file).stem}.pseudo_det.txt"
    if teacher is not None and given.is_file():
        rows = given_boxes(given)
        boxes = [merge_given(b, rows.get(n, none)) for b, n in zip(boxes, numbers, strict=True)]
    present, labels = present_labels(clip, data, numbers, boxes if teacher is not None else None)
    if not clip.boxes:
        boxes = [none] * len(numbers)
    return Footage(clip, path, numbers, times_s, rgb, luma, boxes, present, labels, held_out)
