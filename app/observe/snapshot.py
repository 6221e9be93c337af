"""What can be seen of the pipe from the side: one frozen reading, from which metrics, report and states are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app.observe.latency import EMPTY, LatencySnapshot
from pipelines.accounting import LedgerSnapshot
from pipelines.contracts import GateStatistics, LaneStatistics, SinkStatistics
from pipelines.gate.audit import AuditSnapshot
from pipelines.gate.budget_terms import BudgetSnapshot
from pipelines.standby import StandbySnapshot
from pipelines.transport.flow import FlowStatistics
from pipelines.transport.link import LinkStatistics
from pipelines.values import CameraState, Cause, Timeline


class WorkerState(StrEnum):
    STARTING = "starting"
    """Spawned or looked for; no lane yet."""
    ATTACHED = "attached"
    """A lane is open and its model known."""
    LOST = "lost"
    """It was attached, and is gone or silent."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class CameraObserved:
    """One camera."""

    ledger: LedgerSnapshot
    state: CameraState
    reason: str = ""
    """For people; URLs redacted."""
    region: str = ""
    url: str = ""
    """Redacted."""
    picture: Cause | None = None
    """black, white, frozen, covered; None when the picture is sound."""
    connects: int = 0
    decoded: int = 0
    decode_s: float = 0.0
    """CPU time of its decoder."""
    catch_up_s: float = 0.0
    """Of that, what only brought a decoder to the packet that woke the camera."""
    gate: GateStatistics | None = None
    alerts: int = 0
    deaths: int = 0
    """How often a bug ended its thread; it was started anew."""


@dataclass(frozen=True, slots=True)
class WorkerObserved:
    """One worker and the lane to it."""

    state: WorkerState
    reason: str = ""
    restarts: int = 0
    model: str = ""
    lane: LaneStatistics | None = None
    """Of the present attach; None while there is none."""
    link: LinkStatistics | None = None
    """Over all attaches; None before the process has begun."""
    flow: FlowStatistics | None = None
    """Of the present attach; None also for a worker that gets nothing, as its model is not the others'."""


@dataclass(frozen=True, slots=True)
class ObservedSnapshot:
    """The whole process at one instant."""

    time_ms: int
    """Wall clock, ms since the epoch."""
    uptime_s: float
    cpu_s: float
    """User and system time of this process and of its children that have ended."""
    alerts: int
    """Episodes begun."""
    cameras: Mapping[str, CameraObserved] = field(default_factory=dict)
    workers: Mapping[str, WorkerObserved] = field(default_factory=dict)
    sinks: Mapping[str, SinkStatistics] = field(default_factory=dict)
    latencies: Mapping[str, LatencySnapshot] = field(default_factory=dict)
    """By name: arrival_to_result, arrival_to_degraded (where no worker answered), arrival_to_ack, and the stages."""
    loop_lag: LatencySnapshot = EMPTY
    audit: AuditSnapshot | None = None
    """None: switched off."""
    budget: BudgetSnapshot | None = None
    standby: StandbySnapshot | None = None
    """Who answers while no worker does."""
    counters: Mapping[str, int] = field(default_factory=dict)
    """Whatever else counts up: exported as framegate_NAME_total."""


def stages_ns(timeline: Timeline) -> dict[str, int]:
    """How long one task spent in each stage, ns; a stage that it did not pass is left out.

    `read`: in the socket buffer before the pump came; `ring`: published until taken; `wait`: for its batch to start;
    `infer`: the batch; `answer`: until the DPU read it.
    """
    passed = (
        ("read", timeline.arrival_ns, timeline.read_ns),
        ("decode", timeline.read_ns, timeline.decoded_ns),
        ("gate", timeline.decoded_ns, timeline.gated_ns),
        ("preprocess", timeline.gated_ns, timeline.published_ns),
        ("ring", timeline.published_ns, timeline.taken_ns),
        ("wait", timeline.taken_ns, timeline.started_ns),
        ("infer", timeline.started_ns, timeline.finished_ns),
        ("answer", timeline.finished_ns, timeline.answered_ns),
    )
    return {name: end - start for name, start, end in passed if start and end}
