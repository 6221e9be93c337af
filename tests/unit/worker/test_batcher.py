"""The batcher decides on virtual time: what runs, with whom, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from pipelines.values import Priority
from pipelines.worker.batcher import Batcher, Job
from pipelines.worker.profile import BatchProfile

MS = 1_000_000


def profile(fixed_ms: float = 10, each_ms: float = 0, times: int = 150) -> BatchProfile:
    """An engine whose batches take fixed + n * each, always the same: a bound is a quarter over twice that at most."""
    out = BatchProfile()
    for _ in range(times):
        for size in (1, 2, 4, 8):
            out.record(size, int((fixed_ms + each_ms * size) * MS))
    return out


def batcher(measured: BatchProfile | None = None, max_batch: int = 4, queue: int = 100) -> Batcher[str]:
    return Batcher(max_batch, 5 * MS, queue, measured or profile())


def job(
    item: str,
    camera: str = "",
    deadline_ms: float = 1000,
    priority: Priority = Priority.NORMAL,
    queued_ms: float = 0,
) -> Job[str]:
    return Job(item, camera or item, priority, int(deadline_ms * MS), int(queued_ms * MS))


def items(jobs: Sequence[Job[str]]) -> list[str]:
    return [j.item for j in jobs]


def ran_once(b: Batcher[str], at_ms: int = 0) -> Batcher[str]:
    """A batcher that has run something, so that its measurements count."""
    b.add(job("first", deadline_ms=at_ms + 100_000, queued_ms=at_ms))
    assert items(b.poll(at_ms * MS).batch) == ["first"]
    return b


def in_a_burst(b: Batcher[str], gap_ms: float = 1) -> Batcher[str]:
    """A batcher that has seen and run ten tasks, one per gap; the last came at 9 gaps."""
    for number in range(10):
        b.add(job(f"before{number}", queued_ms=number * gap_ms))
    while len(b):
        b.poll(100 * MS)
    return b


# --- when to start ---------------------------------------------------------------------------------------------------


def test_at_light_load_nothing_waits() -> None:
    b = in_a_burst(batcher(), gap_ms=20)
    b.add(job("x", queued_ms=200))
    assert items(b.poll(200 * MS).batch) == ["x"]


def test_in_a_burst_a_batch_waits_for_company_but_not_for_ever() -> None:
    b = in_a_burst(batcher())
    b.add(job("x", queued_ms=110))

    first = b.poll(110 * MS)
    assert first.batch == ()
    assert first.wake_ns == 112 * MS, "two usual gaps without a task: the burst is over"
    assert items(b.poll(112 * MS).batch) == ["x"]


def test_nothing_waits_longer_than_the_hold() -> None:
    b = in_a_burst(batcher(), gap_ms=2)
    for number, at_ms in enumerate((110, 112, 114)):
        b.add(job(f"x{number}", queued_ms=at_ms))
    assert b.poll(114 * MS).wake_ns == 115 * MS


def test_where_batching_does_not_pay_nothing_waits() -> None:
    b = in_a_burst(batcher(profile(0, 10)))
    b.add(job("x", queued_ms=110))
    assert items(b.poll(110 * MS).batch) == ["x"]


def test_a_full_batch_does_not_wait() -> None:
    b = in_a_burst(batcher())
    for name in "abcd":
        b.add(job(name, queued_ms=110))
    assert len(b.poll(110 * MS).batch) == 4


def test_waiting_never_costs_a_deadline() -> None:
    measured = profile()
    b = in_a_burst(batcher(measured))
    b.add(job("x", deadline_ms=110.5 + measured.bound_ns(2, 0.0) / MS, queued_ms=110))
    wake_ns = b.poll(110 * MS).wake_ns
    assert wake_ns is None or wake_ns <= 110.5 * MS


# --- who runs --------------------------------------------------------------------------------------------------------


def test_earliest_deadline_first() -> None:
    b = batcher(profile(0, 10), max_batch=1)
    for name, deadline_ms in (("later", 900), ("sooner", 500), ("soonest", 300)):
        b.add(job(name, deadline_ms=deadline_ms))
    assert [items(b.poll(0).batch) for _ in range(3)] == [["soonest"], ["sooner"], ["later"]]


def test_higher_priority_before_an_earlier_deadline() -> None:
    b = batcher(max_batch=1)
    b.add(job("soon", deadline_ms=500))
    b.add(job("high", deadline_ms=950, priority=Priority.HIGH))
    assert items(b.poll(0).batch) == ["high"]


def test_lower_priorities_fill_a_batch_they_do_not_harm() -> None:
    b = batcher(profile(10, 5), max_batch=4)
    b.add(job("high", deadline_ms=900, priority=Priority.HIGH))
    for number in range(5):
        b.add(job(f"low{number}", priority=Priority.LOW))
    assert items(b.poll(0).batch) == ["high", "low0", "low1", "low2"]


def test_lower_priorities_do_not_make_a_higher_one_late() -> None:
    measured = profile(10, 5)
    b = batcher(measured, max_batch=4)
    b.add(job("high", deadline_ms=measured.bound_ns(2, 0.0) / MS, priority=Priority.HIGH))
    for number in range(5):
        b.add(job(f"low{number}", priority=Priority.LOW))
    assert len(b.poll(0).batch) <= 2


def test_a_tight_task_runs_in_a_small_batch_while_the_others_can_wait() -> None:
    measured = profile(10, 10)
    b = batcher(measured, max_batch=4)
    b.add(job("tight", deadline_ms=measured.bound_ns(2, 0.0) / MS))
    for name in "bcd":
        b.add(job(name))
    assert items(b.poll(0).batch) == ["tight", "b"]


def test_of_those_who_cannot_all_be_served_one_busy_camera_does_not_push_out_the_others() -> None:
    measured = profile(0, 10)
    b = batcher(measured, max_batch=1)
    room_for_two_ms = measured.bound_ns(1, 0.0) / MS + 10
    for number in range(5):
        b.add(job(f"busy{number}", camera="busy", deadline_ms=room_for_two_ms))
    b.add(job("quiet", deadline_ms=room_for_two_ms + 1))
    ran = items(b.poll(0).batch) + items(b.poll(10 * MS).batch)
    assert sorted(ran) == ["busy0", "quiet"]


def test_cameras_take_turns_where_each_time_only_one_can_be_served() -> None:
    measured = profile(0, 10)
    b = batcher(measured, max_batch=1)
    room_for_one_ms = measured.bound_ns(1, 0.0) / MS + 1
    served = []
    for at_ms in range(0, 600, 100):
        for camera in ("always_first", "always_second"):
            b.add(job(f"{camera}", camera, deadline_ms=at_ms + room_for_one_ms, queued_ms=at_ms))
        served += items(b.poll(at_ms * MS).batch)
        b.poll((at_ms + 50) * MS)
    assert served.count("always_first") == served.count("always_second") == 3


# --- who is refused --------------------------------------------------------------------------------------------------


def test_what_cannot_make_it_is_refused_before_it_runs() -> None:
    b = ran_once(batcher())
    b.add(job("hopeless", deadline_ms=109, queued_ms=100))
    b.add(job("fine", deadline_ms=400, queued_ms=100))
    decision = b.poll(100 * MS)
    assert items(decision.late) == ["hopeless"]
    assert items(decision.batch) == ["fine"]


def test_one_bad_measurement_does_not_refuse_work_for_ever() -> None:
    measured = BatchProfile()
    measured.record(1, 60_000 * MS)
    b = ran_once(batcher(measured))
    b.add(job("refused", deadline_ms=1100, queued_ms=200))
    assert items(b.poll(200 * MS).late) == ["refused"]
    b.add(job("too_late", deadline_ms=1999, queued_ms=2000))
    b.add(job("probe", deadline_ms=3000, queued_ms=2000))
    decision = b.poll(2000 * MS)
    assert items(decision.late) == ["too_late"]
    assert items(decision.batch) == ["probe"]


def test_overflow_refuses_the_least_urgent() -> None:
    b = batcher(queue=2, max_batch=2)
    for name, deadline_ms in (("a", 300), ("b", 100), ("c", 200)):
        b.add(job(name, deadline_ms=deadline_ms))
    decision = b.poll(0)
    assert items(decision.late) == ["a"]
    assert items(decision.batch) == ["b", "c"]


_jobs = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 200), st.integers(0, 100), st.sampled_from(list(Priority))),
    min_size=1,
    max_size=30,
)


@given(_jobs, st.integers(1, 8), st.integers(1, 20), st.integers(0, 5))
def test_every_task_comes_out_once_and_runs_only_where_it_ends_in_time(
    specs: list[tuple[str, int, int, Priority]], max_batch: int, fixed_ms: int, each_ms: int
) -> None:
    """On an engine that takes what it always took, nothing that runs is late, whatever comes when."""
    measured = profile(fixed_ms, each_ms, times=5)
    b = ran_once(Batcher(max_batch, 5 * MS, 20, measured))
    coming = sorted(
        (queued_ms, str(number), camera, queued_ms + left_ms, priority)
        for number, (camera, left_ms, queued_ms, priority) in enumerate(specs)
    )
    out: list[str] = []
    now = 0
    while coming or len(b):
        while coming and coming[0][0] * MS <= now:
            queued_ms, item, camera, deadline_ms, priority = coming.pop(0)
            b.add(job(item, camera, deadline_ms, priority, queued_ms))
        decision = b.poll(now)
        out += items(decision.late) + items(decision.batch)
        assert len(decision.batch) <= max_batch
        wakes = [decision.wake_ns] if decision.wake_ns else []
        if decision.batch:
            elapsed_ns = int((fixed_ms + each_ms * len(decision.batch)) * MS)
            b.ended(decision.batch, elapsed_ns, now + elapsed_ns)
            assert all(j.deadline_ns >= now + elapsed_ns for j in decision.batch)
            now += elapsed_ns
        elif wakes or coming:
            following = min([*wakes, *(spec[0] * MS for spec in coming[:1])])
            assert following > now
            now = following
    assert sorted(out) == sorted(str(number) for number in range(len(specs)))
    assert b.ended_late == 0
