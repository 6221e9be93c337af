"""The batcher's bench: the same engine for everybody, sound traces, and a small one from end to end."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest

from pipelines.worker.options import BatchOptions
from scripts.bench.batcher import TRACES, Trace, figures, run
from scripts.bench.batcher_replay import replay
from scripts.bench.batcher_service import Costs, Slowness, load, service
from scripts.bench.batcher_trace import MS, Task, convert, in_phase, mixed, poisson, waves

CALM = Slowness((0,), (1.0,), 1000 * MS)


def test_costs_lie_between_those_given() -> None:
    costs = Costs("", {1: 10.0, 4: 16.0})
    assert [costs(n) / MS for n in (1, 2, 3, 4)] == [10, 12, 14, 16]
    assert costs.tasks_per_s() == 250


def test_the_engine_depends_on_size_time_and_seed_only() -> None:
    slowness = Slowness((0, 5 * MS, 20 * MS), (1.0, 3.0, 0.5), 30 * MS)
    engine, again = (service(Costs("", {1: 10.0, 2: 12.0}), slowness, seed=3) for _ in range(2))
    times = range(0, 60 * MS, MS)
    assert [engine(2, at_ns) for at_ns in times] == [again(2, at_ns) for at_ns in times]
    assert {engine(1, at_ns) for at_ns in times} == {10 * MS, 30 * MS, 5 * MS}
    assert engine(1, 7 * MS) == engine(1, 37 * MS), "it begins again"


def test_the_measured_jitter_is_what_the_bench_is_about() -> None:
    costs, slowness = load()
    assert slowness.ratio(0.99) >= 2
    assert sorted(costs.ms) == [1, 2, 4, 8]


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.name)
def test_traces_are_in_order_and_the_same_each_time(trace: Trace) -> None:
    first, second = (trace.make(random.Random(7), 100.0) for _ in range(2))
    assert first == second
    assert len(first) > 1000
    assert all(a.at_ns <= b.at_ns for a, b in pairwise(first))


def test_cameras_in_phase_come_together() -> None:
    tasks = in_phase(random.Random(1), per_s=64.0)
    in_first_half = sum(task.at_ns % 1_000_000_000 < 500_000_000 for task in tasks)
    assert in_first_half == len(tasks)


def test_each_camera_keeps_its_deadline() -> None:
    tasks = waves(random.Random(1), 300.0, deadline=mixed)
    assert {task.camera for task in tasks} == set(range(128))
    assert {mixed(camera) for camera in range(128)} == {500, 1000, 2000, 4000}
    assert all(task.deadline_ns - task.at_ns <= mixed(task.camera) * MS for task in tasks)


def test_a_detections_file_becomes_arrivals() -> None:
    lines = [
        json.dumps({"time": time_ms, "camera_id": camera, "timeline_ms": {"taken": taken_ms}})
        for time_ms, camera, taken_ms in ((5000, "b", 10.0), (5001, "a", 4.5))
    ]
    assert convert(lines) == {"at_ms": [0.0, 4.5], "camera": [0, 1], "lag_ms": [4.5, 10.0]}


def test_a_replay_accounts_for_every_task() -> None:
    """An engine that does one task per 10 ms, and 5 tasks that all want to be done within 35 ms."""
    tasks = [Task(0, camera, 35 * MS) for camera in range(5)]
    done = replay(tasks, service(Costs("", {1: 10.0}), CALM, 0), BatchOptions(max_batch=1))
    assert (done.in_time + done.refused, done.late) == (5, 0)
    assert 1 <= done.in_time <= 3
    assert done.batches == done.in_time


def test_a_trace_from_end_to_end() -> None:
    trace = Trace("small", True, 0.5, lambda rng, per_s: poisson(rng, per_s)[:200])
    row = figures(trace, [run(trace, 0)])
    assert row["ours"] >= 0.9 * row["triton"] > 0
    assert row["triton"] >= row["fifo"] > 0
    assert row["triton_with_priority_levels"] > 0
    assert row["offered"] >= row["ours"]
    assert row["late_after_admission"] <= 0.01
    assert row["settings_tried"] > 200
