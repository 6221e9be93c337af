"""How well detections agree with a scene's truth. Pure; used by unit and end-to-end tests alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.fakes.scene import TruthBox


@dataclass(frozen=True, slots=True)
class Found:
    """One detection in source pixels."""

    class_name: str
    xyxy: tuple[float, float, float, float]


@dataclass(slots=True)
class Agreement:
    """Sums over frames. `required` counts the targets that had to be found."""

    required: int = 0
    matched: int = 0
    false_boxes: int = 0
    frames: int = 0
    perfect_frames: int = 0
    """Every required target matched, nothing else reported."""
    worst_iou: float = 1.0
    """Of the matched ones."""
    misses: list[tuple[int, TruthBox]] = field(default_factory=list)
    """(frame number, target), for the message of a failed test."""

    @property
    def recall(self) -> float:
        return self.matched / self.required if self.required else 1.0

    @property
    def perfect(self) -> float:
        """Share of frames in which everything agreed."""
        return self.perfect_frames / self.frames if self.frames else 1.0


def compare(
    frames: Iterable[tuple[int, Sequence[TruthBox], Sequence[Found]]], min_iou: float = 0.8, min_visible: float = 0.5
) -> Agreement:
    """Compare (frame number, truth, detections) triples.

    min_visible: targets of which less is inside the picture may be found or not: neither counts.
    """
    total = Agreement()
    for number, truth, found in frames:
        matched = missed = 0
        for box in (b for b in truth if b.visible >= min_visible):
            best = max((iou(box.xyxy, f.xyxy) for f in found if f.class_name == box.class_name), default=0.0)
            if best >= min_iou:
                matched += 1
                total.worst_iou = min(total.worst_iou, best)
            else:
                missed += 1
                total.misses.append((number, box))
        false = sum(1 for f in found if not any(_explains(box, f, min_iou, min_visible) for box in truth))
        total.required += matched + missed
        total.matched += matched
        total.false_boxes += false
        total.frames += 1
        total.perfect_frames += not (missed or false)
    return total


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two xyxy boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inside = width * height
    return inside / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside)


def _explains(box: TruthBox, found: Found, min_iou: float, min_visible: float) -> bool:
    if box.class_name != found.class_name:
        return False
    return box.visible < min_visible or iou(box.xyxy, found.xyxy) >= min_iou
