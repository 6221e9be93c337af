"""The report's contract, and that a reader never sees half of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.observe.report import build_report, write_report
from app.observe.snapshot import stages_ns
from pipelines.values import Timeline
from tests.unit.app.observe.samples import snapshot


def test_the_least_contract() -> None:
    report = json.loads(json.dumps(build_report(snapshot())))

    door = report["cameras"]["door"]
    assert {key: door[key] for key in ("packets", "outcomes", "in_flight", "imbalance")} == {
        "packets": 10,
        "outcomes": {"paced": 4, "still": 2, "invalid": 2, "inferred": 1},
        "in_flight": 1,
        "imbalance": 0,
    }
    assert door["causes"] == {"invalid": {"black": 1, "covered": 1}}
    assert door["due"] == 6
    assert report["alerts"] == 1
    assert report["cpu_s"] == 3.25
    assert set(report["latency_ms"]) == {"arrival_to_result"}, "a stage without data has no figures"
    assert report["latency_ms"]["arrival_to_result"]["p50"] == pytest.approx(4, rel=0.02)
    assert report["cameras"]["yard"]["picture"] == "black"
    worker = report["workers"]["worker"]
    assert worker["lane"]["published"] == 8
    assert worker["flow"]["state"] == "busy"
    assert (worker["carrier"], worker["choice"][:8]) == ("grpc", "no shm: ")
    assert worker["link"]["counters"]["grpc_calls_ok"] == 6
    assert report["sinks"]["kafka"]["dropped"] == 1
    assert report["cameras"]["door"]["deaths"] == 5
    assert report["degraded"] == {
        "answerer": "detector", "reason": "no worker is attached: killed", "losses": 2, "degraded_s": 1.5,
        "detector": "small", "waiting": 3,
    }  # fmt: skip


def test_writing_replaces_the_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    target.write_text("old")

    write_report(target, {"a": 1})

    assert json.loads(target.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    target.write_text("old")

    with pytest.raises(TypeError):
        write_report(target, {"a": object()})

    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_stages_are_the_times_between() -> None:
    line = Timeline(arrival_ns=10, read_ns=11, decoded_ns=13, gated_ns=16, published_ns=20, taken_ns=0, answered_ns=50)

    assert stages_ns(line) == {"read": 1, "decode": 2, "gate": 3, "preprocess": 4}
