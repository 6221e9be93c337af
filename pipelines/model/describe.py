"""The card of a folded model: the family's habits, the file's metadata, and what a person said."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pipelines.errors import ModelError
from pipelines.model.class_names import class_names
from pipelines.model.family import IMAGENET_OFFSET, IMAGENET_STD
from pipelines.model.options import FoldOptions
from pipelines.model.recognise import Head
from pipelines.values import ModelCard

_PLAIN = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def describe(
    source: Path, metadata: Mapping[str, str], head: Head, wh: tuple[int, int], options: FoldOptions
) -> ModelCard:
    """Build the card. What `options` leaves open comes from the family.

    Raises:
        ModelError: the class names told do not fit the head.
    """
    family = head.family
    is_rf_detr = head.name == "nms_free_logits" and head.boxes == "dets"
    offset, std = (IMAGENET_OFFSET, IMAGENET_STD) if is_rf_detr else _PLAIN
    try:
        classes = class_names(options.classes, metadata, head.classes)
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from error
    return ModelCard(
        name=options.name or source.stem,
        family=head.name,
        input_w=wh[0],
        input_h=wh[1],
        classes=classes,
        anchor=options.anchor or family.anchor,
        pad_rgb=options.pad_rgb or (114, 114, 114),
        channel_order=options.channel_order or family.channel_order,
        scale=options.scale or family.scale,
        offset=options.offset or offset,
        std=options.std or std,
        top_k=min(options.top_k, head.candidates),
        score_threshold=options.score_threshold,
        nms_iou=options.nms_iou,
        nms_free=family.nms_free,
        sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        licence=options.licence or metadata.get("license", ""),
    )
