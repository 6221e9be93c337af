"""Measure detector.onnx against the teacher's boxes: how well the student copies, not how well it finds people."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from detector_box import HEIGHT, WIDTH, boxes_of, letterbox
from evaluate_presence import median_ms
from footage import Footage
from metric import average_precision, match, share, table
from teacher import session

KINDS = ("person", "vehicle")
LEAST = 0.03
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
COLOURS_BGR = ((0, 220, 0), (0, 0, 255))


@dataclass(slots=True)
class Tally:
    """What was found in some frames, per class: (score, hit) of every box that counts, and the number of truths."""

    frames: int = 0
    pairs: list[list[tuple[float, int]]] = field(default_factory=lambda: [[], []])
    truths: list[int] = field(default_factory=lambda: [0, 0])

    def add(self, found: np.ndarray, labels: np.ndarray) -> None:
        """One frame more."""
        self.frames += 1
        for kind in range(len(KINDS)):
            pairs, truths = match(found, labels, kind)
            self.pairs[kind] += pairs
            self.truths[kind] += truths

    def merge(self, other: Tally) -> None:
        self.frames += other.frames
        for kind in range(len(KINDS)):
            self.pairs[kind] += other.pairs[kind]
            self.truths[kind] += other.truths[kind]

    def hits(self, kind: int, threshold: float) -> list[int]:
        return [hit for score, hit in self.pairs[kind] if score >= threshold]

    def false_per_frame(self, threshold: float) -> float:
        return sum(hits.count(0) for hits in (self.hits(k, threshold) for k in range(len(KINDS)))) / self.frames


Tallies = dict[tuple[str, str], tuple[str, Tally]]
"""(clip, what the detector was fed with) -> part, tally."""


class Detector:
    """`detector(rgb)` -> boxes (n, 6) in pixels of the picture."""

    def __init__(self, path: Path) -> None:
        self._session = session(path)

    def __call__(self, rgb: np.ndarray, least: float = LEAST) -> np.ndarray:
        planes, scale, x, y = letterbox(np.ascontiguousarray(rgb))
        boxes = boxes_of(self._session.run(None, {"images": planes[None]})[0][0], least)
        boxes[:, :4] = (boxes[:, :4] - [x, y, x, y]) / scale
        return boxes


def tally(clip: Footage, boxes_per_frame: list[np.ndarray]) -> Tally:
    """Over the evaluated frames of one clip."""
    out = Tally()
    for found, labels in zip(boxes_per_frame, clip.boxes[clip.held_out :], strict=True):
        out.add(found, labels)
    return out


def _cells(t: Tally, kind: int, thresholds: tuple[float, ...]) -> list[object]:
    if not t.truths[kind]:
        return [0, "-", *["-"] * len(thresholds)]
    ap = f"{100 * average_precision(t.pairs[kind], t.truths[kind]):.1f}"
    recalls = [f"{100 * sum(t.hits(kind, at)) / t.truths[kind]:.1f} %" for at in thresholds]
    return [t.truths[kind], ap, *recalls]


def per_clip(tallies: Tallies, score: float) -> str:
    """AP and recall per clip, and false boxes per frame, at 0.3 and at the recommended score."""
    at = (0.3, score)
    head = ["clip", "part", "fed", "frames"]
    for kind in KINDS:
        head += [f"{kind} truths", "AP50", *(f"recall @{a}" for a in at)]
    head += [f"false boxes per frame @{a}" for a in at]
    rows: list[list[object]] = []
    for (name, fed), (part, t) in tallies.items():
        cells = [c for kind in range(len(KINDS)) for c in _cells(t, kind, at)]
        rows.append([name, part, fed, t.frames, *cells, *(f"{t.false_per_frame(a):.2f}" for a in at)])
    return table(head, rows)


def pooled(tallies: Tallies) -> str:
    """Recall and precision per part and class over the thresholds."""
    pools: dict[tuple[str, str], Tally] = {}
    for (_, fed), (part, t) in tallies.items():
        pools.setdefault((part, fed), Tally()).merge(t)
    rows: list[list[object]] = []
    for (part, fed), t in pools.items():
        for kind, name in enumerate(KINDS):
            if not t.truths[kind]:
                continue
            hits = [t.hits(kind, at) for at in THRESHOLDS]
            cells = [f"{100 * sum(h) / t.truths[kind]:.0f} % / {100 * np.mean(h or [0]):.0f} %" for h in hits]
            rows.append([part, name, fed, *cells])
    return table(["part", "class", "fed", *(f"recall / precision @{at}" for at in THRESHOLDS)], rows)


def frame_level(clip: Footage, fed: str, boxes_per_frame: list[np.ndarray], score: float) -> list[object] | None:
    """A row: in how many present and empty frames a box is found. Needs labels that are not the teacher's."""
    if clip.labels == "teacher":
        return None
    present = clip.present[clip.held_out :]
    some = np.array([(b[:, 4] >= score).any() for b in boxes_per_frame])
    cells = [x for label in (1, 0) for x in ((present == label).sum(), share(some[present == label]))]
    return [clip.clip.name, clip.part, clip.labels, fed, *cells]


def frame_table(rows: list[list[object]], score: float) -> str:
    """What the detector says of whole frames, against labels set by hand."""
    return table(
        ["clip", "part", "labels", "fed", "present", f"with a box @{score}", "empty", f"with a box @{score}"], rows
    )


def draw(detector: Detector, clip: Footage, folder: Path, score: float, count: int = 4) -> None:
    """Write `count` held-out frames with the detector's boxes, from those with something there: FOLDER/CLIP.png."""
    held_out = np.arange(clip.held_out, len(clip.rgb))
    shown = held_out[clip.present[held_out] == 1]
    shown = shown if len(shown) else held_out
    pictures = []
    for i in shown[np.linspace(0, len(shown) - 1, count).astype(int)]:
        picture = np.ascontiguousarray(clip.rgb[i][..., ::-1])
        for x1, y1, x2, y2, value, kind in detector(clip.rgb[i], score):
            corners = [int(v) for v in (x1, y1, x2, y2)]
            cv2.rectangle(picture, corners[:2], corners[2:], COLOURS_BGR[int(kind)], 2)
            cv2.putText(picture, f"{value:.2f}", (corners[0], max(10, corners[1] - 3)), 0, 0.4, COLOURS_BGR[int(kind)])
        cv2.putText(picture, f"{clip.clip.name} frame {clip.numbers[i]} >= {score}", (5, 15), 0, 0.5, (0, 255, 255))
        pictures.append(picture)
    rows = [np.hstack(pictures[i : i + 2]) for i in range(0, count, 2)]
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{clip.clip.name}.png"), np.vstack(rows))


def latency(path: Path, batches: tuple[int, ...] = (1, 4)) -> str:
    """Median CPU ms per frame on one thread."""
    run, rng = session(path), np.random.default_rng(0)
    texts = []
    for n in batches:
        planes = rng.random((n, 3, HEIGHT, WIDTH), dtype=np.float32)
        spent_ms = median_ms(lambda p=planes: run.run(None, {"images": p}), 60) / n
        texts.append(f"batch {n}: {spent_ms:.2f} CPU ms per frame")
    return ", ".join(texts)
