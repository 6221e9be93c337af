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
from pipelines.transport.layout import VERSION, Buffer
from pipelines.values import F32, Answer, AnswerCode

MAGIC = b"FGAN"
ANSWER_HEADER_BYTES = 64
ROW_VALUES = 6
ROW_BYTES = ROW_VALUES * 4
_CODES = {int(code): code for code in AnswerCode}
_HEADER = struct.Struct("<4sHHQIIQqqqI4x")


class AnswerArea:
    """Where the answer of one slot lies. Made once per attach: what no task changes is worked out here."""

    __slots__ = ("_buffer", "_epoch", "_offset", "_rows", "_slot")

    def __init__(self, buffer: Buffer, offset: int, epoch: int, slot: int, top_k: int) -> None:
        self._buffer, self._offset, self._epoch, self._slot = buffer, offset, epoch, slot
        self._rows: F32 = np.ndarray((top_k, ROW_VALUES), np.float32, buffer, offset + ANSWER_HEADER_BYTES)

    def pack(
        self, generation: int, task: int, code: AnswerCode, rows: F32, times_ns: tuple[int, int, int] = (0, 0, 0)
    ) -> None:
        """Write an answer: the rows, then the header.

        Args:
            times_ns: When the task was taken, started and finished.

        Raises:
            LaneError: the rows are not (k, 6) with k <= top_k.
        """
        if rows.ndim != 2 or rows.shape[1] != ROW_VALUES or len(rows) > len(self._rows):
            raise LaneError(
                f"the rows of task {task} are {rows.shape}; the slot holds up to {len(self._rows)} rows of {ROW_VALUES}"
            )
        self._rows[: len(rows)] = rows
        _HEADER.pack_into(
            self._buffer,
            self._offset,
            MAGIC,
            VERSION,
            code,
            self._epoch,
            self._slot,
            generation,
            task,
            *times_ns,
            len(rows),
        )

    def unpack(self, generation: int, task: int) -> Answer:
        """Read the answer to this task in this use of the slot; its rows are copied out.

        Raises:
            LaneError: it is not that answer, or not an answer at all.
        """
        magic, version, code, epoch, slot, found, answered, taken_ns, started_ns, finished_ns, count = (
            _HEADER.unpack_from(self._buffer, self._offset)
        )
        if (magic, version) != (MAGIC, VERSION):
            raise LaneError(f"slot {self._slot} holds no answer of version {VERSION}: magic {magic!r}, {version}")
        if (epoch, slot, found, answered) != (self._epoch, self._slot, generation, task):
            raise LaneError(
                f"slot {self._slot} holds the answer to task {answered}, slot {slot}, generation {found}, epoch "
                f"{epoch}; expected task {task}, generation {generation}, epoch {self._epoch}"
            )
        if count > len(self._rows):
            raise LaneError(f"slot {self._slot}: an answer of {count} rows, where {len(self._rows)} have room")
        if code not in _CODES:
            raise LaneError(f"slot {self._slot}: an answer of code {code}, which this side does not know")
        return Answer(task, _CODES[code], self._rows[:count].copy(), taken_ns, started_ns, finished_ns)
