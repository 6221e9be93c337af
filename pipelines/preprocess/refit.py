"""From one model's network input to another's: for a model that answers in another's place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipelines.preprocess.letterbox import fit as letterbox
from pipelines.preprocess.planes import pad_yuv, write_planes
from pipelines.values import U8, Frame, Letterbox, ModelCard, SlotHeader


def refit(payload: U8, header: SlotHeader, card: ModelCard) -> tuple[U8, Letterbox]:
    """The picture for `card`'s input, and where the source lies in it.

    Of the same size it is the payload itself, not a copy: where the letterbox stands and what is beside it may differ
    from what the card asks for, and the Letterbox says so. Otherwise the content is resized once more.

    Args:
        payload: (payload_bytes,) uint8, I420 of `header.fit`'s input size.
        header: Range and matrix are resolved.
    """
    old = header.fit
    if (old.input_w, old.input_h) == (card.input_w, card.input_h):
        return payload, old
    frame = _content(payload, header)
    new = letterbox(frame.wh, (card.input_w, card.input_h), card.anchor)
    out = np.empty(card.payload_bytes, np.uint8)
    write_planes(frame, new, pad_yuv(card, header.color_range, header.color_matrix), out)
    return out, replace(new, source_w=old.source_w, source_h=old.source_h)


def _content(payload: U8, header: SlotHeader) -> Frame:
    """The source's part of a letterboxed picture; views."""
    fit = header.fit
    w, h, luma = fit.input_w, fit.input_h, fit.input_w * fit.input_h
    x, y, cw, ch = fit.content_x, fit.content_y, fit.content_w, fit.content_h
    half = (slice(y // 2, (y + ch) // 2), slice(x // 2, (x + cw) // 2))
    return Frame(
        sequence=0,
        pts_ns=None,
        arrival_ns=header.arrival_ns,
        is_keyframe=False,
        y=payload[:luma].reshape(h, w)[y : y + ch, x : x + cw],
        u=payload[luma : luma * 5 // 4].reshape(h // 2, w // 2)[half],
        v=payload[luma * 5 // 4 : luma * 3 // 2].reshape(h // 2, w // 2)[half],
        color_range=header.color_range,
        color_matrix=header.color_matrix,
    )
