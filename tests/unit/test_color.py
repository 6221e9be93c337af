"""YUV to RGB against the standards' own numbers, and the affine a folded model is fed."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.color import affine, resolve, yuv_to_rgb
from pipelines.values import ColorMatrix, ColorRange, ModelCard

LIMITED, FULL = ColorRange.LIMITED, ColorRange.FULL
BT601, BT709 = ColorMatrix.BT601, ColorMatrix.BT709


def convert(m: np.ndarray[tuple[int, ...], np.dtype[np.float32]], yuv: tuple[int, int, int]) -> list[float]:
    return [float(v) for v in m[:, :3] @ np.array(yuv) + m[:, 3]]


@pytest.mark.parametrize("matrix", [BT601, BT709])
def test_black_white_and_grey(matrix: ColorMatrix) -> None:
    limited, full = yuv_to_rgb(LIMITED, matrix), yuv_to_rgb(FULL, matrix)
    assert convert(limited, (16, 128, 128)) == pytest.approx([0, 0, 0], abs=1e-3)
    assert convert(limited, (235, 128, 128)) == pytest.approx([255, 255, 255], abs=1e-3)
    assert convert(full, (77, 128, 128)) == pytest.approx([77, 77, 77], abs=1e-3)


@pytest.mark.parametrize(
    ("color_range", "matrix", "yuv", "rgb"),
    [
        # 100 % bars of BT.601 and BT.709 as 8-bit limited-range code values.
        (LIMITED, BT601, (81, 90, 240), (255, 0, 0)),
        (LIMITED, BT601, (145, 54, 34), (0, 255, 0)),
        (LIMITED, BT601, (41, 240, 110), (0, 0, 255)),
        (LIMITED, BT709, (63, 102, 240), (255, 0, 0)),
        (LIMITED, BT709, (173, 42, 26), (0, 255, 0)),
        (LIMITED, BT709, (32, 240, 118), (0, 0, 255)),
        # JFIF.
        (FULL, BT601, (76, 85, 255), (254, 0, 0)),
    ],
)
def test_primaries(
    color_range: ColorRange, matrix: ColorMatrix, yuv: tuple[int, int, int], rgb: tuple[int, int, int]
) -> None:
    assert convert(yuv_to_rgb(color_range, matrix), yuv) == pytest.approx(rgb, abs=2.0)


def test_affine_applies_order_scale_offset_and_std() -> None:
    card = ModelCard(
        "m", "yolov8", 64, 64, ("a",), channel_order="bgr", scale=1 / 255, offset=(-0.1, -0.2, -0.3), std=(2, 4, 8)
    )
    b, g, r = convert(affine(card, LIMITED, BT601), (81, 90, 240))
    assert (r, g, b) == pytest.approx(((1 - 0.3) / 8, -0.2 / 4, -0.1 / 2), abs=0.01)


def test_unspecified_is_resolved_by_size() -> None:
    unknown = ColorRange.UNSPECIFIED, ColorMatrix.UNSPECIFIED
    assert resolve(*unknown, 576) == (LIMITED, BT601)
    assert resolve(*unknown, 720) == (LIMITED, BT709)
    assert resolve(FULL, BT601, 1080) == (FULL, BT601)
