"""The worker's end of a lane, the same for every carrier: announced slots in, answers out."""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipelines.contracts import Taken
from pipelines.errors import LaneError
from pipelines.transport.writer import LaneMemory
from pipelines.values import F32, U8, AnswerCode, ModelCard

NO_ROWS: F32 = np.empty((0, 6), np.float32)


@dataclass(frozen=True, slots=True)
class ReaderStatistics:
    """Counters of the worker's end of one lane. announced == answered + dropped + pending + in_hand."""

    announced: int
    answered: int
    dropped: int
    """Not answered: the lane ended first."""
    pending: int
    """Announced, not yet taken."""
    in_hand: int
    """Taken, not yet answered."""
    refused_answers: int
    """Answers to slots that are not in hand: given twice, or after the lane's end."""
    checksum_failures: int


class LaneReader:
    """A SlotReader for one epoch. One thread: the worker's event loop.

    Bound: as many announcements as slots; more is a broken peer, and ends the lane. After the end `take` returns None,
    `answer` drops (counted), and payloads already taken stay readable until the worker lets go of them.
    """

    def __init__(
        self, memory: LaneMemory, card: ModelCard, announce: Callable[[int, int], None], name: str = "lane"
    ) -> None:
        """`announce(slot, generation)` tells the writer that an answer lies ready; it may close this reader."""
        self.name = name
        self.card = card
        """The model this lane was attached for: its payloads fit that one, even when a newer one is loaded."""
        self.on_end: Callable[[], object] = lambda: None
        """For the carrier: called once, when the lane ends."""
        self._memory: LaneMemory | None = memory
        self._areas = memory.areas()
        self._slots, self._epoch = memory.layout.slots, memory.epoch
        self._announce = announce
        self._pending: deque[tuple[int, int]] = deque()
        self._held: dict[int, int] = {}
        """slot -> generation, announced and not yet answered."""
        self._end_reason: str | None = None
        self._announced = self._answered = self._dropped = self._refused = self._checksum_failures = 0

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def region(self) -> U8 | None:
        """(n,) all payloads and headers, read-only; None: not in main memory, or the lane has ended."""
        return None if self._memory is None else self._memory.region

    @property
    def held(self) -> int:
        """Slots announced and not yet answered."""
        return len(self._held)

    @property
    def end_reason(self) -> str | None:
        """Why the lane ended, None while it lives."""
        return self._end_reason

    def take(self) -> Taken | None:
        """See SlotReader. A payload whose checksum is wrong is answered CHECKSUM here, and the next one taken."""
        while self._pending and self._memory is not None:
            index, generation = self._pending.popleft()
            area = self._areas[index]
            try:
                header, checksum = area.header.unpack(generation)
            except LaneError as error:
                self.end(str(error))
                return None
            payload = area.payload[: header.payload_bytes]
            taken = Taken(index, generation, header, payload, time.monotonic_ns())
            if checksum is None or checksum == zlib.crc32(payload.data):
                return taken
            self._checksum_failures += 1
            self.answer(taken, AnswerCode.CHECKSUM, NO_ROWS, 0, 0)
        return None

    def answer(self, taken: Taken, code: AnswerCode, rows: F32, started_ns: int, finished_ns: int) -> None:
        """See SlotReader. Refused and counted if the slot is not in hand (answered before, or the lane has ended).

        Raises:
            LaneError: rows that have no room in the slot, a bug of the engine.
        """
        index, generation = taken.index, taken.generation
        if self._memory is None or self._held.get(index) != generation:
            self._refused += 1
            return
        times_ns = (taken.taken_ns, started_ns, finished_ns)
        self._areas[index].answer.pack(generation, taken.header.task, code, rows, times_ns)
        del self._held[index]
        self._answered += 1
        self._announce(index, generation)

    def statistics(self) -> ReaderStatistics:
        return ReaderStatistics(
            announced=self._announced,
            answered=self._answered,
            dropped=self._dropped,
            pending=len(self._pending),
            in_hand=len(self._held) - len(self._pending),
            refused_answers=self._refused,
            checksum_failures=self._checksum_failures,
        )

    # --- for the carrier ---

    def announced(self, index: int, generation: int) -> None:
        """A doorbell rang.

        Raises:
            LaneError: for a slot that does not exist or is not free: the peer is broken.
        """
        if not 0 <= index < self._slots or index in self._held:
            raise LaneError(f"the peer announced slot {index}, which it does not hold")
        self._held[index] = generation
        self._pending.append((index, generation))
        self._announced += 1

    def end(self, reason: str) -> None:
        """The lane is over. Any number of times; the first reason stays."""
        if self._end_reason is not None:
            return
        self._end_reason = reason
        self._dropped += len(self._held)
        self._held.clear()
        self._pending.clear()
        # As in the writer: the mapping goes with the last payload that the worker still holds.
        self._memory = None
        self._areas = []
        self.on_end()
