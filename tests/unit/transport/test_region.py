"""Nothing in a lane's memory overlaps."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.transport.answer import ANSWER_HEADER_BYTES, ROW_BYTES
from pipelines.transport.layout import HEADER_BYTES
from pipelines.transport.region import ALIGN_BYTES, LINE_BYTES, RegionLayout

layouts = st.builds(RegionLayout, st.integers(1, 300), st.integers(1, 5_000_000), st.integers(0, 400))


@settings(deadline=None)
@given(layouts)
def test_pieces_do_not_overlap_and_fit(layout: RegionLayout) -> None:
    slots = range(layout.slots)
    pieces = [(layout.header_offset(s), HEADER_BYTES) for s in slots]
    pieces += [(layout.payload_offset(s), layout.payload_bytes) for s in slots]
    assert_disjoint(pieces, layout.payload_region_bytes)
    area = ANSWER_HEADER_BYTES + layout.top_k * ROW_BYTES
    assert_disjoint([(layout.answer_offset(s), area) for s in slots], layout.answer_region_bytes)
    assert all(layout.payload_offset(s) % ALIGN_BYTES == 0 for s in slots)
    assert all(layout.answer_offset(s) % LINE_BYTES == 0 for s in slots)


def assert_disjoint(pieces: list[tuple[int, int]], total: int) -> None:
    end = 0
    for offset, size in sorted(pieces):
        assert offset >= end
        end = offset + size
    assert end <= total
