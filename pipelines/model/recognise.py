"""Which head a model has, from the names and shapes of what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from pipelines.errors import ModelError
from pipelines.model.family import FAMILIES, Family
from pipelines.model.grid import Grid, find_grid
from pipelines.values import F32

MAX_QUERIES = 1000
"""An NMS-free head has a few hundred candidates."""
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """The outputs that matter. For a head in one tensor the three names are the same."""

    name: str
    boxes: str
    scores: str
    labels: str
    candidates: int
    classes: int
    """0: the model names its classes by number and does not say how many there are."""
    grid: Grid | None = None

    @property
    def family(self) -> Family:
        return FAMILIES[self.name]


def recognise(shapes: Mapping[str, Shape], wh: tuple[int, int], named: str | None = None) -> Head:
    """Find the head.

    Args:
        shapes: outputs of a run at batch 1, in the model's order.
        wh: input size of that run, px.
        named: the family, if a person said so.

    Raises:
        ModelError: no family fits, or not the one named.
    """
    head = _three(shapes) or _two(shapes) or _one(shapes, wh, named)
    if head is None or (named is not None and head.name != named):
        seen = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        wanted = f"family {named}" if named else "any known family (name one, see docs/models.md)"
        raise ModelError(f"outputs {seen} at input {wh[0]}x{wh[1]} do not fit {wanted}")
    return head


def settle_unit(head: Head, boxes: F32, named: str | None = None) -> Head:
    """Tell corners in px from centres in 0..1 where shapes cannot: by the boxes of one run, (Q, 4).

    A picture of noise gives a head that answers in px some coordinate beyond 1.5 px; all zeros say nothing.
    """
    unit = bool(boxes.any()) and float(np.abs(boxes).max()) <= 1.5
    return replace(head, name="nms_free_ranked") if head.name == "nms_free_xyxy" and unit and not named else head


def _three(shapes: Mapping[str, Shape]) -> Head | None:
    """labels [1, Q], boxes [1, Q, 4], scores [1, Q]: by name, as labels and scores look alike."""
    if not {"labels", "boxes", "scores"} <= shapes.keys():
        return None
    queries = shapes["scores"][-1]
    fits = shapes["boxes"] == (1, queries, 4) and shapes["labels"] == shapes["scores"] == (1, queries)
    return Head("nms_free_sized", "boxes", "scores", "labels", queries, 0) if fits else None


def _two(shapes: Mapping[str, Shape]) -> Head | None:
    """Boxes [1, Q, 4] and class logits [1, Q, C], other outputs (masks, features) ignored."""
    boxes = next((n for n, s in shapes.items() if len(s) == 3 and s[2] == 4 and "logit" not in n), None)
    if boxes is None:
        return None
    queries = shapes[boxes][1]
    rest = [n for n, s in shapes.items() if n != boxes and len(s) == 3 and s[:2] == (1, queries)]
    if queries > MAX_QUERIES or not rest:
        return None
    logits = next((n for n in rest if n in ("logits", "labels", "pred_logits")), rest[0])
    return Head("nms_free_logits", boxes, logits, logits, queries, shapes[logits][2])


def _one(shapes: Mapping[str, Shape], wh: tuple[int, int], named: str | None) -> Head | None:
    """Everything in the first output. Side outputs that older exporters add are ignored."""
    name, shape = next(iter(shapes.items()))
    if len(shape) != 3 or shape[0] != 1:
        return None
    _, rows, columns = shape
    family = named or _family_of(rows, columns, wh)
    if family not in FAMILIES or family in ("nms_free_logits", "nms_free_sized"):
        return None
    layout = FAMILIES[family]
    candidates, width = (columns, rows) if layout.transposed else (rows, columns)
    grid = None if layout.nms_free else find_grid(candidates, wh)
    classes = 0 if layout.labelled else width - 4 - layout.objectness
    if (layout.box == "grid" and grid is None) or (layout.labelled and width != 6) or classes < 0:
        return None
    if (not layout.labelled and classes == 0) or (named and candidates < width):
        return None
    return Head(family, name, name, name, candidates, classes, grid)


def _family_of(rows: int, columns: int, wh: tuple[int, int]) -> str | None:
    across, down = find_grid(columns, wh), find_grid(rows, wh)
    if across is not None and rows >= 5 and (down is None or rows < columns):
        return "yolov8"
    if down is not None and columns >= 6:
        return "yolox" if down.anchors == 1 else "yolov5"
    if rows <= MAX_QUERIES and columns >= 5:
        return "nms_free_xyxy" if columns == 6 else "nms_free_cxcywh"
    return None
