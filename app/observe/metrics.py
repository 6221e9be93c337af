"""Prometheus' text form, made from one frozen snapshot when it is asked for. Nothing is counted here.

Names end in units; counters in `_total`. Every camera has every outcome from the start, so that rates need no guessing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from app.observe.latency import BUCKETS, PER_DECADE, LatencySnapshot, edge_s
from app.observe.metrics_worker import workers
from app.observe.snapshot import CameraObserved, ObservedSnapshot
from pipelines.accounting import LedgerSnapshot
from pipelines.standby import StandbySnapshot
from pipelines.standin.choice import Answerer
from pipelines.values import CameraState, Outcome

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FIRST_EDGE_S = 0.9e-3
_EDGES = [b for b in range(BUCKETS) if (b + 1) % (PER_DECADE // 3) == 0 and edge_s(b) > _FIRST_EDGE_S]
"""Buckets whose upper edges are exported: 1 ms to 1000 s, three per factor of ten."""
_SINK_COUNTERS = ("offered", "acked", "dropped", "failed")


class SnapshotCollector(Collector):
    """A registry's view of the snapshot."""

    def __init__(self, observe: Callable[[], ObservedSnapshot]) -> None:
        self._observe = observe

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not take a snapshot."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families of one snapshot."""
        snapshot = self._observe()
        yield from _process(snapshot)
        yield from _cameras(snapshot)
        yield from workers(snapshot.workers)
        yield from _sinks(snapshot)
        yield from _latencies(snapshot)
        yield from _audit(snapshot)
        yield from _standby(snapshot.standby)


def render(snapshot: ObservedSnapshot) -> bytes:
    """The exposition of a snapshot and of this process. Some milliseconds for 64 cameras: call it off the loop."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(SnapshotCollector(lambda: snapshot))
    return generate_latest(registry)


def _process(snapshot: ObservedSnapshot) -> Iterator[Metric]:
    yield GaugeMetricFamily("framegate_uptime_seconds", "Since the process started.", snapshot.uptime_s)
    yield CounterMetricFamily(
        "framegate_cpu_seconds", "CPU of this process and of its children that have ended.", snapshot.cpu_s
    )
    yield CounterMetricFamily("framegate_alerts", "Episodes begun.", snapshot.alerts)
    for name, count in snapshot.counters.items():
        yield CounterMetricFamily(f"framegate_{name}", "See docs/operations.", count)


def _cameras(snapshot: ObservedSnapshot) -> Iterator[Metric]:
    cameras = snapshot.cameras
    yield from (
        _by_camera(CounterMetricFamily, "packets", "Packets that entered.", cameras, lambda c: c.ledger.packets),
        _by_camera(
            GaugeMetricFamily, "in_flight", "Packets without an outcome yet.", cameras, lambda c: c.ledger.in_flight
        ),
        _by_camera(
            GaugeMetricFamily,
            "accounting_imbalance",
            "Packets less outcomes less in flight, and packets settled twice: 0, or there is a bug.",
            cameras,
            lambda c: c.ledger.imbalance,
        ),
        _by_camera(CounterMetricFamily, "decoded_frames", "Pictures out of the decoder.", cameras, lambda c: c.decoded),
        _by_camera(CounterMetricFamily, "decode_seconds", "CPU of the decoder.", cameras, lambda c: c.decode_s),
        _by_camera(
            CounterMetricFamily,
            "wakes",
            "Wake-ups by the packet gate.",
            cameras,
            lambda c: c.gate.wakes if c.gate else 0,
        ),
        _by_camera(
            CounterMetricFamily,
            "false_wakes",
            "Wake-ups after which nothing was seen.",
            cameras,
            lambda c: c.gate.false_wakes if c.gate else 0,
        ),
        _by_camera(
            GaugeMetricFamily,
            "asleep",
            "1: packets are read and not decoded.",
            cameras,
            lambda c: c.gate is not None and c.gate.state == "asleep",
        ),
        _by_camera(CounterMetricFamily, "connects", "Connections opened.", cameras, lambda c: c.connects),
        _by_camera(
            CounterMetricFamily,
            "camera_deaths",
            "Threads of the camera that a bug ended; it was started anew.",
            cameras,
            lambda c: c.deaths,
        ),
        _by_camera(CounterMetricFamily, "camera_alerts", "Episodes begun, per camera.", cameras, lambda c: c.alerts),
        _by_camera(
            GaugeMetricFamily,
            "picture_sound",
            "0: the picture is black, white, frozen or covered.",
            cameras,
            lambda c: c.picture is None,
        ),
    )
    outcomes = CounterMetricFamily(
        "framegate_outcomes",
        "What became of packets; cause is empty where there is none.",
        labels=["camera", "outcome", "cause"],
    )
    states = GaugeMetricFamily("framegate_camera_state", "1 for the present state.", labels=["camera", "state"])
    for name, camera in cameras.items():
        for outcome, cause, count in _outcomes(camera.ledger):
            outcomes.add_metric([name, outcome, cause], count)
        for state in CameraState:
            states.add_metric([name, state.value], camera.state is state)
    yield outcomes
    yield states


def _outcomes(ledger: LedgerSnapshot) -> Iterator[tuple[str, str, int]]:
    """(outcome, cause, count): causes are split off, so that the sum over causes is the outcome's count."""
    for outcome in Outcome:
        caused = {cause: n for (of, cause), n in ledger.causes.items() if of is outcome}
        yield outcome.value, "", ledger.outcomes.get(outcome, 0) - sum(caused.values())
        for cause, count in caused.items():
            yield outcome.value, cause.value, count


