"""What a DPU process observes of itself: latencies, states, the log. The core calls its hooks; nothing calls back.

Event loop only, but for `log`.
"""

from __future__ import annotations

import asyncio
import resource
import time
import traceback
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from app.observe.latency import LatencyHistogram
from app.observe.loop_lag import LoopLag
from app.observe.snapshot import CameraObserved, ObservedSnapshot, WorkerState, stages_ns
from pipelines.source.redact import redact
from pipelines.standin.choice import Answerer
from pipelines.values import Alert, AlertType, CameraHealth, CameraState, Cause, FrameResult

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

    from app.dpu import Dpu


class Measure:
    """Observations of one process."""

    def __init__(self, log: BoundLogger) -> None:
        self.log = log
        self.worker_attached = asyncio.Event()
        self.stopping = False
        """The process is being stopped: losing the worker is no news."""
        self._lag = LoopLag()
        self._started_ns = time.monotonic_ns()
        self._cpu_before_s = _cpu_s()
        self._latency: dict[str, LatencyHistogram] = {}
        self._pictures: dict[str, Cause] = {}
        self._workers: dict[str, tuple[WorkerState, str]] = {}
        self._alerts: dict[str, int] = {}

    # --- hooks -----------------------------------------------------------------------------------------------------

    def result(self, result: FrameResult) -> None:
        """A frame was answered."""
        line = result.timeline
        if result.degraded is not None:
            self._record("arrival_to_degraded", line.answered_ns - line.arrival_ns)
            return
        self._record("arrival_to_result", line.answered_ns - line.arrival_ns)
        for stage, elapsed_ns in stages_ns(line).items():
            self._record(stage, elapsed_ns)

    def acked(self, alert: Alert, now_ns: int) -> None:
        """A sink's peer has an alert. Only records that a frame caused have a timeline."""
        if alert.timeline.arrival_ns:
            self._record("arrival_to_ack", now_ns - alert.timeline.arrival_ns)

    def alert(self, alert: Alert) -> None:
        if alert.type is AlertType.NEW:
            self._alerts[alert.camera_id] = self._alerts.get(alert.camera_id, 0) + 1

    def camera(self, health: CameraHealth) -> None:
        """A change of a camera's state or picture."""
        picture = health.picture
        if picture is None:
            self._pictures.pop(health.camera_id, None)
        else:
            self._pictures[health.camera_id] = picture
        bad = health.state in (CameraState.BACKOFF, CameraState.STALLED) or picture is not None
        write = self.log.warning if bad else self.log.info
        write(
            "camera.state",
            camera=health.camera_id,
            state=health.state.value,
            reason=health.reason,
            picture=picture.value if picture else None,
        )

    def camera_died(self, camera: str, error: BaseException, wait_s: float) -> None:
        """A bug ended a camera's thread; it is started anew after that wait."""
        where = [f"{one.filename}:{one.lineno} {one.name}" for one in traceback.extract_tb(error.__traceback__)]
        self.log.error("camera.died", camera=camera, error=redact(repr(error)), again_s=wait_s, where=where)

    def served(self, attached: bool, reason: str) -> None:
        """The first of the workers attached, or the last one is lost."""
        del reason  # each worker's own is told by worker_changed
        (self.worker_attached.set if attached else self.worker_attached.clear)()

    def worker_changed(self, worker: str, attached: bool, reason: str, carrier: str, choice: str) -> None:
        """One worker's lane was attached or lost. `choice`: why that carrier."""
        gone = WorkerState.STOPPED if self.stopping else WorkerState.LOST
        self._workers[worker] = (WorkerState.ATTACHED if attached else gone, reason)
        if attached:
            self.log.info("worker.attached", worker=worker, reason=reason, carrier=carrier, choice=choice)
        else:
            write = self.log.info if self.stopping else self.log.warning
            write("worker.lost", worker=worker, reason=reason, carrier=carrier)

    def degraded(self, reason: str, answerer: Answerer) -> None:
        """Workers stopped answering, for this reason; or, without one, answer again."""
        if not reason:
            self.log.info("degraded.ended", answers=answerer.value)
        else:
            write = self.log.warning if self._workers and not self.stopping else self.log.info
            write("degraded.began", answers=answerer.value, reason=reason)

    def worker_process(self, state: str, text: str) -> None:
        """The supervisor's word on the child process."""
        (self.log.info if state == "started" else self.log.warning)(f"worker.process.{state}", text=text)

    # --- readings --------------------------------------------------------------------------------------------------

    def services(self) -> dict[str, Coroutine[Any, Any, None]]:
        return {"loop-lag": self._lag.run()}

    def worker_state(self, worker: str) -> tuple[WorkerState, str]:
        """Its state, and why."""
        return self._workers.get(worker, (WorkerState.STARTING, ""))

    def snapshot(self, dpu: Dpu) -> ObservedSnapshot:
        """Everything at one instant."""
        now_ns = time.monotonic_ns()
        return ObservedSnapshot(
            time_ms=time.time_ns() // 1_000_000,
            uptime_s=(now_ns - self._started_ns) / 1e9,
            cpu_s=_cpu_s() - self._cpu_before_s,
            alerts=dpu.egress.alerts,
            cameras=self._cameras(dpu),
            workers=dpu.fleet.observe(),
            sinks={sink.name: sink.statistics() for sink in dpu.sinks},
            latencies={name: one.snapshot() for name, one in self._latency.items()},
            loop_lag=self._lag.snapshot(),
            audit=dpu.audit.snapshot(now_ns) if dpu.audit else None,
            budget=dpu.makers.share.snapshot(now_ns)[0],
            standby=dpu.standby.snapshot(now_ns),
            counters={
                "orphan_answers": dpu.egress.orphans,
                "tasks_resubmitted": dpu.fleet.workers.observe().resubmitted,
                "snapshots_skipped": dpu.egress.snapshots_skipped,
                "stuck_pumps": len(dpu.cameras.stuck),
            },
        )

    def _cameras(self, dpu: Dpu) -> dict[str, CameraObserved]:
        pumps, configs = dpu.cameras.pumps, dpu.config.cameras
        out = {}
        for camera, ledger in dpu.cameras.ledgers().items():
            pump, config = pumps.get(camera), configs.get(camera)
            out[camera] = CameraObserved(
                ledger=ledger,
                state=pump.state if pump else CameraState.STOPPED,
                reason=pump.reason if pump else "",
                region=config.region if config else "",
                url=config.shown_url if config else "",
                picture=self._pictures.get(camera),
                connects=pump.connects if pump else 0,
                decoded=pump.packets.decoded if pump else 0,
                decode_s=pump.packets.decode_ns / 1e9 if pump else 0.0,
                catch_up_s=pump.packets.catch_up_ns / 1e9 if pump else 0.0,
                gate=pump.packets.gate.statistics() if pump else None,
                alerts=self._alerts.get(camera, 0),
                deaths=dpu.cameras.deaths(camera),
            )
        return out

    def _record(self, name: str, elapsed_ns: int) -> None:
        self._latency.setdefault(name, LatencyHistogram()).record(elapsed_ns)


def _cpu_s() -> float:
    """Of this process and the children that have ended; also of children from before an exec."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
