"""The exposition, read back with Prometheus' own parser."""

from __future__ import annotations

import dataclasses

from prometheus_client.parser import text_string_to_metric_families

from app.observe.metrics import render
from app.observe.snapshot import CameraObserved
from pipelines.accounting import Ledger
from pipelines.values import CameraState, Outcome
from tests.unit.app.observe.samples import snapshot

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: bytes) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[f"framegate_{name}", tuple(sorted(labels.items()))]


def test_every_figure_of_the_snapshot_is_there() -> None:
    found = samples(render(snapshot()))

    assert value(found, "packets_total", camera="door") == 10
    assert value(found, "in_flight", camera="door") == 1
    assert value(found, "accounting_imbalance", camera="door") == 0
    assert value(found, "decoded_frames_total", camera="door") == 9
    assert value(found, "connects_total", camera="door") == 2
    assert value(found, "camera_alerts_total", camera="door") == 1
    assert value(found, "camera_deaths_total", camera="door") == 5
    assert value(found, "picture_sound", camera="door") == 1
    assert value(found, "picture_sound", camera="yard") == 0
    assert value(found, "camera_state", camera="yard", state="backoff") == 1
    assert value(found, "camera_state", camera="yard", state="live") == 0
    assert value(found, "worker_state", worker="worker", state="attached") == 1
    assert value(found, "worker_restarts_total", worker="worker") == 1
    assert value(found, "lane_free", worker="worker") == 30
    assert value(found, "lane_refused_full_total", worker="worker") == 3
    assert value(found, "lane_state", worker="worker", state="busy") == 1
    assert value(found, "lane_state", worker="worker", state="idle") == 0
    assert value(found, "lane_window", worker="worker") == 4
    assert value(found, "lane_in_flight", worker="worker") == 4
    assert value(found, "lane_expected_seconds", worker="worker") == 0.02
    assert value(found, "lane_breaker_openings_total", worker="worker") == 3
    assert value(found, "lane_carrier", worker="worker", carrier="grpc") == 1
    assert value(found, "carrier_events_total", worker="worker", carrier="grpc", event="calls_deadline_exceeded") == 1
    assert value(found, "link_attaches_total", worker="worker") == 2
    assert value(found, "link_losses_total", worker="worker") == 1
    assert value(found, "link_failures_total", worker="worker") == 7
    assert value(found, "sink_offered_total", sink="kafka") == 5
    assert value(found, "sink_waiting", sink="kafka") == 2
    assert value(found, "sink_connected", sink="kafka") == 0
    assert value(found, "answerer", by="detector") == 1
    assert value(found, "answerer", by="worker") == 0
    assert value(found, "degradations_total") == 2
    assert value(found, "degraded_seconds_total") == 1.5
    assert value(found, "own_detector_waiting") == 3
    assert value(found, "alerts_total") == 1
    assert value(found, "cpu_seconds_total") == 3.25
    assert value(found, "uptime_seconds") == 12.5
    assert value(found, "orphan_answers_total") == 4
    assert found["process_open_fds", ()] > 0


def test_outcomes_sum_over_causes_to_the_ledgers_figures() -> None:
    found = samples(render(snapshot()))

    assert value(found, "outcomes_total", camera="door", outcome="paced", cause="") == 4
    assert value(found, "outcomes_total", camera="door", outcome="invalid", cause="black") == 1
    assert value(found, "outcomes_total", camera="door", outcome="invalid", cause="") == 0
    all_of_door = [
        v for (name, labels), v in found.items() if name.endswith("outcomes_total") and labels[0][1] == "door"
    ]
    assert sum(all_of_door) == 9
    assert {dict(labels)["outcome"] for name, labels in found if name == "framegate_outcomes_total"} == set(Outcome)


def test_a_broken_account_shows() -> None:
    ledger = Ledger()
    ledger.settle(0, Outcome.STILL)
    broken = dataclasses.replace(snapshot(), cameras={"x": CameraObserved(ledger.snapshot(), CameraState.LIVE)})

    assert value(samples(render(broken)), "accounting_imbalance", camera="x") == 1


def test_latencies_are_cumulative_buckets() -> None:
    found = samples(render(snapshot()))
    stage = {"stage": "arrival_to_result"}

    assert value(found, "latency_seconds_bucket", le="0.001", **stage) == 1
    assert value(found, "latency_seconds_bucket", le="0.00464", **stage) == 2
    assert value(found, "latency_seconds_bucket", le="0.0464", **stage) == 3
    assert value(found, "latency_seconds_bucket", le="+Inf", **stage) == 3
    assert value(found, "latency_seconds_count", **stage) == 3
    assert abs(value(found, "latency_seconds_sum", **stage) - 0.0445) < 1e-9
    assert value(found, "loop_lag_seconds_count") == 2


def test_without_a_lane_there_are_no_lane_figures() -> None:
    one = snapshot()
    lost = dataclasses.replace(one.workers["worker"], lane=None, flow=None, link=None)
    bare = dataclasses.replace(one, workers={"w": lost})

    assert not any(name.startswith("framegate_lane") for name, _ in samples(render(bare)))
