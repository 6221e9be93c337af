"""The part of the exposition that tells of workers: their state, what they are given, the way to them, their slots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from app.observe.snapshot import WorkerObserved, WorkerState
from pipelines.transport.flow import FlowState

_LANE_GAUGES = ("slots", "free", "peak_used")
_LANE_COUNTERS = ("loaned", "published", "discarded", "refused_full", "answered", "stale_answers")
_LINK_COUNTERS = {
    "attaches": "Lanes opened.",
    "losses": "Lanes that ended.",
    "failures": "Attempts that found no worker.",
}


def workers(observed: Mapping[str, WorkerObserved]) -> Iterator[Metric]:
    """The families of all of them."""
    states = GaugeMetricFamily("framegate_worker_state", "1 for the present state.", labels=["worker", "state"])
    restarts = CounterMetricFamily("framegate_worker_restarts", "Processes started anew.", labels=["worker"])
    for name, worker in observed.items():
        restarts.add_metric([name], worker.restarts)
        for state in WorkerState:
            states.add_metric([name, state.value], worker.state is state)
    yield states
    yield restarts
    yield from _flows(observed)
    yield from _links(observed)
    for key in _LANE_GAUGES:
        yield _lane(GaugeMetricFamily(f"framegate_lane_{key}", f"Slots: {key}.", labels=["worker"]), key, observed)
    for key in _LANE_COUNTERS:
        yield _lane(CounterMetricFamily(f"framegate_lane_{key}", f"Slots: {key}.", labels=["worker"]), key, observed)


def _flows(workers: Mapping[str, WorkerObserved]) -> Iterator[Metric]:
    flows = {name: worker.flow for name, worker in workers.items() if worker.flow is not None}
    states = GaugeMetricFamily(
        "framegate_lane_state",
        "1 for the present state: idle takes tasks, busy holds all it may, retry is left alone until it is probed.",
        labels=["worker", "state"],
    )
    window = GaugeMetricFamily("framegate_lane_window", "Tasks the worker may hold at once.", labels=["worker"])
    held = GaugeMetricFamily("framegate_lane_in_flight", "Tasks the worker holds.", labels=["worker"])
    expected = GaugeMetricFamily(
        "framegate_lane_expected_seconds", "Until a task sent now would be answered.", labels=["worker"]
    )
    openings = CounterMetricFamily(
        "framegate_lane_breaker_openings", "How often the worker was left alone.", labels=["worker"]
    )
    for name, flow in flows.items():
        for state in FlowState:
            states.add_metric([name, state.value], flow.state is state)
        window.add_metric([name], flow.window)
        held.add_metric([name], flow.in_flight)
        expected.add_metric([name], flow.expected_ns / 1e9)
        openings.add_metric([name], flow.openings)
    yield from (states, window, held, expected, openings)


def _links(workers: Mapping[str, WorkerObserved]) -> Iterator[Metric]:
    links = {name: worker.link for name, worker in workers.items() if worker.link is not None}
    carriers = GaugeMetricFamily("framegate_lane_carrier", "1 for the present one.", labels=["worker", "carrier"])
    events = CounterMetricFamily(
        "framegate_carrier_events", "What a carrier alone counts.", labels=["worker", "carrier", "event"]
    )
    for name, link in links.items():
        if link.attached:
            carriers.add_metric([name, link.carrier], 1)
        for key, count in link.counters.items():
            carrier, _, event = key.partition("_")
            events.add_metric([name, carrier, event], count)
    yield from (carriers, events)
    for key, text in _LINK_COUNTERS.items():
        counter = CounterMetricFamily(f"framegate_link_{key}", text, labels=["worker"])
        for name, link in links.items():
            counter.add_metric([name], getattr(link, key))
        yield counter


def _lane(metric: Metric, key: str, workers: Mapping[str, WorkerObserved]) -> Metric:
    for name, worker in workers.items():
        if worker.lane is not None:
            metric.add_sample(
                metric.name + ("_total" if metric.type == "counter" else ""),
                {"worker": name},
                getattr(worker.lane, key),
            )
    return metric
