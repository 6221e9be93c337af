"""One attach of a lane, both ends and the socket between them: the product's own writer and reader over real bytes.

Modelled are only what the kernel and the two processes' other code do: the socket's two queues, the pumps' loans, the
tasks in the engine's hands, who has crashed. Every check of a property is here.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from pipelines.contracts import Slot, Taken
from pipelines.errors import LaneError
from pipelines.transport.reader import LaneReader
from pipelines.transport.region import RegionLayout
from pipelines.transport.ring import Ring, SlotState
from pipelines.transport.writer import LaneMemory, LaneWriter
from pipelines.values import AnswerCode, ColorMatrix, ColorRange, Letterbox, ModelCard, Priority, SlotHeader
from tests.model_check.explore import Violation

CARD = ModelCard("m", "null", 2, 2, ("x",), top_k=1)
NORMAL = Priority.NORMAL
Use = tuple[int, int]
"""(slot, generation)"""
_OPEN = ("published", "taken")


def header(task: int) -> SlotHeader:
    fit = Letterbox(2, 2, 2, 2, 0, 0, 2, 2)
    return SlotHeader(task, "c", "m", 0, 0, NORMAL, fit, ColorRange.LIMITED, ColorMatrix.BT601, CARD.payload_bytes)


def memory_of(layout: RegionLayout, epoch: int, before: Lane | None) -> tuple[bytearray, bytearray]:
    """New memory for a new epoch, whatever was `before`."""
    return bytearray(layout.payload_region_bytes), bytearray(layout.answer_region_bytes)


@dataclass(slots=True)
class Loan:
    slot: Slot
    task: int


@dataclass(slots=True, eq=False)
class Lane:
    """The state of one epoch."""

    slots: int
    epoch: int
    payload: bytearray
    answers: bytearray
    writer: LaneWriter | None = None
    """None: its process has crashed."""
    reader: LaneReader | None = None
    bells: list[Use] = field(default_factory=list)
    notices: list[Use] = field(default_factory=list)
    dpu_open: bool = True
    worker_open: bool = True
    lost: bool = False
    loans: list[Loan] = field(default_factory=list)
    hands: list[Taken] = field(default_factory=list)
    spent: Taken | None = None
    """The task answered last: what a worker gone wrong answers again."""
    uses: dict[Use, int] = field(default_factory=dict)
    """The task of every use of a slot so far."""
    fates: dict[int, str] = field(default_factory=dict)
    full: bool = False
    """The socket takes no doorbell now."""
    react: Callable[[], None] | None = None
    """What the worker does before the doorbell's system call is over."""

    # --- the DPU's pumps ---

    def loan(self, task: int) -> None:
        writer = self._writer()
        slot = writer.loan(NORMAL)
        if slot is None:
            raise Violation("a slot that is free was not lent")
        check(all(loan.slot.index != slot.index for loan in self.loans), "a slot was lent twice")
        check((slot.index, slot.generation) not in self.uses, "two uses of a slot have one generation")
        self.uses[slot.index, slot.generation] = task
        self.fates[task] = "loaned"
        slot.payload[:] = task
        self.loans.append(Loan(slot, task))

    def publish(self, position: int) -> None:
        loan = self.loans.pop(position)
        self.fates[loan.task] = "ringing"
        with honest("publish"):
            rung = self._writer().publish(loan.slot, header(loan.task))
        if rung and self.fates[loan.task] == "ringing":
            self.fates[loan.task] = "published"
        elif not rung:
            check(self.fates[loan.task] == "ringing", "a task that was refused went out all the same")
            self.fates[loan.task] = "refused"

    def discard(self, position: int) -> None:
        loan = self.loans.pop(position)
        self.fates[loan.task] = "discarded"
        with honest("discard"):
            self._writer().discard(loan.slot)

    def doorbell(self, slot: int, generation: int) -> bool:
        if self.full or not self.worker_open or not self.dpu_open:
            return False
        task = self.uses[slot, generation]
        self.bells.append((slot, generation))
        if self.fates[task] == "ringing":
            self.fates[task] = "published"
        if self.react is not None:
            self.react()
        return True

    # --- the DPU's loop ---

    def read_notice(self) -> None:
        use = self.notices.pop(0)
        task = self.uses[use]
        due = self.fates[task] in _OPEN
        with honest("an answer"):
            answer = self._writer().answered(*use)
        if not due:
            check(answer is None, f"task {self.fates[task]} was answered again")
            return
        if answer is None:
            raise Violation("an answer was refused as stale that is not")
        check(answer.task == task and answer.rows[0, 0] == task, "an answer belongs to another task")
        self.fates[task] = "answered"

    def lose(self) -> None:
        """Hang up: end of file, silence, or an order."""
        writer = self._writer()
        out = sorted(task for task in self.uses.values() if self.fates[task] in _OPEN)
        named = list(writer.lose())
        check(sorted(named) == out, f"a loss names {len(named)} tasks where {len(out)} are out")
        for task in named:
            self.fates[task] = "lost"
        self.lost, self.dpu_open = True, False
        self.notices.clear()
        check(writer.loan(NORMAL) is None, "a lost lane lends")

    def crash_dpu(self) -> None:
        self.writer, self.dpu_open = None, False
        self.loans.clear()
        self.notices.clear()
        for task, fate in self.fates.items():
            if fate in (*_OPEN, "loaned"):
                self.fates[task] = "gone"

    # --- the worker ---

    def hear(self) -> None:
        """The next doorbell, or the end of file after the last one."""
        reader = self._reader()
        if self.bells:
            with honest("a doorbell"):
                reader.announced(*self.bells.pop(0))
            return
        reader.end("the peer is gone")
        self.worker_open = False

    def take(self) -> None:
        reader = self._reader()
        taken = reader.take()
        if taken is None:
            raise Violation(f"nothing to take though it was announced; the lane: {reader.end_reason}")
        task = self.uses[taken.index, taken.generation]
        check(taken.header.task == task, "a task was taken under another's header")
        check(self.fates[task] not in ("taken", "answered"), "a task was delivered twice")
        if self.fates[task] == "published":
            self.fates[task] = "taken"
        self.hands.append(taken)

    def answer(self, position: int) -> None:
        taken, reader = self.hands.pop(position), self._reader()
        told = self.told(reader)
        reader.answer(taken, AnswerCode.OK, np.full((1, 6), taken.header.task, np.float32), 0, 0)
        check(self.told(reader) > told, "an answer was neither sent nor refused")
        self.spent = taken

    def answer_again(self) -> None:
        taken, reader = self.spent, self._reader()
        assert taken is not None
        refused = reader.statistics().refused_answers
        reader.answer(taken, AnswerCode.OK, np.full((1, 6), 250, np.float32), 0, 0)
        check(reader.statistics().refused_answers > refused, "a second answer was not refused by the reader")

    def repeat_notice(self) -> None:
        """A reader gone wrong tells of an answer twice."""
        assert self.spent is not None
        self.notices.append((self.spent.index, self.spent.generation))

    def announce(self, slot: int, generation: int) -> None:
        if self.dpu_open:
            self.notices.append((slot, generation))
        else:  # the socket says so
            self.worker_open = False
            self._reader().end("the peer is gone")

    def crash_worker(self) -> None:
        self.reader, self.worker_open, self.spent = None, False, None
        self.bells.clear()
        self.hands.clear()

    # --- the properties that hold in every state ---

    def check(self) -> None:
        for loan in self.loans:
            check((loan.slot.payload == loan.task).all(), "a loaned slot was written by another")
        for taken in self.hands:
            check((taken.payload == taken.header.task).all(), "a taken slot was overwritten")
        if self.reader is not None:
            figures = self.reader.statistics()
            out = figures.announced - figures.answered - figures.dropped
            check(out == figures.pending + figures.in_hand, "the reader's account is out of balance")
        if self.writer is not None:
            self._check_ring(self.writer)

    def _check_ring(self, writer: LaneWriter) -> None:
        ring, figures = writer._ring, writer.statistics()
        check(figures.imbalance == 0, "the writer's account is out of balance")
        check(figures.free + figures.loaned_now + figures.in_flight == self.slots, "credits are not conserved")
        free = [slot for slot, state in enumerate(ring._states) if state is SlotState.FREE]
        check(sorted(ring._free) == free, "a slot was lost: the free list is not the free slots")
        for slot, state in enumerate(ring._states):
            use = slot, ring._generations[slot]
            if state is SlotState.LOANED:
                holders = sum((loan.slot.index, loan.slot.generation) == use for loan in self.loans)
                check(holders == 1, f"a loaned slot has {holders} holders")
            elif state is SlotState.PUBLISHED:
                holders = len([each for each in self._carriers() if each == use])
                check(holders > 0 or not self.worker_open, "a slot was lost: published, and nobody holds it")
                check(self.fates[self.uses[use]] in _OPEN, f"a slot is out for a task that is {self.uses[use]}")
            else:
                check(state is SlotState.FREE, "a slot stays answered")

    def _carriers(self) -> Iterator[Use]:
        yield from self.bells
        if self.reader is not None:
            yield from self.reader._held.items()
        yield from self.notices

    # --- copies and keys ---

    @staticmethod
    def attach(slots: int, epoch: int, before: Lane | None) -> Lane:
        layout = RegionLayout(slots, CARD.payload_bytes, CARD.top_k)
        lane = Lane(slots, epoch, *memory_of(layout, epoch, before))
        lane.writer = LaneWriter(lane.dpu_memory(), CARD, Ring(slots), lane.doorbell, False)
        lane.reader = LaneReader(lane.worker_memory(), CARD, lane.announce)
        return lane

    def dpu_memory(self) -> LaneMemory:
        layout = RegionLayout(self.slots, CARD.payload_bytes, CARD.top_k)
        return LaneMemory(layout, self.epoch, memoryview(self.payload), memoryview(self.answers).toreadonly())

    def worker_memory(self) -> LaneMemory:
        layout = RegionLayout(self.slots, CARD.payload_bytes, CARD.top_k)
        return LaneMemory(layout, self.epoch, memoryview(self.payload).toreadonly(), memoryview(self.answers))

    def copied(self, payload: bytearray, answers: bytearray) -> Lane:
        """The same state over these bytes."""
        lane = replace(self, payload=payload, answers=answers, full=False, react=None)
        for name in ("bells", "notices", "uses", "fates"):
            setattr(lane, name, getattr(self, name).copy())
        areas = lane.dpu_memory().areas()
        slots = [replace(loan.slot, payload=areas[loan.slot.index].payload) for loan in self.loans]
        lane.loans = [Loan(slot, loan.task) for slot, loan in zip(slots, self.loans, strict=True)]
        if self.writer is not None:
            lane.writer = writer = copy.copy(self.writer)
            writer._ring = ring = copy.copy(self.writer._ring)
            for name in ("_states", "_generations", "_tasks", "_free"):
                setattr(ring, name, getattr(ring, name).copy())
            writer._lock, writer._doorbell = threading.Lock(), lane.doorbell
            if writer._areas:
                writer._areas = areas
        seen = lane.worker_memory()
        areas = seen.areas()
        lane.hands = [replace(taken, payload=areas[taken.index].payload) for taken in self.hands]
        if self.reader is not None:
            lane.reader = reader = copy.copy(self.reader)
            reader._pending, reader._held = self.reader._pending.copy(), self.reader._held.copy()
            reader._announce = lane.announce
            if reader._memory is not None:
                reader._memory, reader._areas = seen, areas
        return lane

    def told(self, reader: LaneReader) -> int:
        figures = reader.statistics()
        return figures.answered + figures.refused_answers

    def _writer(self) -> LaneWriter:
        assert self.writer is not None
        return self.writer

    def _reader(self) -> LaneReader:
        assert self.reader is not None
        return self.reader


def check(holds: object, otherwise: str) -> None:
    if not holds:
        raise Violation(otherwise)


class honest:  # noqa: N801 - reads as a word
    """No honest step may be taken for a breach of the protocol."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, LaneError | IndexError):
            raise Violation(f"{self.what} was taken for a breach: {error}") from error
