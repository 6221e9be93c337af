"""The slot table under any sequence of verbs, right and wrong."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipelines.errors import LaneError
from pipelines.transport.ring import Ring
from pipelines.values import Priority

SLOTS, HIGH, NORMAL = 5, 1, 2


class RingMachine(RuleBasedStateMachine):
    """A model of who holds what, beside the ring."""

    def __init__(self) -> None:
        super().__init__()
        self.ring = Ring(SLOTS, HIGH, NORMAL)
        self.loaned: dict[int, int] = {}
        self.published: dict[int, tuple[int, int]] = {}
        self.announced: dict[int, int] = {}
        self.past: list[tuple[int, int]] = [(0, 0), (99, 1), (-1, 1)]
        self.next_task = 100
        self.settled: list[int] = []
        self.open = True

    @property
    def free(self) -> int:
        return SLOTS - len(self.loaned) - len(self.published) - len(self.announced)

    @rule(priority=st.sampled_from(Priority))
    def loan(self, priority: Priority) -> None:
        floor = {Priority.HIGH: 0, Priority.NORMAL: HIGH, Priority.LOW: HIGH + NORMAL}[priority]
        slot = self.ring.loan(priority)
        assert (slot is not None) == (self.open and self.free > floor)
        if slot is not None:
            assert slot not in {*self.loaned, *self.published, *self.announced}
            assert (slot, self.ring.generation(slot)) not in self.past
            self.loaned[slot] = self.ring.generation(slot)

    @precondition(lambda self: self.loaned)
    @rule(data=st.data(), verb=st.sampled_from(["publish", "publish", "publish", "discard", "roll_back"]))
    def give_on(self, data: st.DataObject, verb: str) -> None:
        slot = data.draw(st.sampled_from(sorted(self.loaned)))
        generation = self.loaned.pop(slot)
        if verb == "publish":
            self.ring.publish(slot, generation, self.next_task)
            self.published[slot] = (generation, self.next_task)
            self.next_task += 1
            return
        {"discard": self.ring.discard, "roll_back": self.ring.roll_back}[verb](slot, generation)
        self.past.append((slot, generation))

    @precondition(lambda self: self.published)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.published)))
        generation, task = self.published.pop(slot)
        assert self.ring.answer(slot, generation) == task
        self.announced[slot] = task
        self.past.append((slot, generation))

    @precondition(lambda self: self.announced)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.announced)))
        self.ring.release(slot)
        self.settled.append(self.announced.pop(slot))

    @rule(data=st.data())
    def late_or_double_answer(self, data: st.DataObject) -> None:
        before = self.ring.statistics().stale_answers
        slot, generation = data.draw(st.sampled_from(self.past))
        assert self.ring.answer(slot, generation) is None
        assert self.ring.statistics().stale_answers == before + 1

    @rule(data=st.data())
    def verb_without_loan(self, data: st.DataObject) -> None:
        slot, generation = data.draw(st.sampled_from([p for p in self.past if 0 <= p[0] < SLOTS]))
        with pytest.raises(LaneError, match="is not loaned"):
            self.ring.publish(slot, generation, 1)
        with pytest.raises(LaneError, match="is not loaned"):
            self.ring.discard(slot, generation)

    @precondition(lambda self: self.next_task > 115)
    @rule()
    def close(self) -> None:
        self.ring.close()
        self.open = False

    @precondition(lambda self: self.next_task > 120)
    @rule()
    def lose(self) -> None:
        expected = {task for _, task in self.published.values()} | set(self.announced.values())
        lost = self.ring.lose()
        assert set(lost) == expected
        assert len(lost) == len(expected)
        self.settled += lost
        self.past += [(slot, generation) for slot, (generation, _) in self.published.items()]
        self.published.clear()
        self.announced.clear()
        self.open = False

    @invariant()
    def laws(self) -> None:
        figures = self.ring.statistics()
        assert figures.imbalance == 0
        assert figures.free == self.free
        assert figures.loaned_now == len(self.loaned)
        assert figures.in_flight == len(self.published) + len(self.announced)
        assert figures.answered + figures.lost == len(self.settled)
        assert sorted(self.settled) == sorted(set(self.settled)), "no task settles twice"
        assert SLOTS - figures.free <= figures.peak_used <= SLOTS


TestRing = RingMachine.TestCase
TestRing.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_full_costs_the_low_classes_first() -> None:
    ring = Ring(slots=4, reserved_high=1, reserved_normal=1)
    loans = [ring.loan(p) for p in (Priority.LOW, Priority.LOW, Priority.LOW, Priority.NORMAL, Priority.NORMAL)]
    assert [slot is not None for slot in loans] == [True, True, False, True, False]
    assert ring.loan(Priority.HIGH) is not None
    assert ring.loan(Priority.HIGH) is None
    assert ring.statistics().refused_full == 3
    assert ring.statistics().peak_used == 4


def test_a_closed_ring_still_settles_what_is_out() -> None:
    ring = Ring(slots=3)
    first, second = ring.loan(Priority.HIGH), ring.loan(Priority.HIGH)
    assert first is not None
    assert second is not None
    ring.publish(first, 1, 10)
    ring.close()
    assert ring.loan(Priority.HIGH) is None
    ring.publish(second, 1, 11)
    assert ring.answer(first, 1) == 10
    ring.release(first)
    assert ring.lose() == (11,)
    assert ring.statistics().refused_closed == 1
    assert ring.statistics().imbalance == 0


def test_release_wants_an_announced_answer() -> None:
    ring = Ring(slots=1)
    with pytest.raises(LaneError, match="slot 0 is free"):
        ring.release(0)
