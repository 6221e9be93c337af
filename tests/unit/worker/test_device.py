"""Several models on one device: whose batch runs, on virtual time."""

from __future__ import annotations

from pipelines.values import Priority
from pipelines.worker.batcher import Batcher, Job
from pipelines.worker.device import Device
from pipelines.worker.profile import BatchProfile

MS = 1_000_000


def batcher(fixed_ms: float) -> Batcher[str]:
    measured = BatchProfile()
    for _ in range(150):
        for size in (1, 2, 4):
            measured.record(size, int(fixed_ms * MS))
    return Batcher(4, 5 * MS, 100, measured)


def job(item: str, deadline_ms: float = 1000, priority: Priority = Priority.NORMAL, queued_ms: float = 0) -> Job[str]:
    return Job(item, item, priority, int(deadline_ms * MS), int(queued_ms * MS))


def two() -> tuple[Device[str], Batcher[str], Batcher[str]]:
    short, long = batcher(10), batcher(50)
    return Device({"short": short, "long": long}), short, long


def test_nothing_waits_nothing_runs() -> None:
    device, _, _ = two()
    turn = device.poll(0)
    assert (turn.model, turn.batch, turn.wake_ns) == (None, (), None)


def test_the_batch_that_must_start_first_runs_first() -> None:
    device, short, long = two()
    short.add(job("a", deadline_ms=400))
    long.add(job("b", deadline_ms=420))
    assert device.poll(0).model == "long", "it takes 40 ms more and has 20 ms more"
    assert device.poll(50 * MS).model == "short"


def test_higher_priority_runs_first() -> None:
    device, short, long = two()
    short.add(job("a", deadline_ms=900, priority=Priority.HIGH))
    long.add(job("b", deadline_ms=300))
    assert device.poll(0).model == "short"


def test_a_batch_is_its_own_models() -> None:
    device, short, long = two()
    for name in "abc":
        short.add(job(name))
    long.add(job("x"))
    turns = [device.poll(0), device.poll(50 * MS)]
    assert {turn.model: [j.item for j in turn.batch] for turn in turns} == {"long": ["x"], "short": ["a", "b", "c"]}


def test_what_cannot_make_it_is_refused_for_each_model_by_its_own_times() -> None:
    device, short, long = two()
    for b in (short, long):
        b.add(job("run"))
        device.poll(0)
    short.add(job("a", deadline_ms=160, queued_ms=100))
    long.add(job("b", deadline_ms=160, queued_ms=100))
    turn = device.poll(100 * MS)
    assert [j.item for j in turn.late] == ["b"]
    assert turn.model == "short"


def test_a_held_batch_runs_before_one_that_would_make_it_late() -> None:
    device, short, long = two()
    for number in range(10):  # a burst, one task per ms, so that the next batch of `short` is held for company
        short.add(job(f"before{number}", queued_ms=number))
    while len(short):
        device.poll(100 * MS)
    short.add(job("held", deadline_ms=160, queued_ms=110))
    assert device.poll(110 * MS).wake_ns == 112 * MS
    long.add(job("due", deadline_ms=5000, queued_ms=110.5))
    assert device.poll(int(110.5 * MS)).model == "short"
    assert device.poll(120 * MS).model == "long"
