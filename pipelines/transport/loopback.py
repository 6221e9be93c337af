"""A lane inside one process: the same writer, reader and bytes as shm, with a queue for a doorbell."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable

from pipelines.contracts import LaneEvents, Taken
from pipelines.transport.options import LaneOptions
from pipelines.transport.reader import LaneReader
from pipelines.transport.region import RegionLayout
from pipelines.transport.ring import Ring
from pipelines.transport.writer import LaneMemory, LaneWriter
from pipelines.values import ModelCard

_epochs = itertools.count(1)


class _LoopbackReader(LaneReader):
    """Doorbells wait in a queue until the reader's thread takes: pumps never touch the reader's tables.

    Bound of the queue: the slots, as the writer's ring sees to it.
    """

    def __init__(self, memory: LaneMemory, card: ModelCard, announce: Callable[[int, int], None]) -> None:
        super().__init__(memory, card, announce, f"loopback-{memory.epoch}")
        self.bells: deque[tuple[int, int]] = deque()

    def take(self) -> Taken | None:
        while self.bells:
            self.announced(*self.bells.popleft())
        return super().take()


class Loopback:
    """Both ends of one lane. Writer: any threads. Reader, `attach` and `end`: one thread, where events arrive too.

    `readable` is called by the publishing thread after each publish; hand it something thread-safe.
    """

    def __init__(
        self,
        card: ModelCard,
        options: LaneOptions,
        events: LaneEvents,
        readable: Callable[[], None] = lambda: None,
    ) -> None:
        self._card, self._options, self._events, self._readable = card, options, events, readable
        self.writer: LaneWriter
        self.reader: LaneReader

    def attach(self) -> None:
        """Make a new epoch with new memory; the ends of the one before it are over."""
        options, card = self._options, self._card
        layout = RegionLayout(options.slots, card.payload_bytes, card.top_k)
        payload = memoryview(bytearray(layout.payload_region_bytes))
        answers = memoryview(bytearray(layout.answer_region_bytes))
        epoch = next(_epochs)
        worker_memory = LaneMemory(layout, epoch, payload.toreadonly(), answers)
        reader = _LoopbackReader(worker_memory, card, self._answered)
        ring = Ring(options.slots, options.reserved_high, options.reserved_normal)
        memory = LaneMemory(layout, epoch, payload, answers.toreadonly())

        def doorbell(index: int, generation: int) -> bool:
            if reader.end_reason is not None:
                return False
            reader.bells.append((index, generation))
            self._readable()
            return True

        self.reader = reader
        self.writer = LaneWriter(memory, card, ring, doorbell, options.checksum)
        self._events.attached(self.writer)

    def end(self, reason: str) -> None:
        """Either side is gone."""
        self.reader.end(reason)
        self._events.lost(self.writer.lose(), reason)

    def _answered(self, index: int, generation: int) -> None:
        answer = self.writer.answered(index, generation)
        if answer is not None:
            self._events.answered(answer)


def loopback(
    slots: int, card: ModelCard, events: LaneEvents, *, readable: Callable[[], None] = lambda: None
) -> Loopback:
    """An attached in-process lane without reserved slots, for tests and small programs."""
    lane = Loopback(card, LaneOptions(slots=slots, reserved_high=0, reserved_normal=0), events, readable)
    lane.attach()
    return lane
