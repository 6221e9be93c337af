"""Strategies and examples of the values that a lane carries."""

from __future__ import annotations

from hypothesis import strategies as st

from pipelines.values import ColorMatrix, ColorRange, Letterbox, ModelCard, PixelFormat, Priority, SlotHeader

CARD = ModelCard(name="tiny", family="yolox", input_w=16, input_h=8, classes=("person", "car"), top_k=4)

_u32 = st.integers(0, 2**32 - 1)
_i64 = st.integers(-(2**63), 2**63 - 1)
_u64 = st.integers(0, 2**64 - 1)


def names(least: int, most: int) -> st.SearchStrategy[str]:
    """Any text without NUL that is least..most bytes of UTF-8."""
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=most)
    return text.filter(lambda name: least <= len(name.encode()) <= most)


headers = st.builds(
    SlotHeader,
    task=_u64,
    camera=names(1, 48),
    model=names(0, 32),
    arrival_ns=_i64,
    deadline_ns=_i64,
    priority=st.sampled_from(Priority),
    fit=st.builds(Letterbox, *[_u32] * 8),
    color_range=st.sampled_from(ColorRange),
    color_matrix=st.sampled_from(ColorMatrix),
    payload_bytes=_u64,
    pixel_format=st.sampled_from(PixelFormat),
    dtype=st.sampled_from(["uint8", "float16", "float32", "int64", "bool"]),
    shape=st.lists(_u32, max_size=6).map(tuple),
    flags=st.integers(0, 2**16 - 1),
)


def header(task: int, camera: str = "gate-7", priority: Priority = Priority.NORMAL, size: int = 192) -> SlotHeader:
    """A plain header for a picture of CARD's size, with a deadline that no test meets."""
    return SlotHeader(
        task=task,
        camera=camera,
        model=CARD.name,
        arrival_ns=1_000 + task,
        deadline_ns=(1 << 62) + task,
        priority=priority,
        fit=Letterbox(1920, 1080, 16, 8, 0, 0, 14, 8),
        color_range=ColorRange.LIMITED,
        color_matrix=ColorMatrix.BT709,
        payload_bytes=size,
    )
