"""Who has the device next, on virtual time: two batches at once, several models, and nobody starves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.values import Priority
from tests.unit.worker.simulated import MS, Device, Machine, Model, batcher, job

# --- two batches with the engine at once -----------------------------------------------------------------------------


def busy(parallel: int = 2, fixed_ms: float = 10, each_ms: float = 0.0) -> tuple[Device, Model]:
    """An engine that works on one batch of one task until 10 ms."""
    device = Device()
    model = device.model("m", batcher(fixed_ms, each_ms), work_ms=10, parallel=parallel)
    model.batcher.add(job("running"))
    device.share.start_due(0)
    assert model.running == 1
    return device, model


def test_a_batch_worth_no_company_follows_at_once() -> None:
    device, model = busy()
    for name in "abcd":
        model.batcher.add(job(name))
    device.share.start_due(1 * MS)
    assert device.machine.order[1:] == [("m", ["a", "b", "c", "d"])]
    assert device.share.overlapped == 1


def test_an_engine_that_takes_one_gets_one() -> None:
    device, model = busy(parallel=1)
    for name in "abcd":
        model.batcher.add(job(name))
    assert device.share.start_due(1 * MS) is None
    assert model.running == 1


def test_a_smaller_one_waits_for_company_as_it_would_have_to_wait_anyway() -> None:
    device, model = busy()
    for name in "abc":
        model.batcher.add(job(name))
    device.share.start_due(1 * MS)
    assert model.running == 1
    device.share.start_due(device.end())
    assert device.machine.order[1:] == [("m", ["a", "b", "c"])]


def test_where_batches_do_not_pay_each_task_follows() -> None:
    device, model = busy(fixed_ms=0, each_ms=5)
    model.batcher.add(job("a"))
    device.share.start_due(1 * MS)
    assert model.running == 2


def test_the_wait_for_the_engine_counts() -> None:
    """A task that would be late behind the running batch is not started; it is refused when the engine is free."""
    device, model = busy(fixed_ms=0, each_ms=10)
    model.batcher.add(job("a", deadline_ms=35))
    device.share.start_due(4 * MS)
    assert (model.running, model.late) == (1, [])
    device.end()
    device.share.start_due(20 * MS)
    assert (model.running, model.late) == (0, ["a"])


@pytest.mark.parametrize(("parallel", "makespan_ms"), [(1, 11 + 10 * 14), (2, 11 + 10 * 10)])
def test_copies_hide_behind_work(parallel: int, makespan_ms: int) -> None:
    """The first task alone, then ten full batches: 4 ms of copies and 10 ms of work each."""
    device = Device(Machine(copy_ms=1))
    model = device.model("m", batcher(), work_ms=10, parallel=parallel)
    assert device.play({"m": [job(str(n), 100_000) for n in range(41)]}) == makespan_ms * MS
    assert len(model.ends) == 41


# --- several models --------------------------------------------------------------------------------------------------


def two() -> tuple[Device, Model, Model]:
    device = Device()
    return device, device.model("short", batcher(10), 10), device.model("long", batcher(50), 50)


def test_nothing_waits_nothing_runs() -> None:
    device, _, _ = two()
    assert device.share.start_due(0) is None
    assert device.machine.running == []


def test_the_batch_that_must_start_first_runs_first() -> None:
    device, short, long = two()
    short.batcher.add(job("a", deadline_ms=400))
    long.batcher.add(job("b", deadline_ms=420))
    device.share.start_due(0)
    device.share.start_due(device.end())
    assert device.machine.order == [("long", ["b"]), ("short", ["a"])], "it takes 40 ms more and has 20 ms more"


def test_higher_priority_runs_first() -> None:
    device, short, long = two()
    short.batcher.add(job("a", deadline_ms=900, priority=Priority.HIGH))
    long.batcher.add(job("b", deadline_ms=300))
    device.share.start_due(0)
    assert device.machine.order == [("short", ["a"])]


def test_a_batch_is_its_own_models() -> None:
    device, short, long = two()
    for name in "abc":
        short.batcher.add(job(name))
    long.batcher.add(job("x"))
    device.share.start_due(0)
    device.share.start_due(device.end())
    assert dict(device.machine.order) == {"long": ["x"], "short": ["a", "b", "c"]}


def test_what_cannot_make_it_is_refused_for_each_model_by_its_own_times() -> None:
    device, short, long = two()
    device.play({"short": [job("run")], "long": [job("run too")]})
    short.batcher.add(job("a", deadline_ms=160, queued_ms=100))
    long.batcher.add(job("b", deadline_ms=160, queued_ms=100))
    device.share.start_due(100 * MS)
    assert (short.late, long.late) == ([], ["b"])
    assert device.machine.order[-1] == ("short", ["a"])


def test_a_held_batch_runs_before_one_that_would_make_it_late() -> None:
    device = Device()
    short = device.model("short", batcher(10, max_wait_ms=5), 10)
    long = device.model("long", batcher(50, max_wait_ms=5), 50)
    for number in range(10):  # a burst, one task per ms, so that the next batch of `short` is held for company
        short.batcher.add(job(f"before{number}", queued_ms=number))
    while len(short.batcher):
        device.share.start_due(100 * MS)
        device.end()
    short.batcher.add(job("held", deadline_ms=160, queued_ms=110))
    assert device.share.start_due(110 * MS) == 112 * MS
    long.batcher.add(job("due", deadline_ms=5000, queued_ms=110.5))
    device.share.start_due(int(110.5 * MS))
    assert device.machine.order[-1] == ("short", ["held"])
    device.end()
    device.share.start_due(121 * MS)
    assert device.machine.order[-1] == ("long", ["due"])


def test_a_model_that_asks_for_too_much_does_not_starve_the_other() -> None:
    """`greedy` asks for twice what the device can do, `modest` for a quarter of it, both with the same patience."""
    device = Device()
    greedy, modest = device.model("greedy", batcher(10), 10), device.model("modest", batcher(10), 10)
    device.play(
        {
            "greedy": [job(f"g{n}", queued_ms=n * 1.25, deadline_ms=n * 1.25 + 60) for n in range(1600)],
            "modest": [job(f"m{n}", queued_ms=n * 40, deadline_ms=n * 40 + 60) for n in range(50)],
        }
    )
    assert len(modest.ends) >= 48
    assert len(greedy.ends) > 500, "and has all the rest"


def test_two_that_ask_for_too_much_have_half_each() -> None:
    """Also where one has ten times as many tasks waiting."""
    device = Device()
    for name in ("many", "few"):
        device.model(name, batcher(10), 10)
    device.play(
        {
            "many": [job(f"a{n}", queued_ms=n * 0.5, deadline_ms=n * 0.5 + 80) for n in range(2000)],
            "few": [job(f"b{n}", queued_ms=n * 4, deadline_ms=n * 4 + 80) for n in range(250)],
        }
    )
    batches = [name for name, _ in device.machine.order]
    assert batches.count("few") >= 0.4 * len(batches)
    assert batches.count("many") >= 0.4 * len(batches)


def test_a_model_that_left_is_asked_nothing_more() -> None:
    device, short, long = two()
    short.batcher.add(job("a"))
    long.batcher.add(job("b"))
    device.share.leave(long)
    device.share.start_due(0)
    device.share.start_due(device.end())
    assert device.machine.order == [("short", ["a"])]


tasks = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 400)), max_size=40)


@given(parallel=st.sampled_from([1, 2]), one=tasks, other=tasks)
def test_every_task_comes_out_once(parallel: int, one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    device = Device(Machine(copy_ms=1))
    models = [device.model(name, batcher(), 10, parallel) for name in ("one", "other")]
    jobs = {
        model.name: [job(f"{model.name}{n}", came + left, queued_ms=came) for n, (came, left) in enumerate(asked)]
        for model, asked in zip(models, (one, other), strict=True)
    }
    device.play(jobs)
    for model in models:
        assert sorted([*model.ends, *model.late]) == sorted(j.item for j in jobs[model.name])
        late = [j for j in jobs[model.name] if model.ends.get(j.item, 0) > j.deadline_ns]
        assert len(late) <= 8, "what copies add beyond the measured times is learned within two batches"
