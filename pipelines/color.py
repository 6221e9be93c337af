"""YUV to RGB as one affine map, so that a folded model can mix cameras of different range and matrix in a batch.

Source of the coefficients: ITU-R BT.601-7 and BT.709-6 (Kr, Kb), 8-bit quantisation of BT.709-6 table 4.
"""

from __future__ import annotations

import numpy as np

from pipelines.values import F32, ColorMatrix, ColorRange, ModelCard

_KR_KB = {ColorMatrix.BT601: (0.299, 0.114), ColorMatrix.BT709: (0.2126, 0.0722)}
HD_LINES = 720
"""Streams that do not say are taken as BT.601 below this height, else BT.709, limited range."""


def resolve(color_range: ColorRange, matrix: ColorMatrix, height_px: int) -> tuple[ColorRange, ColorMatrix]:
    """Fill in what the stream left unspecified. `height_px` is the source's."""
    if matrix is ColorMatrix.UNSPECIFIED:
        matrix = ColorMatrix.BT601 if height_px < HD_LINES else ColorMatrix.BT709
    if color_range is ColorRange.UNSPECIFIED:
        color_range = ColorRange.LIMITED
    return color_range, matrix


def yuv_to_rgb(color_range: ColorRange, matrix: ColorMatrix) -> F32:
    """(3, 4) float32 `m`: RGB(0..255) = m[:, :3] @ (Y, U, V) + m[:, 3]. Arguments must be resolved.

    RGB is not clipped here: out-of-gamut YUV gives values outside 0..255. A folded model clips them, as every byte
    pipeline does.
    """
    kr, kb = _KR_KB[matrix]
    kg = 1.0 - kr - kb
    y_gain, c_gain, y_black = (1.0, 1.0, 0.0) if color_range is ColorRange.FULL else (255 / 219, 255 / 224, 16.0)
    r_v = 2 * (1 - kr) * c_gain
    b_u = 2 * (1 - kb) * c_gain
    g_u = -b_u * kb / kg
    g_v = -r_v * kr / kg
    gains = np.array([[y_gain, 0.0, r_v], [y_gain, g_u, g_v], [y_gain, b_u, 0.0]])
    bias = -gains @ np.array([y_black, 128.0, 128.0])
    return np.concatenate([gains, bias[:, None]], axis=1).astype(np.float32)


def affine(card: ModelCard, color_range: ColorRange, matrix: ColorMatrix) -> F32:
    """The folded model's `color` input: (3, 4) float32 from (Y, U, V) to the model's channel order, scale and offset.

    Range and matrix must be resolved.
    """
    rgb = yuv_to_rgb(color_range, matrix)
    if card.channel_order == "bgr":
        rgb = rgb[::-1]
    out = rgb * np.float32(card.scale)
    out[:, 3] += np.asarray(card.offset, np.float32)
    return np.ascontiguousarray(out / np.asarray(card.std, np.float32)[:, None], dtype=np.float32)
