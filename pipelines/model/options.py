"""What a person may say about a model when it is folded. Everything has a default taken from the family."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

FamilyName = Literal[
    "yolox",
    "yolox_decoded",
    "yolov8",
    "yolov5",
    "nms_free_xyxy",
    "nms_free_ranked",
    "nms_free_cxcywh",
    "nms_free_logits",
    "nms_free_sized",
]


class FoldOptions(BaseModel, frozen=True, extra="forbid"):
    """How to fold a detector. None and 0 mean: as the file or its family says."""

    width_px: int = Field(0, ge=0, le=4096, description="Network input width, px; 0: the model's own.")
    height_px: int = Field(0, ge=0, le=4096, description="Network input height, px; 0: the model's own.")
    family: FamilyName | None = Field(None, description="Layout of the head; None: recognised from names and shapes.")
    name: str = Field("", description="Name of the model in cards and alerts; empty: the file's name.")
    classes: tuple[str, ...] = Field(
        (), description="Class names in the model's order; empty: from the file's metadata, COCO for 80 classes."
    )
    top_k: int = Field(
        300, ge=1, le=1000, description="Rows of an answer: best candidates, before NMS. A crowd has ten per object."
    )
    score_threshold: float = Field(0.25, gt=0, lt=1, description="Advice in the card: scores below are not used.")
    nms_iou: float = Field(0.5, gt=0, le=1, description="Advice in the card: overlap above which two boxes are one.")
    channel_order: Literal["rgb", "bgr"] | None = Field(None, description="Order the model wants.")
    scale: float | None = Field(None, gt=0, description="Network input = (scale * RGB(0..255) + offset) / std.")
    offset: tuple[float, float, float] | None = Field(None, description="See scale; per channel, in channel_order.")
    std: tuple[float, float, float] | None = Field(None, description="See scale; per channel, in channel_order.")
    anchor: Literal["center", "top_left"] | None = Field(None, description="Where the letterbox puts the picture.")
    pad_rgb: tuple[int, int, int] | None = Field(None, description="Colour beside the picture, RGB 0..255.")
    licence: str = Field("", description="Licence of the weights, for the card.")
    tolerance: float = Field(
        1e-3, gt=0, description="Largest difference allowed between folded and original: px of a box, score."
    )
