"""The answer area of a slot: a 64-byte header and top_k rows. Pure.

Little-endian:

| offset | bytes | type | field |
|-------:|------:|------|-------|
|  0 |  4 | bytes | magic `FGAN` |
|  4 |  2 | u16   | version (layout.VERSION) |
|  6 |  2 | u16   | code (values.AnswerCode) |
|  8 |  8 | u64   | epoch |
| 16 |  4 | u32   | slot |
| 20 |  4 | u32   | generation |
| 24 |  8 | u64   | task |
| 32 |  8 | i64   | taken, monotonic ns |
| 40 |  8 | i64   | started, monotonic ns |
| 48 |  8 | i64   | finished, monotonic ns |
| 56 |  4 | u32   | rows in use |
| 60 |  4 |       | 0 |
| 64 | 24 each | float32[6] | rows: x0 y0 x1 y1 score class (values.Answer) |
"""

from __future__ import annotations

import struct

import numpy as np

from pipelines.errors import LaneError
from pipelines.transport.layout import VERSION, Buffer, Stamp
from pipelines.values import F32, Answer, AnswerCode

MAGIC = b"FGAN"
ANSWER_HEADER_BYTES = 64
ROW_VALUES = 6
ROW_BYTES = ROW_VALUES * 4
_CODES = {int(code): code for code in AnswerCode}
_HEADER = struct.Struct("<4sHHQIIQqqqI4x")


def pack_answer(buffer: Buffer, offset: int, stamp: Stamp, answer: Answer, top_k: int) -> None:
    """Write an answer at `offset`: the rows, then the header.

    Raises:
        LaneError: the rows are not (k, 6) with k <= top_k.
    """
    rows = answer.rows
    if rows.ndim != 2 or rows.shape[1] != ROW_VALUES or len(rows) > top_k:
        raise LaneError(f"the rows of task {answer.task} are {rows.shape}; the slot holds up to {top_k} rows of 6")
    np.ndarray(rows.shape, np.float32, buffer, offset + ANSWER_HEADER_BYTES)[:] = rows
    _HEADER.pack_into(
        buffer,
        offset,
        MAGIC,
        VERSION,
        answer.code,
        stamp.epoch,
        stamp.slot,
        stamp.generation,
        answer.task,
        answer.taken_ns,
        answer.started_ns,
        answer.finished_ns,
        len(rows),
    )


def unpack_answer(buffer: Buffer, offset: int, expected: Stamp, task: int, top_k: int) -> Answer:
    """Read the answer at `offset`; its rows are copied out.

    Raises:
        LaneError: it is not the answer to this task in this use of the slot, or not an answer at all.
    """
    magic, version, code, epoch, slot, generation, answered, taken, started, finished, count = _HEADER.unpack_from(
        buffer, offset
    )
    if (magic, version) != (MAGIC, VERSION):
        raise LaneError(f"slot {expected.slot} holds no answer of version {VERSION}: magic {magic!r}, {version}")
    if (epoch, slot, generation, answered) != (expected.epoch, expected.slot, expected.generation, task):
        raise LaneError(
            f"slot {expected.slot} holds the answer to task {answered}, generation {generation}, epoch {epoch}; "
            f"expected task {task}, generation {expected.generation}, epoch {expected.epoch}"
        )
    if count > top_k:
        raise LaneError(f"slot {slot}: an answer of {count} rows, where {top_k} have room")
    rows: F32 = np.ndarray((count, ROW_VALUES), np.float32, buffer, offset + ANSWER_HEADER_BYTES).copy()
    if code not in _CODES:
        raise LaneError(f"slot {slot}: an answer of code {code}, which this side does not know")
    return Answer(task, _CODES[code], rows, taken, started, finished)
