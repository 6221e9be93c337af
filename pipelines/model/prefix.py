"""The front of a folded model: I420 planes and a colour matrix in, the float picture the detector was trained on out.

    planes  uint8   [B, H * 3 / 2, W]   rows of Y, then U (H/4 rows of W = H/2 rows of W/2), then V
    color   float32 [B, 3, 4]           see pipelines/color.py

    picture = clip(color[:, :, 0] * Y + up2(color[:, :, 1] * U + color[:, :, 2] * V + color[:, :, 3]))

* Chroma is repeated 2 x 2 (nearest): what OpenCV's and FFmpeg's plain YUV420-to-RGB converters do. The colour map is
  linear, so chroma is mapped before it is enlarged: a quarter of the work, the same numbers.
* The result is clipped to what RGB 0..255 becomes in the model's scale: usual preprocessing holds RGB in bytes, and a
  detector has never seen the out-of-gamut colours that YUV can express. It is not rounded to whole RGB values.
* Multiplications and additions only, no MatMul: TF32 would cost a pixel its third digit.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from pipelines.model.graph import Builder
from pipelines.values import F32, ModelCard

PLANES = "planes"
COLOR = "color"


def picture_bounds(card: ModelCard) -> tuple[F32, F32]:
    """What RGB 0 and 255 become, per channel: two arrays (3,)."""
    offset, std = np.array(card.offset, np.float32), np.array(card.std, np.float32)
    return offset / std, (np.float32(card.scale * 255) + offset) / std


def add_prefix(builder: Builder, card: ModelCard, output: str, element_type: int) -> None:
    """Append the nodes that make `output`, [B, 3, H, W] of the given ONNX element type. H and W must be even."""
    h, w = card.input_h, card.input_w
    y = _plane(builder, 0, h, (h, w))
    u = _plane(builder, h, h * 5 // 4, (h // 2, w // 2))
    v = _plane(builder, h * 5 // 4, h * 3 // 2, (h // 2, w // 2))
    to_y, to_u, to_v, bias = (builder.reshape(builder.cut(COLOR, 2, i, i + 1), 0, 3, 1, 1) for i in range(4))
    chroma = builder.add("Add", builder.add("Mul", to_u, u), builder.add("Mul", to_v, v))
    chroma = builder.add("Add", chroma, bias)
    chroma = builder.add(
        "Resize",
        chroma,
        builder.constant(np.zeros(0, np.float32)),  # a region is not optional in opset 11
        builder.constant(np.array([1, 1, 2, 2], np.float32)),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    picture = _clip(builder, builder.add("Add", builder.add("Mul", to_y, y), chroma), card)
    if element_type == TensorProto.FLOAT:
        builder.nodes[-1].output[0] = output
    else:
        builder.add("Cast", picture, output=output, to=element_type)


def _plane(builder: Builder, start: int, stop: int, hw: tuple[int, int]) -> str:
    """Rows start..stop of the planes as float [B, 1, h, w]."""
    plane = builder.reshape(builder.cut(PLANES, 1, start, stop), 0, 1, *hw)
    return builder.add("Cast", plane, to=TensorProto.FLOAT)


def _clip(builder: Builder, picture: str, card: ModelCard) -> str:
    low, high = picture_bounds(card)
    if len(set(low)) == len(set(high)) == 1:
        return builder.add(
            "Clip", picture, builder.constant(low[0:1].reshape(())), builder.constant(high[0:1].reshape(()))
        )
    floor = builder.constant(low.reshape(1, 3, 1, 1))
    return builder.add("Min", builder.add("Max", picture, floor), builder.constant(high.reshape(1, 3, 1, 1)))
