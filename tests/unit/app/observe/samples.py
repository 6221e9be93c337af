"""A snapshot with something in every field, for the tests of what is made from it."""

from __future__ import annotations

from app.observe.latency import LatencyHistogram
from app.observe.snapshot import CameraObserved, ObservedSnapshot, WorkerObserved, WorkerState
from pipelines.accounting import Ledger
from pipelines.contracts import LaneStatistics, SinkStatistics
from pipelines.standby import StandbySnapshot
from pipelines.standin.choice import Answerer
from pipelines.transport.breaker import BreakerState
from pipelines.transport.flow import FlowState, FlowStatistics
from pipelines.transport.link import LinkStatistics
from pipelines.values import CameraState, Cause, Outcome


def ledger() -> Ledger:
    """Ten packets: 4 paced, 2 still, 1 black, 1 covered, 1 inferred, 1 in flight."""
    account = Ledger()
    for _ in range(10):
        account.enter()
    for sequence in range(4):
        account.settle(sequence, Outcome.PACED)
    account.settle(4, Outcome.STILL)
    account.settle(5, Outcome.STILL)
    account.settle(6, Outcome.INVALID, Cause.BLACK)
    account.settle(7, Outcome.INVALID, Cause.COVERED)
    account.settle(8, Outcome.INFERRED)
    return account


def latency(*values_ms: float) -> LatencyHistogram:
    histogram = LatencyHistogram()
    for value in values_ms:
        histogram.record(int(value * 1e6))
    return histogram


def snapshot() -> ObservedSnapshot:
    door = CameraObserved(
        ledger().snapshot(),
        CameraState.LIVE,
        region="north",
        url="rtsp://***@10.0.0.1/",
        connects=2,
        decoded=9,
        alerts=1,
        deaths=5,
    )
    yard = CameraObserved(Ledger().snapshot(), CameraState.BACKOFF, "connection refused", picture=Cause.BLACK)
    lane = LaneStatistics(
        slots=32, free=30, peak_used=5, loaned=9, published=8, discarded=1, refused_full=3, answered=6, stale_answers=0
    )
    link = LinkStatistics(
        attached=True,
        attaches=2,
        losses=1,
        failures=7,
        reason="the server is draining",
        carrier="grpc",
        choice="no shm: no worker at /run/w: No such file or directory",
        counters={"grpc_calls_ok": 6, "grpc_calls_deadline_exceeded": 1},
    )
    flow = FlowStatistics(FlowState.BUSY, BreakerState.CLOSED, 3, window=4, in_flight=4, expected_ns=20_000_000)
    worker = WorkerObserved(WorkerState.ATTACHED, restarts=1, model="yolox", lane=lane, link=link, flow=flow)
    return ObservedSnapshot(
        time_ms=1_700_000_000_000,
        uptime_s=12.5,
        cpu_s=3.25,
        alerts=1,
        cameras={"door": door, "yard": yard},
        workers={"worker": worker},
        sinks={
            "kafka": SinkStatistics(offered=5, acked=2, dropped=1, failed=0, waiting=2, connected=False, last_error="x")
        },
        latencies={"arrival_to_result": latency(0.5, 4, 40).snapshot(), "infer": latency().snapshot()},
        loop_lag=latency(1, 2).snapshot(),
        standby=StandbySnapshot(
            Answerer.DETECTOR, "no worker is attached: killed", losses=2, degraded_s=1.5, detector="small", waiting=3
        ),
        counters={"orphan_answers": 4},
    )
