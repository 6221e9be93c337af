"""Pictures for people: colours are those of the scene, whatever the stream's range and matrix."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipelines.event.picture import annotate, fitted, jpeg, to_bgr
from pipelines.values import U8, ColorMatrix, ColorRange
from tests.unit.event.build import alert, flat_frame

LIMITED, FULL, UNKNOWN = ColorRange.LIMITED, ColorRange.FULL, ColorRange.UNSPECIFIED
BT601, BT709, UNTAGGED = ColorMatrix.BT601, ColorMatrix.BT709, ColorMatrix.UNSPECIFIED
RED, GREEN, BLUE, WHITE, BLACK, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255,) * 3, (0,) * 3, (128,) * 3


def decoded(picture: bytes) -> U8:
    out = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert out is not None
    return np.asarray(out, np.uint8)


@pytest.mark.parametrize(
    ("yuv", "color_range", "matrix", "rgb"),
    [
        # Published code values of the primaries: BT.601, BT.709 (limited), JFIF (full).
        ((81, 90, 240), LIMITED, BT601, RED),
        ((145, 54, 34), LIMITED, BT601, GREEN),
        ((41, 240, 110), LIMITED, BT601, BLUE),
        ((63, 102, 240), LIMITED, BT709, RED),
        ((173, 42, 26), LIMITED, BT709, GREEN),
        ((32, 240, 118), LIMITED, BT709, BLUE),
        ((76, 85, 255), FULL, BT601, RED),
        ((150, 44, 21), FULL, BT601, GREEN),
        ((29, 255, 107), FULL, BT601, BLUE),
        ((54, 99, 255), FULL, BT709, RED),
        ((235, 128, 128), LIMITED, BT709, WHITE),
        ((16, 128, 128), LIMITED, BT601, BLACK),
        ((255, 128, 128), FULL, BT709, WHITE),
        ((128, 128, 128), FULL, BT601, GREY),
        # Untagged and small: BT.601, limited.
        ((81, 90, 240), UNKNOWN, UNTAGGED, RED),
        ((235, 128, 128), UNKNOWN, UNTAGGED, WHITE),
    ],
)
def test_colours(
    yuv: tuple[int, int, int], color_range: ColorRange, matrix: ColorMatrix, rgb: tuple[int, int, int]
) -> None:
    bgr = to_bgr(flat_frame(yuv, (64, 48), color_range, matrix), 640)

    assert bgr.shape == (48, 64, 3)
    assert np.abs(bgr[20, 30].astype(int) - rgb[::-1]).max() <= 3
    assert np.abs(decoded(jpeg(bgr, 90))[20, 30].astype(int) - rgb[::-1]).max() <= 8


def test_an_untagged_stream_of_720_lines_is_bt709() -> None:
    bgr = to_bgr(flat_frame((63, 102, 240), (1280, 720), UNKNOWN, UNTAGGED), 320)

    assert np.abs(bgr[90, 160].astype(int) - RED[::-1]).max() <= 3


def test_shrunk_to_the_asked_width_and_never_enlarged() -> None:
    assert fitted((1920, 1080), 640) == (640, 360)
    assert fitted((352, 288), 640) == (352, 288)
    assert fitted((5000, 2), 100) == (100, 1)


def test_odd_sizes_and_strided_planes() -> None:
    frame = flat_frame((81, 90, 240), (101, 57), LIMITED, BT601, stride=128)

    assert to_bgr(frame, 640).shape == (57, 101, 3)
    assert to_bgr(frame, 51).shape == (29, 51, 3)


def test_chroma_lands_where_luma_is() -> None:
    """The left half is red, the right half is blue: after shrinking the border is still in the middle."""
    frame = flat_frame((81, 90, 240), (640, 360), LIMITED, BT601)
    frame.y[:, 320:], frame.u[:, 160:], frame.v[:, 160:] = 41, 240, 110

    row = to_bgr(frame, 320)[90].astype(int)

    assert np.abs(row[150] - RED[::-1]).max() <= 3
    assert np.abs(row[170] - BLUE[::-1]).max() <= 3


def test_boxes_are_drawn_at_the_pictures_scale() -> None:
    bgr = np.zeros((180, 320, 3), np.uint8)

    annotate(bgr, alert(boxes=((600.0, 420.0, 1200.0, 840.0),)))

    drawn = bgr.max(axis=2) > 0
    assert drawn[140, 100:201].all()
    assert drawn[70:141, 100].all()
    assert drawn[70:141, 200].all()
    assert not drawn[75:138, 105:198].any()
    assert drawn[50:69, 100:150].any(), "the label stands above the box"
    assert not drawn[145:].any()


@pytest.mark.parametrize("box", [(-50.0, -50.0, 30.0, 30.0), (1900.0, 1000.0, 2500.0, 1300.0), (5.0, 5.0, 5.0, 5.0)])
def test_boxes_at_and_over_the_edge(box: tuple[float, float, float, float]) -> None:
    bgr = np.zeros((180, 320, 3), np.uint8)

    annotate(bgr, alert(boxes=(box,)))

    assert bgr.any()


def test_a_class_keeps_its_colour() -> None:
    first, second = np.zeros((2, 180, 320, 3), np.uint8)
    annotate(first, alert())
    annotate(second, alert(scores=(0.5,)))

    box_only = (slice(30, 36), slice(2, 20))
    assert first.any()
    assert (first[box_only] == second[box_only]).all()


def test_what_cannot_be_a_jpeg() -> None:
    with pytest.raises(ValueError, match="cannot compress"):
        jpeg(np.zeros((0, 0, 3), np.uint8), 80)
