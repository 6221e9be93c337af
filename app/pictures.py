"""Pictures of somebody's own as a model's input, for its reference pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pipelines.errors import ModelError
from pipelines.preprocess.letterbox import fit
from pipelines.preprocess.planes import pad_yuv, write_planes
from pipelines.values import U8, ColorMatrix, ColorRange, Frame, ModelCard


def read_pictures(files: Sequence[Path], card: ModelCard) -> list[U8]:
    """(h * 3 / 2, w) uint8 for each file: I420, limited range, BT.601, letterboxed as the product does it.

    Raises:
        ModelError: a file is no picture that OpenCV reads.
    """
    return [_planes(file, card) for file in files]


def _planes(file: Path, card: ModelCard) -> U8:
    picture = cv2.imread(str(file))
    if picture is None:
        raise ModelError(f"{file}: not a picture that can be read")
    h, w = (side // 2 * 2 for side in picture.shape[:2])
    flat = cv2.cvtColor(np.ascontiguousarray(picture[:h, :w]), cv2.COLOR_BGR2YUV_I420).reshape(-1)
    y, u, v = np.split(flat, [h * w, h * w * 5 // 4])
    chroma = (h // 2, w // 2)
    limited, bt601 = ColorRange.LIMITED, ColorMatrix.BT601
    frame = Frame(
        sequence=0,
        pts_ns=None,
        arrival_ns=0,
        is_keyframe=True,
        y=y.reshape(h, w),
        u=u.reshape(chroma),
        v=v.reshape(chroma),
        color_range=limited,
        color_matrix=bt601,
    )
    out = np.empty(card.payload_bytes, np.uint8)
    write_planes(frame, fit(frame.wh, (card.input_w, card.input_h), card.anchor), pad_yuv(card, limited, bt601), out)
    return out.reshape(card.input_h * 3 // 2, card.input_w)
