"""Seeded bugs: each changes one step of the protocol as somebody might by mistake. The search must find every one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.contracts import Slot, Taken
from pipelines.transport.reader import LaneReader
from pipelines.transport.ring import Ring, SlotState
from pipelines.transport.writer import LaneWriter
from pipelines.values import F32, Answer, AnswerCode, Priority, SlotHeader
from tests.model_check import lane as model
from tests.model_check.lane import Lane


@dataclass(frozen=True, slots=True)
class Mutant:
    """`put` stands in for `owner.name`."""

    bug: str
    owner: object
    name: str
    put: Callable[..., object]
    found: str
    """What the search says of it."""


def loan_keeps_generation(ring: Ring, priority: Priority) -> int | None:
    if not ring._open or not ring._free:
        return None
    slot = ring._free.pop()
    ring._generations[slot] = max(ring._generations[slot], 1)
    ring._states[slot] = SlotState.LOANED
    ring._loaned += 1
    ring._loaned_now += 1
    return slot


def answer_of_any_generation(ring: Ring, slot: int, generation: int) -> int | None:
    if ring._states[slot] is not SlotState.PUBLISHED:
        ring._stale += 1
        return None
    ring._states[slot] = SlotState.ANSWERED
    return ring._tasks[slot]


def answer_in_any_state(ring: Ring, slot: int, generation: int) -> int | None:
    if ring._generations[slot] != generation:
        ring._stale += 1
        return None
    ring._states[slot] = SlotState.ANSWERED
    return ring._tasks[slot]


def loss_takes_loans(ring: Ring) -> tuple[int, ...]:
    ring.close()
    lost = [slot for slot, state in enumerate(ring._states) if state is not SlotState.FREE]
    for slot in lost:
        ring._set_free(slot)
    ring._in_flight = ring._loaned_now = 0
    ring._lost += len(lost)
    return tuple(ring._tasks[slot] for slot in lost)


def loss_forgets_one(ring: Ring) -> tuple[int, ...]:
    ring.close()
    lost = [slot for slot, state in enumerate(ring._states) if state is SlotState.PUBLISHED][:1]
    for slot in lost:
        ring._set_free(slot)
    ring._in_flight -= len(lost)
    ring._lost += len(lost)
    return tuple(ring._tasks[slot] for slot in lost)


def rollback_keeps_slot(ring: Ring, slot: int, generation: int) -> None:
    ring.check_loaned(slot, generation)
    ring._states[slot] = SlotState.PUBLISHED
    ring._loaned_now -= 1
    ring._published += 1
    ring._in_flight += 1


def bell_before_header(writer: LaneWriter, slot: Slot, header: SlotHeader) -> bool:
    with writer._lock:
        writer._ring.check_loaned(slot.index, slot.generation)
        area = writer._areas[slot.index]
        rung = not writer._lost and writer._doorbell(slot.index, slot.generation)
        if rung:
            writer._ring.publish(slot.index, slot.generation, header.task)
        else:
            writer._ring.roll_back(slot.index, slot.generation)
            writer._let_go_when_idle()
    area.header.pack(slot.generation, header)
    return rung


def bell_outside_the_lock(writer: LaneWriter, slot: Slot, header: SlotHeader) -> bool:
    writer._areas[slot.index].header.pack(slot.generation, header)
    rung = not writer._lost and writer._doorbell(slot.index, slot.generation)
    with writer._lock:
        if rung:
            writer._ring.publish(slot.index, slot.generation, header.task)
            return True
        writer._ring.roll_back(slot.index, slot.generation)
        writer._let_go_when_idle()
        return False


def freed_before_copied(writer: LaneWriter, index: int, generation: int) -> Answer | None:
    with writer._lock:
        task = writer._ring.answer(index, generation)
        if task is not None:
            writer._ring.release(index)
    return None if task is None else writer._areas[index].answer.unpack(generation, task)


def never_released(writer: LaneWriter, index: int, generation: int) -> Answer | None:
    task = writer._ring.answer(index, generation)
    return None if task is None else writer._areas[index].answer.unpack(generation, task)


def memory_goes_at_once(writer: LaneWriter) -> tuple[int, ...]:
    writer._lost = True
    writer._areas = []
    return writer._ring.lose()


def answers_twice(
    reader: LaneReader, taken: Taken, code: AnswerCode, rows: F32, started_ns: int, finished_ns: int
) -> None:
    if reader._memory is None:
        reader._refused += 1
        return
    reader._areas[taken.index].answer.pack(taken.generation, taken.header.task, code, rows)
    reader._held.pop(taken.index, None)
    reader._answered += 1
    reader._announce(taken.index, taken.generation)


def takes_and_leaves(reader: LaneReader) -> Taken | None:
    taken = _take(reader)
    if taken is not None:
        reader._pending.append((taken.index, taken.generation))
    return taken


def memory_used_again(layout: object, epoch: int, before: Lane | None) -> tuple[bytearray, bytearray]:
    return _memory_of(layout, epoch, None) if before is None else (before.payload, before.answers)  # type: ignore[arg-type]


_take, _memory_of = LaneReader.take, model.memory_of

MUTANTS = (
    Mutant("a loan keeps the generation", Ring, "loan", loan_keeps_generation, "two uses of a slot have one"),
    Mutant("any generation answers", Ring, "answer", answer_of_any_generation, "taken for a breach"),
    Mutant("an answer counts in any state", Ring, "answer", answer_in_any_state, "answered again"),
    Mutant("a loss takes the loans", Ring, "lose", loss_takes_loans, "a loss names"),
    Mutant("a loss forgets a task", Ring, "lose", loss_forgets_one, "a loss names"),
    Mutant("a refused doorbell keeps its slot", Ring, "roll_back", rollback_keeps_slot, "a slot was lost"),
    Mutant("the bell rings before the header is there", LaneWriter, "publish", bell_before_header, "nothing to take"),
    Mutant("the bell rings outside the lock", LaneWriter, "publish", bell_outside_the_lock, "refused as stale"),
    Mutant("a slot is freed before its answer is copied", LaneWriter, "answered", freed_before_copied, "is free while"),
    Mutant("an answered slot is never released", LaneWriter, "answered", never_released, "stays answered"),
    Mutant("memory goes while a pump still writes", LaneWriter, "lose", memory_goes_at_once, "taken for a breach"),
    Mutant("a reader answers twice", LaneReader, "answer", answers_twice, "was not refused by the reader"),
    Mutant("a reader takes and leaves", LaneReader, "take", takes_and_leaves, "delivered twice"),
    Mutant("a new epoch takes the old memory", model, "memory_of", memory_used_again, "written by another"),
)
