"""The outbox's law, its order and its bounds, by properties and by example."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipelines.sink.outbox import Outbox, Ticket

MAX_RECORDS, MAX_BYTES = 5, 40


class OutboxMachine(RuleBasedStateMachine):
    """Any sequence of calls keeps the law and the bounds, and the order of what is handed out."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox: Outbox[int] = Outbox(MAX_RECORDS, MAX_BYTES)
        self.taken: list[Ticket[int]] = []
        self.ended: set[int] = set()
        self.offered = 0

    @rule(size_bytes=st.integers(0, MAX_BYTES + 5))
    def offer(self, size_bytes: int) -> None:
        self.outbox.offer(self.offered, size_bytes)
        self.offered += 1

    @rule()
    def take(self) -> None:
        ticket = self.outbox.take()
        if ticket is None:
            return
        assert ticket.number == ticket.item
        assert ticket.number not in self.ended, "a settled record came out again"
        if self.taken:
            assert ticket.number > self.taken[-1].number, "out of order"
        self.taken.append(ticket)

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), acked=st.booleans())
    def settle(self, data: st.DataObject, acked: bool) -> None:
        ticket = self.taken.pop(data.draw(st.integers(0, len(self.taken) - 1)))
        assert self.outbox.acked(ticket) if acked else self.outbox.failed(ticket)
        assert not self.outbox.acked(ticket), "settled twice"
        self.ended.add(ticket.number)

    @rule(late_acknowledgement=st.booleans())
    def rewind(self, late_acknowledgement: bool) -> None:
        """What the old connection acknowledges late counts too."""
        assert self.outbox.rewind() == len(self.taken)
        if self.taken and late_acknowledgement:
            late = self.taken[0]
            assert self.outbox.acked(late)
            self.ended.add(late.number)
        self.taken.clear()

    @invariant()
    def law_and_bounds(self) -> None:
        now = self.outbox.statistics()
        assert now.offered == self.offered == now.acked + now.dropped + now.failed + now.waiting
        assert now.taken == len(self.taken) <= now.waiting <= now.peak <= MAX_RECORDS
        assert 0 <= now.waiting_bytes <= now.peak_bytes <= MAX_BYTES


OutboxMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestOutboxMachine = OutboxMachine.TestCase


def taken_numbers(outbox: Outbox[str]) -> list[int]:
    numbers = []
    while (ticket := outbox.take()) is not None:
        numbers.append(ticket.number)
    return numbers


def test_full_outbox_drops_its_oldest_queued_record() -> None:
    outbox: Outbox[str] = Outbox(max_records=3, max_bytes=100)

    for letter in "abcde":
        outbox.offer(letter, 1)

    assert outbox.statistics().dropped == 2
    assert taken_numbers(outbox) == [2, 3, 4]


def test_record_on_its_way_is_never_dropped() -> None:
    """It may be at the peer already: counting it as dropped would be a lie."""
    outbox: Outbox[str] = Outbox(max_records=2, max_bytes=100)
    outbox.offer("a", 1)
    on_its_way = outbox.take()
    outbox.offer("b", 1)
    outbox.offer("c", 1)

    assert on_its_way is not None
    assert outbox.acked(on_its_way)
    assert taken_numbers(outbox) == [2]


def test_newcomer_that_cannot_fit_costs_no_other() -> None:
    outbox: Outbox[str] = Outbox(max_records=10, max_bytes=10)
    outbox.offer("a", 4)

    assert not outbox.offer("too large", 11)

    assert taken_numbers(outbox) == [0]


def test_large_newcomer_drops_as_many_as_it_needs() -> None:
    outbox: Outbox[str] = Outbox(max_records=10, max_bytes=10)
    for letter in "abcde":
        outbox.offer(letter, 2)

    assert outbox.offer("large", 5)

    assert taken_numbers(outbox) == [3, 4, 5]


def test_rewind_restores_the_old_order() -> None:
    outbox: Outbox[str] = Outbox(max_records=10, max_bytes=100)
    for letter in "abc":
        outbox.offer(letter, 1)
    first, second = outbox.take(), outbox.take()
    assert first is not None
    assert second is not None
    outbox.acked(first)

    assert outbox.rewind() == 1

    assert taken_numbers(outbox) == [1, 2]
