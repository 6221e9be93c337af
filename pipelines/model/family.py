"""The head layouts we can decode, as a table. A family is a layout, not a product: YOLO11 is `yolov8`.

| family          | output                             | box         | score           | examples                    |
|-----------------|------------------------------------|-------------|-----------------|-----------------------------|
| yolox           | [B, N, 5+C], N = cells             | grid offset | obj * class     | YOLOX                       |
| yolox_decoded   | [B, N, 5+C], N = cells             | cxcywh px   | obj * class     | YOLOX --decode_in_inference |
| yolov8          | [B, 4+C, N]                        | cxcywh px   | class           | YOLOv8, v9, 11, 12          |
| yolov5          | [B, N, 5+C], N = 3 * cells         | cxcywh px   | obj * class     | YOLOv5, v7                  |
| nms_free_xyxy   | [B, Q, 6]                          | xyxy px     | given, as class | YOLOv10, YOLO26             |
| nms_free_ranked | [B, Q, 6]                          | cxcywh 0..1 | given, as class | RT-DETR of Ultralytics 8.4  |
| nms_free_cxcywh | [B, Q, 4+C]                        | cxcywh 0..1 | class           | RT-DETR of Ultralytics, old |
| nms_free_logits | [B, Q, C], [B, Q, 4]               | cxcywh 0..1 | sigmoid(class)  | RF-DETR; DETRs of HF        |
| nms_free_sized  | labels, boxes, scores [B, Q(, 4)]  | xyxy px     | given, as class | RT-DETR, D-FINE             |

B batch, C classes, N candidates, Q queries; cells: of all strides together. HF: exported from transformers.
Sources: the exporters and demos of Megvii YOLOX, Ultralytics, WongKinYiu yolov7, roboflow rf-detr, lyuwenyu RT-DETR,
Peterande D-FINE. Scores are activated inside the model except for `nms_free_logits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Family:
    """One layout and what its authors feed it with. The defaults go into the card."""

    box: Literal["grid", "cxcywh_px", "cxcywh_unit", "xyxy_px"]
    objectness: bool = False
    """Column 4 multiplies the class scores."""
    transposed: bool = False
    """Candidates stand on the last axis."""
    labelled: bool = False
    """The model names one class and score per candidate."""
    logits: bool = False
    nms_free: bool = False
    anchor: str = "center"
    channel_order: str = "rgb"
    scale: float = 1 / 255


FAMILIES = {
    "yolox": Family("grid", objectness=True, anchor="top_left", channel_order="bgr", scale=1.0),
    "yolox_decoded": Family("cxcywh_px", objectness=True, anchor="top_left", channel_order="bgr", scale=1.0),
    "yolov8": Family("cxcywh_px", transposed=True),
    "yolov5": Family("cxcywh_px", objectness=True),
    "nms_free_xyxy": Family("xyxy_px", labelled=True, nms_free=True),
    "nms_free_ranked": Family("cxcywh_unit", labelled=True, nms_free=True),
    "nms_free_cxcywh": Family("cxcywh_unit", nms_free=True),
    "nms_free_logits": Family("cxcywh_unit", logits=True, nms_free=True),
    "nms_free_sized": Family("xyxy_px", labelled=True, nms_free=True),
}

IMAGENET_OFFSET = (-0.485, -0.456, -0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""What RF-DETR normalises with: (RGB / 255 + offset) / std."""
