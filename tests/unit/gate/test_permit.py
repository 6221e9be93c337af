"""Catch-up permits: never more than there are, the earliest deadline first, and no waiter is stuck."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from pipelines.gate.permit import PermitQueue, Permits

TIMEOUT_S = 5.0


def test_earliest_deadline_first_and_first_come_among_equals() -> None:
    queue = PermitQueue(1)
    first = queue.ask(500)
    assert queue.next() == first
    late, early, early_too = queue.ask(900), queue.ask(100), queue.ask(100)

    order = []
    holder: int | None = first
    while holder is not None:
        queue.leave(holder)
        holder = queue.next()
        order.append(holder)

    assert order == [early, early_too, late, None]


def test_who_left_the_line_gets_no_permit() -> None:
    queue = PermitQueue(1)
    holder, gone, stays = queue.ask(0), queue.ask(1), queue.ask(2)
    queue.next()

    queue.leave(gone)
    queue.leave(holder)

    assert queue.next() == stays
    assert queue.waiting == 0


@given(
    st.integers(1, 4), st.lists(st.tuples(st.sampled_from(["ask", "leave", "next"]), st.integers(0, 50)), max_size=60)
)
def test_never_more_permits_than_there_are(count: int, calls: list[tuple[str, int]]) -> None:
    """And none is lost: when all have left, all permits are there."""
    queue = PermitQueue(count)
    here: list[int] = []
    for call, number in calls:
        if call == "ask":
            here.append(queue.ask(number))
        elif call == "leave" and here:
            queue.leave(here.pop(number % len(here)))
        elif call == "next":
            given_to = queue.next()
            assert given_to is None or given_to in here
        assert queue.held <= count
        assert queue.held + queue.waiting == len(here)
    for ticket in here:
        queue.leave(ticket)
    assert [queue.next() for _ in range(count + 1)] == [None] * (count + 1)
    tickets = [queue.ask(0) for _ in range(count)]
    assert [queue.next() for _ in range(count)] == tickets


class Waiter(threading.Thread):
    """Asks for a permit, and holds it until it is told to stop."""

    def __init__(self, permits: Permits, camera: str, deadline_ns: int, order: list[str]) -> None:
        super().__init__(name=f"test[{camera}]", daemon=True)
        self._permits, self._camera, self._deadline_ns, self._order = permits, camera, deadline_ns, order
        self.got: bool | None = None
        self.asked = threading.Event()
        self.finish = threading.Event()

    def run(self) -> None:
        with self._permits.hold(self._camera, self._deadline_ns, TIMEOUT_S) as self.got:
            self._order.append(self._camera)
            self.asked.set()
            if self.got:
                self.finish.wait(TIMEOUT_S)


def wait_for_line(permits: Permits, waiting: int) -> None:
    """Until so many stand in line: they are threads of this test, on their way there."""
    barrier = threading.Event()
    for _ in range(int(TIMEOUT_S * 1000)):
        if permits.statistics().waiting == waiting:
            return
        barrier.wait(0.001)
    raise AssertionError(permits.statistics())


def test_threads_get_permits_in_order_of_deadline() -> None:
    permits = Permits(1)
    order: list[str] = []
    with permits.hold("first", 0):
        waiters = [Waiter(permits, camera, deadline, order) for camera, deadline in (("c", 30), ("a", 10), ("b", 20))]
        for number, waiter in enumerate(waiters):
            waiter.finish.set()
            waiter.start()
            wait_for_line(permits, number + 1)
    for waiter in waiters:
        waiter.join(TIMEOUT_S)

    assert order == ["a", "b", "c"]
    assert permits.statistics().held == 0
    assert permits.statistics().peak_waiting == 3


def test_an_aborted_thread_goes_on_without_a_permit() -> None:
    permits = Permits(1)
    order: list[str] = []
    with permits.hold("first", 0):
        stopped, other = Waiter(permits, "stopped", 1, order), Waiter(permits, "other", 2, order)
        for number, waiter in enumerate((stopped, other)):
            waiter.start()
            wait_for_line(permits, number + 1)

        permits.abort("stopped")
        stopped.join(TIMEOUT_S)

        assert stopped.got is False
        assert permits.statistics().waiting == 1, "the other camera still stands in line"
    assert other.asked.wait(TIMEOUT_S)
    assert other.got is True
    other.finish.set()
    other.join(TIMEOUT_S)
    assert permits.statistics().aborted == 1


def test_who_waits_too_long_goes_without() -> None:
    permits = Permits(1)
    with permits.hold("a", 0), permits.hold("b", 0, timeout_s=0.01) as got:
        assert got is False
    with permits.hold("c", 0, timeout_s=0) as got:
        assert got is True


def test_a_permit_comes_back_when_the_work_fails() -> None:
    permits = Permits(1)
    try:
        with permits.hold("a", 0):
            raise RuntimeError
    except RuntimeError:
        pass

    assert permits.statistics().held == 0
