"""Where a source picture sits in the network input: pure geometry."""

from __future__ import annotations

from pipelines.values import Letterbox


def fit(source_wh: tuple[int, int], input_wh: tuple[int, int], anchor: str = "center") -> Letterbox:
    """The largest content of the source's ratio inside the input.

    Content sizes and offsets are even, so that each chroma sample belongs to the content or to the padding. The
    rounding makes horizontal and vertical scale differ a little; both follow from the integers of the result.

    Args:
        source_wh: Source pixels, each at least 1; odd sizes are fine.
        input_wh: Network-input pixels, even, each at least 2.
        anchor: "center" or "top_left": where the content stands.

    Raises:
        ValueError: a size or the anchor is not one of these.
    """
    (source_w, source_h), (input_w, input_h) = source_wh, input_wh
    if source_w < 1 or source_h < 1:
        raise ValueError(f"source size {source_w}x{source_h}: both must be at least 1")
    if input_w < 2 or input_h < 2 or input_w % 2 or input_h % 2:
        raise ValueError(f"input size {input_w}x{input_h}: both must be even and at least 2")
    if anchor not in ("center", "top_left"):
        raise ValueError(f"anchor {anchor!r}: must be 'center' or 'top_left'")
    scale = min(input_w / source_w, input_h / source_h)
    content_w = _even(source_w * scale, input_w)
    content_h = _even(source_h * scale, input_h)
    centered = anchor == "center"
    return Letterbox(
        source_w=source_w,
        source_h=source_h,
        input_w=input_w,
        input_h=input_h,
        content_x=(input_w - content_w) // 4 * 2 if centered else 0,
        content_y=(input_h - content_h) // 4 * 2 if centered else 0,
        content_w=content_w,
        content_h=content_h,
    )


def _even(size: float, limit: int) -> int:
    """The nearest even number in 2..limit."""
    return min(max(2 * round(size / 2), 2), limit)
