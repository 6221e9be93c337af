"""A picture made for one model's input, seen by another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipelines.color import resolve
from pipelines.postprocess.restore import to_source
from pipelines.preprocess.letterbox import fit
from pipelines.preprocess.planes import pad_yuv, write_planes
from pipelines.preprocess.refit import refit
from pipelines.values import U8, ColorMatrix, ColorRange, Frame, ModelCard, SlotHeader
from tests.fakes.lane import CARD, header

BIG = ModelCard("big", "yolox", 128, 96, ("person",), anchor="top_left")
SMALL = ModelCard("small", "yolov8", 64, 64, ("person",))


def square(x: int, y: int, side: int) -> Frame:
    """A white square on black, 200x120."""
    luma = np.full((120, 200), 16, np.uint8)
    luma[y : y + side, x : x + side] = 235
    chroma = np.full((60, 100), 128, np.uint8)
    return Frame(0, 0, 0, True, luma, chroma, chroma, ColorRange.LIMITED, ColorMatrix.BT601)


def published(frame: Frame, card: ModelCard) -> tuple[U8, SlotHeader]:
    where = fit(frame.wh, (card.input_w, card.input_h), card.anchor)
    out = np.empty(card.payload_bytes, np.uint8)
    write_planes(frame, where, pad_yuv(card, *resolve(frame.color_range, frame.color_matrix, 120)), out)
    return out, replace(header(1, card=card), fit=where)


def test_of_the_same_size_nothing_is_copied() -> None:
    payload = np.zeros(CARD.payload_bytes, np.uint8)
    envelope = header(1)
    picture, where = refit(payload, envelope, CARD)
    assert picture is payload
    assert where is envelope.fit


def test_what_is_found_in_the_other_size_lies_where_it_was_in_the_source() -> None:
    payload, envelope = published(square(120, 40, 48), BIG)
    picture, where = refit(payload, envelope, SMALL)
    assert picture.nbytes == SMALL.payload_bytes
    assert (where.source_w, where.source_h, where.input_w, where.input_h) == (200, 120, 64, 64)
    rows, columns = np.nonzero(picture[: 64 * 64].reshape(64, 64) > 180)  # brighter than the padding
    box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    assert np.abs(to_source(box, where) - (120, 40, 168, 88)).max() < 4
