"""Planes land in the slot itself, in the right place and colour, and nothing of the slot's last picture stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipelines.color import yuv_to_rgb
from pipelines.preprocess.letterbox import fit
from pipelines.preprocess.planes import pad_yuv, write_planes
from pipelines.values import U8, ColorMatrix, ColorRange, Frame, ModelCard

PAD = (114, 127, 129)


def frame_of(y: U8, u: U8, v: U8) -> Frame:
    return Frame(0, 0, 0, True, y, u, v, ColorRange.LIMITED, ColorMatrix.BT709)


def ramps(w: int, h: int, stride: int = 0) -> Frame:
    """Y grows to the right, U downward, V is 200; rows `stride` bytes longer than the picture."""
    cw, ch = (w + 1) // 2, (h + 1) // 2
    y = np.empty((h, w + stride), np.uint8)
    u, v = np.empty((ch, cw + stride), np.uint8), np.full((ch, cw + stride), 200, np.uint8)
    y[:], u[:] = 255, 255
    y[:, :w] = np.linspace(20, 220, w)
    u[:, :cw] = np.linspace(30, 230, ch)[:, None]
    return frame_of(y[:, :w], u[:, :cw], v[:, :cw])


def written(frame: Frame, input_wh: tuple[int, int], anchor: str = "center") -> tuple[U8, U8, U8]:
    """The three planes of a slot that held another picture before."""
    w, h = input_wh
    slot = np.full(w * h * 3 // 2, 77, np.uint8)
    write_planes(frame, fit(frame.wh, input_wh, anchor), PAD, slot)
    luma, quarter = w * h, w * h // 4
    chroma = (h // 2, w // 2)
    return (
        slot[:luma].reshape(h, w),
        slot[luma : luma + quarter].reshape(chroma),
        slot[luma + quarter :].reshape(chroma),
    )


@pytest.mark.parametrize("anchor", ["center", "top_left"])
@pytest.mark.parametrize("source", [(1920, 1080), (1080, 1920), (321, 241), (416, 256), (64, 48), (4000, 20), (1, 1)])
def test_every_byte_is_content_or_padding(source: tuple[int, int], anchor: str) -> None:
    frame = frame_of(
        np.full(source[::-1], 50, np.uint8),
        np.full(((source[1] + 1) // 2, (source[0] + 1) // 2), 60, np.uint8),
        np.full(((source[1] + 1) // 2, (source[0] + 1) // 2), 70, np.uint8),
    )

    planes = written(frame, (416, 256), anchor)

    box = fit(source, (416, 256), anchor)
    for plane, content, pad, step in zip(planes, (50, 60, 70), PAD, (1, 2, 2), strict=True):
        wanted = np.full(plane.shape, pad, np.uint8)
        x, y, w, h = (v // step for v in (box.content_x, box.content_y, box.content_w, box.content_h))
        wanted[y : y + h, x : x + w] = content
        assert np.array_equal(plane, wanted)


@pytest.mark.parametrize("source", [(1920, 1080), (1279, 719), (768, 432), (320, 180)])
def test_the_picture_keeps_its_place(source: tuple[int, int]) -> None:
    """A ramp stays the same ramp to within a level: no shift, no flip, no mixed-up planes."""
    y, u, v = written(ramps(*source), (416, 234 // 2 * 2))

    assert np.abs(y.mean(axis=0) - np.linspace(20, 220, 416)).max() < 1.5
    assert np.abs(u.mean(axis=1) - np.linspace(30, 230, 117)).max() < 2.5
    assert (v == 200).all()


@pytest.mark.parametrize("source", [(1920, 1080), (641, 361)])
def test_rows_may_be_strided(source: tuple[int, int]) -> None:
    plain, strided = written(ramps(*source), (416, 256)), written(ramps(*source, stride=64), (416, 256))

    assert all(np.array_equal(a, b) for a, b in zip(plain, strided, strict=True))


def test_shrinking_averages_the_noise_away() -> None:
    """Bilinear alone reads 2x2 pixels of each 4.6x4.6; with the means before it, half of them count."""
    rng = np.random.default_rng(0)
    noisy = np.clip(rng.normal(128, 20, (1080, 1920)), 0, 255).astype(np.uint8)
    frame = frame_of(noisy, noisy[::2, ::2].copy(), noisy[::2, ::2].copy())

    y, _, _ = written(frame, (416, 234))

    assert y.std() < 0.6 * cv2.resize(noisy, (416, 234)).std()


def test_a_slot_of_the_wrong_size_is_refused() -> None:
    frame = ramps(640, 360)

    with pytest.raises(ValueError, match="reshape"):
        write_planes(frame, fit(frame.wh, (416, 256)), PAD, np.zeros(416 * 256, np.uint8))


@pytest.mark.parametrize("color_range", [ColorRange.LIMITED, ColorRange.FULL])
@pytest.mark.parametrize("matrix", [ColorMatrix.BT601, ColorMatrix.BT709])
@pytest.mark.parametrize("rgb", [(114, 114, 114), (0, 0, 0), (255, 255, 255), (200, 40, 90)])
def test_the_padding_is_the_colour_of_the_card(
    color_range: ColorRange, matrix: ColorMatrix, rgb: tuple[int, int, int]
) -> None:
    card = ModelCard("m", "yolov8", 416, 256, ("a",), pad_rgb=rgb)

    y, u, v = pad_yuv(card, color_range, matrix)

    m = yuv_to_rgb(color_range, matrix)
    assert np.abs(m[:, :3] @ [y, u, v] + m[:, 3] - rgb).max() < 2.1


def test_grey_padding_in_limited_range() -> None:
    """114 * 219 / 255 + 16 = 113.9, by hand."""
    card = ModelCard("m", "yolov8", 416, 256, ("a",))

    assert pad_yuv(card, ColorRange.LIMITED, ColorMatrix.BT709) == (114, 128, 128)
    assert pad_yuv(card, ColorRange.FULL, ColorMatrix.BT709) == (114, 128, 128)
