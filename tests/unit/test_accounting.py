"""The law: packets == sum(outcomes) + in flight, whatever happens and from whichever thread."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from pipelines.accounting import Ledger
from pipelines.values import Cause, Outcome


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.sampled_from(list(Outcome))), max_size=200))
def test_law_holds_after_any_sequence(steps: list[tuple[bool, int, Outcome]]) -> None:
    ledger = Ledger()
    open_numbers: set[int] = set()
    violations = 0
    for enters, number, outcome in steps:
        if enters:
            open_numbers.add(ledger.enter())
        else:
            settled = ledger.settle(number, outcome)
            assert settled == (number in open_numbers)
            open_numbers.discard(number)
            violations += not settled
        reading = ledger.snapshot()
        assert reading.packets == sum(reading.outcomes.values()) + reading.in_flight
        assert reading.in_flight == len(open_numbers)
        assert reading.imbalance == violations


def test_a_packet_settled_twice_shows_for_ever() -> None:
    ledger = Ledger()
    number = ledger.enter()
    assert ledger.settle(number, Outcome.STILL)
    assert not ledger.settle(number, Outcome.INFERRED)
    assert ledger.snapshot().imbalance == 1


def test_causes_and_due_frames() -> None:
    ledger = Ledger()
    for outcome, cause in ((Outcome.PACED, None), (Outcome.INVALID, Cause.BLACK), (Outcome.INFERRED, None)):
        ledger.settle(ledger.enter(), outcome, cause)
    reading = ledger.snapshot()
    assert reading.causes == {(Outcome.INVALID, Cause.BLACK): 1}
    assert reading.due == 2


def test_threads_do_not_lose_counts() -> None:
    ledger = Ledger()

    def work() -> None:
        for _ in range(2000):
            ledger.settle(ledger.enter(), Outcome.STILL)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reading = ledger.snapshot()
    assert reading.outcomes == {Outcome.STILL: 8000}
    assert reading.imbalance == 0


def test_what_nobody_will_settle_any_more_is_settled_at_once() -> None:
    ledger = Ledger()
    for _ in range(3):
        ledger.enter()
    ledger.settle(1, Outcome.STILL)
    assert ledger.settle_open(Outcome.FAILED, Cause.INTERNAL) == 2
    assert ledger.settle_open(Outcome.FAILED, Cause.INTERNAL) == 0
    reading = ledger.snapshot()
    assert reading.outcomes == {Outcome.STILL: 1, Outcome.FAILED: 2}
    assert reading.causes == {(Outcome.FAILED, Cause.INTERNAL): 2}
    assert (reading.in_flight, reading.imbalance) == (0, 0)
