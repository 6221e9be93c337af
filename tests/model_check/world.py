"""A DPU process and its worker over two epochs: everything that may happen next, from every state.

Loans, doorbells, answers, late and double answers, a full socket, a loss at any moment, a crash of either process at
any moment, a new attach while the old worker still holds tasks and old pumps still hold loans. The writer is used by
threads: so `publish` and `answered` are also interrupted, between their locked parts, by what another thread may do
there, and the worker may act within the doorbell's system call.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Self

from pipelines.transport.answer import AnswerArea
from pipelines.transport.layout import HeaderArea
from tests.model_check.explore import Step
from tests.model_check.lane import Lane, check

_MOST_TASKS = 249


class World:
    """Two lanes at most: the present one, and the one before as long as somebody holds something of it."""

    def __init__(self, slots: int, attaches: bool) -> None:
        self.slots, self.attaches = slots, attaches
        self.now = Lane.attach(slots, 1, None)
        self.old: Lane | None = None
        self.tasks = 0

    # --- explore.World ---

    def steps(self) -> Iterator[Step]:
        for which, lane in (("now", self.now), ("old", self.old)):
            if lane is not None:
                yield from _pump_steps(which, lane)
                yield from _loop_steps(which, lane)
                yield from _worker_steps(which, lane)
        if self.now.writer is not None or (self.old is not None and self.old.writer is not None):
            yield ("crash_dpu",)
        if self.attaches and (self.now.lost or self.now.writer is None) and (self.old is None or _over(self.old)):
            yield ("attach",)

    def after(self, step: Step) -> Self:
        world = self._copied()
        match step:
            case ("crash_dpu",):
                for lane in (world.now, world.old):
                    if lane is not None and lane.writer is not None:
                        lane.crash_dpu()
            case ("attach",):
                world.old = None if _over(world.now) else world.now
                world.now = Lane.attach(world.slots, world.now.epoch + 1, world.now)
            case (which, *verb):
                lane = world.now if which == "now" else world.old
                assert lane is not None
                world._act(lane, *verb)
        for lane in (world.now, world.old):
            if lane is not None:
                lane.check()
        if world.old is not None and _over(world.old):
            world.old = None
        return world

    def key(self) -> Hashable:
        return _key(self.now), None if self.old is None else _key(self.old)

    # --- one step ---

    def _act(self, lane: Lane, verb: object, *rest: object) -> None:
        match (verb, *rest):
            case ("loan",):
                self.tasks += 1
                check(self.tasks <= _MOST_TASKS, "the model has run out of task numbers")
                lane.loan(self.tasks)
            case ("publish", int(position), "full"):
                lane.full = True
                lane.publish(position)
                lane.full = False
            case ("publish", int(position), "quick worker", int(steps)):
                lane.react = lambda: _react(lane, steps)
                lane.publish(position)
                lane.react = None
            case ("publish", int(position), "interrupted", *other):
                with _interrupted(HeaderArea, "pack", lambda: self._act(lane, *other)):
                    lane.publish(position)
            case ("read_notice", "interrupted", *other):
                slot = lane.notices[0][0]

                def interrupt() -> None:
                    assert lane.writer is not None
                    free = lane.writer._ring._free
                    check(slot not in free, "a slot is free while its answer is read")
                    self._act(lane, *other)

                with _interrupted(AnswerArea, "unpack", interrupt):
                    lane.read_notice()
            case (name, *arguments):
                getattr(lane, str(name))(*arguments)

    def _copied(self) -> Self:
        world = object.__new__(type(self))
        world.slots, world.attaches, world.tasks = self.slots, self.attaches, self.tasks
        world.now = self.now.copied(bytearray(self.now.payload), bytearray(self.now.answers))
        world.old = None
        if (old := self.old) is not None:
            shared = old.payload is self.now.payload  # only where a seeded bug makes it so
            payload = world.now.payload if shared else bytearray(old.payload)
            world.old = old.copied(payload, world.now.answers if shared else bytearray(old.answers))
        return world


def drained(world: World) -> World:
    """What becomes of a state when nobody starts anything new and everybody does what is theirs to do."""
    while True:
        step = next((step for step in world.steps() if _is_duty(world, step)), None)
        if step is None:
            return world
        world = world.after(step)


def _is_duty(world: World, step: Step) -> bool:
    lane = world.now if step[0] == "now" else world.old
    if step[1:] == ("lose",):  # the end of file, once all that was said is read
        return lane is not None and not lane.worker_open and not lane.notices
    return step[1:] in (("discard", 0), ("read_notice",), ("hear",), ("take",), ("answer", 0))


def _pump_steps(which: str, lane: Lane) -> Iterator[Step]:
    if lane.writer is None:
        return
    ring = lane.writer._ring
    if which == "now" and not lane.lost and ring._free:
        yield which, "loan"
    for position in range(len(lane.loans)):
        yield which, "publish", position
        yield which, "discard", position
        if lane.lost:
            continue
        yield which, "publish", position, "full"
        yield which, "publish", position, "interrupted", "lose"
        if lane.notices:
            yield which, "publish", position, "interrupted", "read_notice"
        if lane.reader is not None and lane.worker_open and not lane.bells and not lane.reader._pending:
            for steps in (1, 2, 3):
                yield which, "publish", position, "quick worker", steps


def _loop_steps(which: str, lane: Lane) -> Iterator[Step]:
    if lane.writer is None or lane.lost:
        return
    yield which, "lose"
    if not lane.notices:
        return
    yield which, "read_notice"
    if lane.fates[lane.uses[lane.notices[0]]] not in ("published", "taken"):
        return
    if lane.writer._ring._free:
        yield which, "read_notice", "interrupted", "loan"
    for position in range(len(lane.loans)):
        yield which, "read_notice", "interrupted", "publish", position
        yield which, "read_notice", "interrupted", "discard", position


def _worker_steps(which: str, lane: Lane) -> Iterator[Step]:
    if lane.reader is None:
        return
    yield which, "crash_worker"
    alive = lane.reader.end_reason is None
    if alive and (lane.bells or not lane.dpu_open):
        yield which, "hear"
    if alive and lane.reader._pending:
        yield which, "take"
    for position in range(len(lane.hands)):
        yield which, "answer", position
    if lane.spent is not None:
        yield which, "answer_again"
        if lane.dpu_open and (lane.spent.index, lane.spent.generation) not in lane.notices:
            yield which, "repeat_notice"


def _react(lane: Lane, steps: int) -> None:
    """The worker, and where nothing locks it out the DPU's loop, act before the doorbell's call returns."""
    lane.hear()
    if steps > 1:
        lane.take()
    if steps > 2:
        lane.answer(len(lane.hands) - 1)
        assert lane.writer is not None
        if not lane.writer._lock.locked():
            lane.read_notice()


def _over(lane: Lane) -> bool:
    """Nobody holds anything of it."""
    return not lane.loans and not lane.hands and (lane.reader is None or lane.reader.end_reason is not None)


@contextmanager
def _interrupted(area: type, function: str, interrupt: Callable[[], None]) -> Iterator[None]:
    """Let another thread run where the writer calls this function, which is outside its lock."""
    real = getattr(area, function)

    def call(*arguments: object) -> object:
        setattr(area, function, real)
        interrupt()
        return real(*arguments)

    setattr(area, function, call)
    try:
        yield
    finally:
        setattr(area, function, real)


def _key(lane: Lane) -> Hashable:
    """Slots are named by the order in which they are met and generations of a slot by theirs, so that states that
    differ in names alone are one: the numbers grow for ever, the states do not."""
    names: dict[int, int] = {}
    generations: dict[tuple[int, int], int] = {}
    count = [0] * lane.slots

    def use(slot: int, generation: int) -> tuple[int, int]:
        if slot not in names:
            names[slot] = len(names)
        if (slot, generation) not in generations:
            generations[slot, generation] = count[slot]
            count[slot] += 1
        return names[slot], generations[slot, generation]

    def told(slot: int, generation: int) -> tuple[object, ...]:
        return *use(slot, generation), lane.fates[lane.uses[slot, generation]]

    parts: list[object] = [lane.dpu_open, lane.worker_open, lane.lost]
    if (writer := lane.writer) is not None:
        ring = writer._ring
        parts.append((ring._open, not writer._areas))
        parts.append([use(slot, ring._generations[slot]) for slot in reversed(ring._free)])
        parts.append([use(loan.slot.index, loan.slot.generation) for loan in lane.loans])
    parts.append([told(*each) for each in lane.bells])
    if (reader := lane.reader) is not None:
        parts.append(reader.end_reason is None)
        parts.append([use(*each) for each in reader._pending])
        parts.append([told(taken.index, taken.generation) for taken in lane.hands])
        parts.append(sorted(use(*each) for each in reader._held.items()))
    parts.append([told(*each) for each in lane.notices])
    if lane.spent is not None:
        parts.append(told(lane.spent.index, lane.spent.generation))
    if writer is not None:
        current = {use(slot, writer._ring._generations[slot]): writer._ring._states[slot] for slot in range(lane.slots)}
        parts.append(sorted((name, state.value) for name, state in current.items()))
    return str(parts)
