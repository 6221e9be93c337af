"""An answer comes back as it was written, or is refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipelines.errors import LaneError
from pipelines.transport.answer import ANSWER_HEADER_BYTES, ROW_BYTES, AnswerArea
from pipelines.values import F32, AnswerCode

TOP_K = 5
SIZE = ANSWER_HEADER_BYTES + TOP_K * ROW_BYTES
GENERATION = 2**32 - 1
rows = st.integers(0, TOP_K).flatmap(lambda k: hnp.arrays(np.float32, (k, 6), elements=st.floats(width=32)))
times = st.integers(0, 2**63 - 1)


@settings(deadline=None)
@given(rows, st.sampled_from(AnswerCode), st.integers(0, 2**64 - 1), times, times, times)
def test_any_valid_answer_comes_back(rows: F32, code: AnswerCode, task: int, t0: int, t1: int, t2: int) -> None:
    buffer = bytearray(b"\xaa" * (64 + SIZE + 64))
    area = AnswerArea(buffer, 64, 2**63, 1, TOP_K)
    area.pack(GENERATION, task, code, rows, (t0, t1, t2))
    back = area.unpack(GENERATION, task)
    assert (back.task, back.code, back.taken_ns, back.started_ns, back.finished_ns) == (task, code, t0, t1, t2)
    np.testing.assert_array_equal(back.rows, rows)
    assert buffer[:64] + buffer[64 + SIZE :] == b"\xaa" * 128


def area_in(buffer: bytearray) -> AnswerArea:
    return AnswerArea(buffer, 0, epoch=2**63, slot=1, top_k=TOP_K)


def answered() -> bytearray:
    """One row of ones, for task 1."""
    buffer = bytearray(SIZE)
    area_in(buffer).pack(GENERATION, 1, AnswerCode.OK, np.ones((1, 6), np.float32))
    return buffer


def test_the_rows_are_a_copy() -> None:
    buffer = answered()
    back = area_in(buffer).unpack(GENERATION, 1)
    buffer[:] = bytes(SIZE)
    assert back.rows.tolist() == [[1.0] * 6]


@pytest.mark.parametrize(
    ("offset", "field", "value", "says"),
    [
        (0, "4s", b"NOPE", "no answer"),
        (4, "<H", 9, "no answer of version 1"),
        (6, "<H", 99, "99"),
        (8, "<Q", 5, "epoch 5"),
        (16, "<I", 4, "expected"),
        (20, "<I", 4, "generation 4"),
        (24, "<Q", 2, "task 2"),
        (56, "<I", TOP_K + 1, "6 rows"),
    ],
)
def test_a_wrong_field_is_refused(offset: int, field: str, value: object, says: str) -> None:
    buffer = answered()
    struct.pack_into(field, buffer, offset, value)
    with pytest.raises(LaneError, match=says):
        area_in(buffer).unpack(GENERATION, 1)


@pytest.mark.parametrize("shape", [(TOP_K + 1, 6), (2, 5), (6,)])
def test_rows_without_room_are_not_written(shape: tuple[int, ...]) -> None:
    buffer = bytearray(SIZE + 64)
    with pytest.raises(LaneError, match="holds up to 5 rows"):
        area_in(buffer).pack(GENERATION, 1, AnswerCode.OK, np.ones(shape, np.float32))
    assert buffer == bytes(SIZE + 64)
