"""Geometry: what fits, what is even, and that the inverse is one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.postprocess.restore import to_source
from pipelines.preprocess.letterbox import fit
from pipelines.values import Letterbox

SIDE = st.integers(1, 8192)
INPUT = st.integers(1, 1024).map(lambda half: 2 * half)
ANCHOR = st.sampled_from(["center", "top_left"])


def test_1080p_into_416x256() -> None:
    assert fit((1920, 1080), (416, 256), "center") == Letterbox(1920, 1080, 416, 256, 0, 10, 416, 234)


def test_the_top_left_anchor_pads_right_and_below() -> None:
    assert fit((1080, 1920), (640, 640), "top_left") == Letterbox(1080, 1920, 640, 640, 0, 0, 360, 640)


def test_offsets_are_even_where_the_middle_is_not() -> None:
    box = fit((100, 98), (100, 100))

    assert (box.content_h, box.content_y) == (98, 0)


def test_a_small_source_grows_to_the_input_and_not_beyond() -> None:
    assert fit((160, 120), (640, 384)) == Letterbox(160, 120, 640, 384, 64, 0, 512, 384)


@given(SIDE, SIDE, INPUT, INPUT, ANCHOR)
def test_content_is_even_inside_and_as_large_as_it_can_be(w: int, h: int, iw: int, ih: int, anchor: str) -> None:
    box = fit((w, h), (iw, ih), anchor)

    assert all(v % 2 == 0 for v in (box.content_x, box.content_y, box.content_w, box.content_h))
    assert 2 <= box.content_w <= iw
    assert 2 <= box.content_h <= ih
    assert 0 <= box.content_x <= iw - box.content_w
    assert 0 <= box.content_y <= ih - box.content_h
    assert box.content_w == iw or box.content_h == ih
    scale = min(iw / w, ih / h)
    assert abs(box.content_w - max(w * scale, 2)) <= 1 + 1e-6
    assert abs(box.content_h - max(h * scale, 2)) <= 1 + 1e-6


@given(SIDE, SIDE, INPUT, INPUT, ANCHOR, st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4))
def test_restoring_inverts_the_letterbox(w: int, h: int, iw: int, ih: int, anchor: str, corners: list[float]) -> None:
    """A box drawn in the source, carried into the input by the content's own scale, comes back where it was."""
    box = fit((w, h), (iw, ih), anchor)
    share = np.array([corners], np.float64)
    source = share * [w, h, w, h]
    carried = share * ([box.content_w, box.content_h] * 2) + ([box.content_x, box.content_y] * 2)

    back = to_source(carried.astype(np.float32), box)

    one_float32_step = np.spacing(np.float32(max(iw, ih)))
    tolerance = np.array([w / box.content_w, h / box.content_h] * 2) * one_float32_step + np.spacing(np.float32(8192))
    assert (np.abs(back - source) <= tolerance).all()


@pytest.mark.parametrize(
    ("source", "target", "anchor", "message"),
    [
        ((0, 1080), (416, 256), "center", "source size 0x1080"),
        ((1920, 1080), (415, 256), "center", "input size 415x256"),
        ((1920, 1080), (416, 0), "center", "input size 416x0"),
        ((1920, 1080), (416, 256), "middle", "anchor 'middle'"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    source: tuple[int, int], target: tuple[int, int], anchor: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(source, target, anchor)
