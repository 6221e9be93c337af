"""The writer's slot table: who holds which slot. Pure: no clock, no memory, no lock (the writer has one).

| state     | held by | verb          | next |
|-----------|---------|---------------|------|
| FREE      | ring    | loan          | LOANED, generation + 1 |
| LOANED    | pump    | publish       | PUBLISHED |
| LOANED    | pump    | discard       | FREE |
| LOANED    | pump    | roll_back     | FREE: the doorbell could not be rung; counts as discarded and refused_full |
| PUBLISHED | worker  | answer        | ANSWERED (the worker's TAKEN lies between; only its reader knows it) |
| ANSWERED  | loop    | release       | FREE: the rows are copied out |
| PUBLISHED, ANSWERED | | lose          | FREE: the peer is gone; the task is lost. No more loans in this epoch |

The answer is the credit: nothing but an answer, or the loss of the peer, frees a published slot. A generation makes one
use of a slot different from the next, so an answer that comes late or twice meets another generation or another state:
it is refused and counted.

Laws: loaned == published + discarded + now loaned;  published == answered + lost + in flight.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pipelines.contracts import LaneStatistics
from pipelines.errors import LaneError
from pipelines.values import Priority

_GENERATIONS = 1 << 32


class SlotState(Enum):
    FREE = "free"
    LOANED = "loaned"
    PUBLISHED = "published"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class RingStatistics(LaneStatistics):
    """A lane's counters and what the laws need beside them."""

    in_flight: int
    """Published and not yet answered."""
    loaned_now: int
    lost: int
    rolled_back: int
    """Doorbells that could not be rung; also within discarded and refused_full."""
    refused_closed: int
    """Loans refused because the lane takes no more work."""

    @property
    def imbalance(self) -> int:
        """0, or there is a bug."""
        return abs(self.loaned - self.published - self.discarded - self.loaned_now) + abs(
            self.published - self.answered - self.lost - self.in_flight
        )


class Ring:
    """Slot table of one epoch. Bound: `slots`; full means None from `loan`, counted, and the camera goes on.

    reserved_high slots are for HIGH alone; LOW leaves a further reserved_normal to NORMAL.
    """

    def __init__(self, slots: int, reserved_high: int = 0, reserved_normal: int = 0) -> None:
        self._states = [SlotState.FREE] * slots
        self._generations = [0] * slots
        self._tasks = [0] * slots
        # Last in, first out: the slot freed last is the one most likely still in a cache.
        self._free = list(range(slots - 1, -1, -1))
        self._floor = (reserved_high + reserved_normal, reserved_high, 0)  # by priority: LOW, NORMAL, HIGH
        self._open = True
        self._peak_used = self._in_flight = self._loaned_now = 0
        self._loaned = self._published = self._discarded = self._answered = self._lost = 0
        self._refused_full = self._refused_closed = self._rolled_back = self._stale = 0

    @property
    def used(self) -> int:
        """Slots that are not free."""
        return len(self._states) - len(self._free)

    @property
    def loaned_now(self) -> int:
        return self._loaned_now

    def generation(self, slot: int) -> int:
        """Of the slot's present use."""
        return self._generations[slot]

    def loan(self, priority: Priority) -> int | None:
        """The slot lent, or None: full for this class, or closed."""
        if not self._open:
            self._refused_closed += 1
            return None
        if len(self._free) <= self._floor[priority]:
            self._refused_full += 1
            return None
        slot = self._free.pop()
        self._generations[slot] = (self._generations[slot] + 1) % _GENERATIONS
        self._states[slot] = SlotState.LOANED
        self._loaned += 1
        self._loaned_now += 1
        used = len(self._states) - len(self._free)
        if used > self._peak_used:
            self._peak_used = used
        return slot

    def check_loaned(self, slot: int, generation: int) -> None:
        """Raises LaneError if this use of the slot is not in a pump's hands: a bug of the caller."""
        if self._states[slot] is not SlotState.LOANED or self._generations[slot] != generation:
            raise LaneError(
                f"slot {slot} generation {generation} is not loaned: it is {self._states[slot].value}, "
                f"generation {self._generations[slot]}"
            )

    def publish(self, slot: int, generation: int, task: int) -> None:
        """The doorbell was rung."""
        self.check_loaned(slot, generation)
        self._states[slot] = SlotState.PUBLISHED
        self._tasks[slot] = task
        self._loaned_now -= 1
        self._published += 1
        self._in_flight += 1

    def discard(self, slot: int, generation: int) -> None:
        self.check_loaned(slot, generation)
        self._loaned_now -= 1
        self._discarded += 1
        self._set_free(slot)

    def roll_back(self, slot: int, generation: int) -> None:
        """The doorbell could not be rung: as if the ring had been full."""
        self.discard(slot, generation)
        self._rolled_back += 1
        self._refused_full += 1

    def answer(self, slot: int, generation: int) -> int | None:
        """An answer was announced: the task it is for, or None (counted) if it is late, double or unknown."""
        known = 0 <= slot < len(self._states)
        if not known or self._states[slot] is not SlotState.PUBLISHED or self._generations[slot] != generation:
            self._stale += 1
            return None
        self._states[slot] = SlotState.ANSWERED
        return self._tasks[slot]

    def release(self, slot: int) -> None:
        """The announced answer is copied out."""
        if self._states[slot] is not SlotState.ANSWERED:
            raise LaneError(f"slot {slot} is {self._states[slot].value}, so no answer of it can be released")
        self._in_flight -= 1
        self._answered += 1
        self._set_free(slot)

    def close(self) -> None:
        """Lend no more. What is loaned may still be published, what is published still be answered."""
        self._open = False

    def lose(self) -> tuple[int, ...]:
        """The peer is gone: close, and return the tasks that will never be answered. Loans stay with their pumps."""
        self.close()
        held = (SlotState.PUBLISHED, SlotState.ANSWERED)
        lost = [slot for slot, state in enumerate(self._states) if state in held]
        for slot in lost:
            self._set_free(slot)
        self._in_flight = 0
        self._lost += len(lost)
        return tuple(self._tasks[slot] for slot in lost)

    def statistics(self) -> RingStatistics:
        return RingStatistics(
            slots=len(self._states),
            free=len(self._free),
            peak_used=self._peak_used,
            loaned=self._loaned,
            published=self._published,
            discarded=self._discarded,
            refused_full=self._refused_full,
            answered=self._answered,
            stale_answers=self._stale,
            in_flight=self._in_flight,
            loaned_now=self._loaned_now,
            lost=self._lost,
            rolled_back=self._rolled_back,
            refused_closed=self._refused_closed,
        )

    def _set_free(self, slot: int) -> None:
        self._states[slot] = SlotState.FREE
        self._free.append(slot)
