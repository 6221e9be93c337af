"""The end of a folded model: the head's output in, the best K candidates out, as static shapes.

    detections  float32 [B, K, 6]   x0 y0 x1 y1 in network-input px, score, class; best first

One class per candidate, its best. Scores are compared first and only the K best are decoded, so the work does not grow
with the candidates. There is no threshold, no NMS and no NonZero: how many rows count is decided on the DPU. Boxes are
not clipped to the picture. Of equal scores the one with the lower index comes first.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from pipelines.model.graph import Builder
from pipelines.model.grid import cell_table
from pipelines.model.recognise import Head

DETECTIONS = "detections"


def add_suffix(builder: Builder, head: Head, wh: tuple[int, int], top_k: int, element_type: int) -> None:
    """Append the nodes that make `detections` from the head's tensors, whose element type is given."""
    family = head.family
    axis = 2 if family.transposed else 1
    boxes, scores, labels = _split(builder, head, element_type)
    best = scores if family.labelled else builder.reduce_max(scores, 3 - axis)
    if family.objectness:
        best = builder.add("Mul", best, _column(builder, _float(builder, head.boxes, element_type), 4))
    values, index = builder.add_many(
        "TopK",
        (best, builder.ints(top_k)),
        ("framegate/out/best", "framegate/out/index"),
        axis=1,
    )
    boxes = _gather(builder, boxes, index, axis, 4)
    if family.labelled:
        label = _label(builder, labels, index)
    else:
        label = builder.add("ArgMax", _gather(builder, labels, index, axis, head.classes), axis=2, keepdims=1)
    score = builder.reshape(values, 0, top_k, 1)
    if family.logits:
        score = builder.add("Sigmoid", score)
    label = builder.add("Cast", label, to=TensorProto.FLOAT)
    corners = _corners(builder, head, boxes, index, wh)
    builder.add("Concat", corners, score, label, output=DETECTIONS, axis=2)


def _float(builder: Builder, tensor: str, element_type: int) -> str:
    return tensor if element_type == TensorProto.FLOAT else builder.add("Cast", tensor, to=TensorProto.FLOAT)


def _split(builder: Builder, head: Head, element_type: int) -> tuple[str, str, str]:
    """(boxes, scores, labels). Class scores serve as both of the last two unless the head is labelled."""
    if head.boxes != head.scores:
        scores = _float(builder, head.scores, element_type)
        return _float(builder, head.boxes, element_type), scores, head.labels if head.family.labelled else scores
    rows = _float(builder, head.boxes, element_type)
    axis = 1 if head.family.transposed else 2
    boxes = builder.cut(rows, axis, 0, 4)
    if head.family.labelled:
        return boxes, _column(builder, rows, 4), _column(builder, rows, 5)
    start = 4 + head.family.objectness
    scores = builder.cut(rows, axis, start, start + head.classes)
    return boxes, scores, scores


def _column(builder: Builder, rows: str, column: int) -> str:
    """rows[:, :, column] as [B, N]."""
    return builder.reshape(builder.cut(rows, 2, column, column + 1), 0, -1)


def _gather(builder: Builder, tensor: str, index: str, axis: int, width: int) -> str:
    """The candidates named by index [B, K] of tensor [B, N, width] (or [B, width, N]), as [B, K, width].

    Adding zeros of the right width repeats the index without asking for the batch's size at run time.
    """
    column = builder.reshape(index, *((0, 1, -1) if axis == 2 else (0, -1, 1)))
    zeros = np.zeros((1, width, 1) if axis == 2 else (1, 1, width), np.int64)
    picked = builder.add("GatherElements", tensor, builder.add("Add", column, builder.constant(zeros)), axis=axis)
    return builder.add("Transpose", picked, perm=[0, 2, 1]) if axis == 2 else picked


def _label(builder: Builder, labels: str, index: str) -> str:
    """Labels [B, N] of the candidates, as [B, K, 1]."""
    return builder.reshape(builder.add("GatherElements", labels, index, axis=1), 0, -1, 1)


def _corners(builder: Builder, head: Head, boxes: str, index: str, wh: tuple[int, int]) -> str:
    """Boxes [B, K, 4] as x0 y0 x1 y1 px."""
    kind = head.family.box
    if kind == "xyxy_px":
        return boxes
    center, size = builder.cut(boxes, 2, 0, 2), builder.cut(boxes, 2, 2, 4)
    if kind == "grid":
        assert head.grid is not None  # recognise gives none without
        cells = builder.add("Gather", builder.constant(cell_table(head.grid, wh)), index, axis=0)
        stride = builder.cut(cells, 2, 2, 3)
        center = builder.add("Mul", builder.add("Add", center, builder.cut(cells, 2, 0, 2)), stride)
        size = builder.add("Mul", builder.add("Exp", size), stride)
    elif kind == "cxcywh_unit":
        picture = builder.constant(np.array(wh, np.float32))
        center, size = builder.add("Mul", center, picture), builder.add("Mul", size, picture)
    half = builder.add("Mul", size, builder.constant(np.array(0.5, np.float32)))
    return builder.add("Concat", builder.add("Sub", center, half), builder.add("Add", center, half), axis=2)
