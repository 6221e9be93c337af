"""The batcher decides on virtual time: what runs, with whom, and what is refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.values import Priority
from pipelines.worker.batcher import Batcher, Job
from pipelines.worker.profile import BatchProfile

MS = 1_000_000


def profile(*times_ms: tuple[int, float]) -> BatchProfile:
    out = BatchProfile()
    for size, ms in times_ms:
        out.record(size, int(ms * MS))
    return out


def batcher(measured: BatchProfile | None = None, max_batch: int = 4, queue: int = 100) -> Batcher[str]:
    out: Batcher[str] = Batcher(max_batch, 5 * MS, queue, measured or profile((1, 10), (4, 40)))
    out.poll(0)
    return out


def job(
    item: str, camera: str = "a", deadline_ms: int = 1000, priority: Priority = Priority.NORMAL, queued_ms: int = 0
) -> Job[str]:
    return Job(item, camera, priority, deadline_ms * MS, queued_ms * MS)


def items(jobs: tuple[Job[str], ...]) -> list[str]:
    return [j.item for j in jobs]


def ran_once(b: Batcher[str]) -> Batcher[str]:
    """A batcher that has run something at time 0, so that its measurements count."""
    b.add(job("first"))
    wake_ns = b.poll(0).wake_ns
    if wake_ns is not None:
        b.poll(wake_ns)
    assert len(b) == 0
    return b


def test_idle_engine_starts_at_once_when_batching_does_not_pay() -> None:
    b = batcher(profile((1, 10), (4, 40)))
    b.add(job("x"))
    assert items(b.poll(0).batch) == ["x"]


def test_waits_for_company_where_it_pays_but_not_for_ever() -> None:
    b = batcher(profile((1, 10), (4, 12)))
    b.add(job("x"))

    first = b.poll(0)
    assert first.batch == ()
    assert first.wake_ns == 5 * MS

    assert items(b.poll(5 * MS).batch) == ["x"]


def test_full_batch_does_not_wait() -> None:
    b = batcher(profile((1, 10), (4, 12)))
    for name in "abcd":
        b.add(job(name, camera=name))
    assert len(b.poll(0).batch) == 4


def test_waiting_never_costs_a_deadline() -> None:
    b = batcher(profile((1, 10), (2, 11), (4, 12)))
    b.add(job("x", deadline_ms=13))
    assert b.poll(0).wake_ns == 2 * MS


def test_earliest_deadline_first_within_a_priority_and_priority_before_all() -> None:
    b = batcher(max_batch=3)
    b.add(job("late", camera="a", deadline_ms=900))
    b.add(job("soon", camera="b", deadline_ms=500))
    b.add(job("high", camera="c", deadline_ms=950, priority=Priority.HIGH))
    assert items(b.poll(0).batch) == ["high", "soon", "late"]


def test_one_busy_camera_does_not_push_the_others_out() -> None:
    b = batcher(max_batch=3)
    for i in range(5):
        b.add(job(f"busy{i}", camera="busy", deadline_ms=500 + i))
    b.add(job("quiet", camera="quiet", deadline_ms=900))
    assert items(b.poll(0).batch) == ["busy0", "quiet", "busy1"]


def test_what_cannot_make_it_is_refused_before_it_runs() -> None:
    b = ran_once(batcher())
    b.add(job("hopeless", deadline_ms=109))
    b.add(job("fine", camera="b", deadline_ms=400))
    decision = b.poll(100 * MS)
    assert items(decision.late) == ["hopeless"]
    assert items(decision.batch) == ["fine"]


def test_batch_shrinks_so_that_its_tightest_member_is_in_time() -> None:
    b = batcher(profile((1, 10), (2, 18), (4, 30)))
    b.add(job("tight", camera="a", deadline_ms=25))
    for name in "bcd":
        b.add(job(name, camera=name))
    assert items(b.poll(0).batch) == ["tight", "b"]


def test_one_bad_measurement_does_not_refuse_work_for_ever() -> None:
    b = ran_once(batcher(profile((1, 60_000))))
    b.add(job("refused", deadline_ms=1100))
    assert items(b.poll(200 * MS).late) == ["refused"]
    b.add(job("probe", deadline_ms=3000))
    assert items(b.poll(2000 * MS).batch) == ["probe"]


def test_overflow_refuses_the_least_urgent() -> None:
    b = batcher(queue=2, max_batch=2)
    for name, deadline in (("a", 300), ("b", 100), ("c", 200)):
        b.add(job(name, camera=name, deadline_ms=deadline))
    decision = b.poll(0)
    assert items(decision.late) == ["a"]
    assert items(decision.batch) == ["b", "c"]


_jobs = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 200), st.sampled_from(list(Priority))), min_size=1, max_size=30
)


@given(_jobs, st.integers(1, 8), st.integers(1, 20))
def test_every_job_comes_out_exactly_once_and_never_late_by_the_profile(
    specs: list[tuple[str, int, Priority]], max_batch: int, alone_ms: int
) -> None:
    measured = profile((1, alone_ms), (8, alone_ms * 4))
    b = ran_once(Batcher(max_batch, 5 * MS, 100, measured))
    for number, (camera, deadline_ms, priority) in enumerate(specs):
        b.add(Job(str(number), camera, priority, deadline_ms * MS, 0))
    out: list[str] = []
    now = 6 * MS
    while len(b):
        decision = b.poll(now)
        out += items(decision.late) + items(decision.batch)
        assert len(decision.batch) <= max_batch
        if decision.batch:
            end = now + measured.estimate_ns(len(decision.batch))
            assert all(j.deadline_ns >= end for j in decision.batch)
            now = end
        elif decision.wake_ns is not None:
            assert decision.wake_ns > now
            now = decision.wake_ns
    assert sorted(out) == sorted(str(n) for n in range(len(specs)))
