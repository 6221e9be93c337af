"""The DPU's end of a lane, the same for every carrier: a ring over two memory regions, and a doorbell to ring."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pipelines.contracts import Slot
from pipelines.transport.answer import AnswerArea
from pipelines.transport.layout import HeaderArea
from pipelines.transport.region import RegionLayout
from pipelines.transport.ring import Ring, RingStatistics
from pipelines.values import FAILED_CODES, U8, Answer, ModelCard, Priority, SlotHeader

Doorbell = Callable[[int, int], bool]
"""(slot, generation) -> rung? Never blocks. False: no room for the notice, or the peer is gone."""


@dataclass(frozen=True, slots=True)
class SlotArea:
    """One slot's three places in the two regions."""

    header: HeaderArea
    payload: U8
    """(payload_bytes,), writable where the region is."""
    answer: AnswerArea


@dataclass(frozen=True, slots=True)
class LaneMemory:
    """The two regions of one epoch as this side maps them. They live as long as somebody holds a view of them."""

    layout: RegionLayout
    epoch: int
    payload: memoryview
    """layout.payload_region_bytes: headers and payloads."""
    answers: memoryview
    """layout.answer_region_bytes."""

    @property
    def region(self) -> U8 | None:
        """(n,) the whole payload region; None where payloads are not in main memory."""
        return np.frombuffer(self.payload, np.uint8)

    def payload_view(self, slot: int) -> U8:
        """(payload_bytes,) uint8, writable where the region is."""
        return np.frombuffer(self.payload, np.uint8, self.layout.payload_bytes, self.layout.payload_offset(slot))

    def areas(self) -> list[SlotArea]:
        """Of every slot."""
        return [self._area(slot) for slot in range(self.layout.slots)]

    def _area(self, slot: int) -> SlotArea:
        layout, epoch = self.layout, self.epoch
        return SlotArea(
            HeaderArea(self.payload, layout.header_offset(slot), epoch, slot, layout.payload_bytes),
            self.payload_view(slot),
            AnswerArea(self.answers, layout.answer_offset(slot), epoch, slot, layout.top_k),
        )


class LaneWriter:
    """A SlotWriter for one epoch. Pump threads loan, publish and discard; the loop thread answers and closes.

    One lock guards the slot table; under it stands at most the doorbell, a non-blocking system call. Payloads are
    written, checksummed and headers packed outside it.

    When the peer is lost the memory is let go with the last loan, so that no pump ever writes into an unmapped page.
    """

    def __init__(self, memory: LaneMemory, card: ModelCard, ring: Ring, doorbell: Doorbell, checksum: bool) -> None:
        self._areas = memory.areas()
        self._epoch = memory.epoch
        self._card = card
        self._ring = ring
        self._doorbell = doorbell
        self._checksum = checksum
        self._lock = threading.Lock()
        self._lost = False

    @property
    def card(self) -> ModelCard:
        return self._card

    @property
    def epoch(self) -> int:
        """Of this attach; no two attaches share one."""
        return self._epoch

    @property
    def used(self) -> int:
        """Slots that are not free."""
        with self._lock:
            return self._ring.used

    def loan(self, priority: Priority) -> Slot | None:
        """See SlotWriter. Also None once the lane is closed or lost."""
        with self._lock:
            index = self._ring.loan(priority)
            return None if index is None else Slot(index, self._ring.generation(index), self._areas[index].payload)

    def publish(self, slot: Slot, header: SlotHeader) -> bool:
        """See SlotWriter.

        Raises:
            LaneError: the slot is not the caller's, or the header cannot be packed (then the slot still is).
        """
        index, generation = slot.index, slot.generation
        with self._lock:
            self._ring.check_loaned(index, generation)
            area = self._areas[index]
        checksum = zlib.crc32(slot.payload[: header.payload_bytes].data) if self._checksum else None
        area.header.pack(generation, header, time.monotonic_ns(), checksum)
        with self._lock:
            # Under the lock, so that the answer cannot overtake the entry in the table.
            if not self._lost and self._doorbell(index, generation):
                self._ring.publish(index, generation, header.task)
                return True
            self._ring.roll_back(index, generation)
            self._let_go_when_idle()
            return False

    def discard(self, slot: Slot) -> None:
        """See SlotWriter. Raises LaneError if the slot is not the caller's."""
        with self._lock:
            self._ring.discard(slot.index, slot.generation)
            self._let_go_when_idle()

    def statistics(self) -> RingStatistics:
        with self._lock:
            return self._ring.statistics()

    # --- for the carrier, in the loop thread ---

    def answered(self, index: int, generation: int) -> Answer | None:
        """An answer was announced: copy it out and free the slot. None if it was stale (counted).

        Raises:
            LaneError: the answer area does not hold it; the peer cannot be trusted and the lane should be given up.
        """
        with self._lock:
            task = self._ring.answer(index, generation)
        if task is None:
            return None
        area = self._areas[index]
        answer = area.answer.unpack(generation, task)
        if answer.code in FAILED_CODES:
            answer = replace(answer, payload=area.payload.copy())  # somebody else may answer, without the slot
        with self._lock:
            self._ring.release(index)
        return answer

    def close(self) -> None:
        """Lend no more; what is loaned or in flight goes on."""
        with self._lock:
            self._ring.close()

    def lose(self) -> tuple[int, ...]:
        """The peer is gone: the tasks that will never be answered. From here on publish returns False."""
        with self._lock:
            self._lost = True
            tasks = self._ring.lose()
            self._let_go_when_idle()
            return tasks

    def _let_go_when_idle(self) -> None:
        if self._lost and self._ring.loaned_now == 0:
            # The mapping goes with the last view of it: closing it here would fail (BufferError) while a pump still
            # has a variable that points into it.
            self._areas = []