def _by_camera(
    family: type[CounterMetricFamily] | type[GaugeMetricFamily],
    name: str,
    text: str,
    cameras: Mapping[str, CameraObserved],
    value: Callable[[CameraObserved], float],
) -> Metric:
    metric = family(f"framegate_{name}", text, labels=["camera"])
    for camera, observed in cameras.items():
        metric.add_metric([camera], value(observed))
    return metric


def _sinks(snapshot: ObservedSnapshot) -> Iterator[Metric]:
    for key in _SINK_COUNTERS:
        counter = CounterMetricFamily(f"framegate_sink_{key}", f"Records {key}.", labels=["sink"])
        for name, sink in snapshot.sinks.items():
            counter.add_metric([name], getattr(sink, key))
        yield counter
    waiting = GaugeMetricFamily("framegate_sink_waiting", "Records not acknowledged yet.", labels=["sink"])
    connected = GaugeMetricFamily("framegate_sink_connected", "1: the peer answers.", labels=["sink"])
    for name, sink in snapshot.sinks.items():
        waiting.add_metric([name], sink.waiting)
        connected.add_metric([name], sink.connected)
    yield waiting
    yield connected


def _audit(snapshot: ObservedSnapshot) -> Iterator[Metric]:
    """Nothing while the evidence is insufficient but the counts: an unknown recall is no number."""
    audit, budget = snapshot.audit, snapshot.budget
    if budget is not None:
        yield GaugeMetricFamily("framegate_decode_budget_cores", "What decoding may take.", budget.cores)
        yield GaugeMetricFamily("framegate_decode_committed_cores", "What granted streams cost.", budget.committed)
        yield GaugeMetricFamily("framegate_decode_refused_cameras", "Awake and shed.", budget.refused)
    if audit is None:
        return
    chain = audit.estimate.chain
    imbalance = audit.frames.imbalance + audit.windows.imbalance
    yield GaugeMetricFamily("framegate_audit_windows", "Audited windows the estimate rests on.", chain.windows)
    yield CounterMetricFamily("framegate_audit_cpu_seconds", "Work of the audit.", audit.spent_s)
    yield GaugeMetricFamily("framegate_audit_imbalance", "As framegate_accounting_imbalance.", imbalance)
    if chain.sufficient:
        yield GaugeMetricFamily("framegate_recall", "Share of event windows that the gates let pass.", chain.value)
        yield GaugeMetricFamily("framegate_recall_low", "Of its 95 % interval.", chain.interval.low)
        yield GaugeMetricFamily("framegate_recall_high", "Of its 95 % interval.", chain.interval.high)


def _standby(standby: StandbySnapshot | None) -> Iterator[Metric]:
    if standby is None:
        return
    by = GaugeMetricFamily("framegate_answerer", "1 for who answers a frame that is seen now.", labels=["by"])
    for answerer in (Answerer.WORKER, Answerer.DETECTOR, Answerer.PRESENCE):
        by.add_metric([answerer.value], standby.answerer is answerer)
    yield by
    yield CounterMetricFamily("framegate_degradations", "Times that workers stopped answering.", standby.losses)
    yield CounterMetricFamily("framegate_degraded_seconds", "For how long no worker answered.", standby.degraded_s)
    yield GaugeMetricFamily("framegate_own_detector_waiting", "Pictures that wait for it.", standby.waiting)


def _latencies(snapshot: ObservedSnapshot) -> Iterator[Metric]:
    metric = HistogramMetricFamily("framegate_latency_seconds", "By name, see docs/operations.", labels=["stage"])
    for name, latency in snapshot.latencies.items():
        metric.add_metric([name], _buckets(latency), latency.total_ns / 1e9)
    yield metric
    lag = HistogramMetricFamily("framegate_loop_lag_seconds", "How late the event loop woke.")
    lag.add_metric([], _buckets(snapshot.loop_lag), snapshot.loop_lag.total_ns / 1e9)
    yield lag


def _buckets(latency: LatencySnapshot) -> list[tuple[str, float]]:
    """Cumulative counts at the exported edges. The labels are the edges rounded to three digits."""
    out: list[tuple[str, float]] = []
    seen, done = 0, 0
    for bucket in _EDGES:
        seen += sum(latency.counts[done : bucket + 1])
        done = bucket + 1
        out.append((f"{edge_s(bucket):.3g}", seen))
    return [*out, ("+Inf", latency.count)]
