"""Loop 2: from a worker's answer to alerts at the sinks. Everything here runs in the event loop.

    answer -> settle -> threshold, NMS, restore -> episode -> snapshot -> sinks

A task that a worker fails, loses or keeps too long goes to a model of this process (standby.py), and is `degraded`.

The snapshot is the only step that leaves the loop's thread (JPEG encoding); alerts keep their order because one task
handles them one by one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.accounting import Ledger
from pipelines.attention import Attention
from pipelines.contracts import Sink, SlotWriter
from pipelines.event.episode import EpisodeTracker
from pipelines.event.snapshot import Snapshotter
from pipelines.gate.audit import Audit
from pipelines.inflight import InFlight
from pipelines.postprocess.decode import detect
from pipelines.standby import Standby
from pipelines.standin.choice import Answerer
from pipelines.standin.options import DegradedOptions
from pipelines.values import (
    FAILED_CODES,
    U8,
    Alert,
    AlertType,
    Answer,
    AnswerCode,
    CameraHealth,
    Cause,
    Detections,
    FrameResult,
    Letterbox,
    ModelCard,
    Outcome,
    TaskContext,
)

OUTCOME_OF_CODE: dict[AnswerCode, tuple[Outcome, Cause | None]] = {
    AnswerCode.OK: (Outcome.INFERRED, None),
    AnswerCode.LATE: (Outcome.LATE, Cause.AT_WORKER),
    AnswerCode.ENGINE_FAILED: (Outcome.FAILED, Cause.ENGINE),
    AnswerCode.WATCHDOG: (Outcome.FAILED, Cause.WATCHDOG),
    AnswerCode.BAD_INPUT: (Outcome.FAILED, Cause.BAD_INPUT),
    AnswerCode.CHECKSUM: (Outcome.FAILED, Cause.CHECKSUM),
    AnswerCode.BAD_OUTPUT: (Outcome.FAILED, Cause.BAD_OUTPUT),
}

_NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))

_AUDIT_WAKE_NS = 5_000_000_000
"""How long a camera is kept awake by what the audit saw; if it goes on, the gates see it by then."""
_ALERT_QUEUE = 256
"""Alerts waiting for a snapshot; beyond it alerts go out at once, without one, counted."""


@dataclass(slots=True)
class CameraOut:
    """One camera's half of loop 2."""

    ledger: Ledger
    tracker: EpisodeTracker
    least_score: Callable[[float], float]
    """From the card's recommended threshold to the one of this camera."""
    attention: Attention
    """Told what the answers say, so that the camera stays awake for it."""
    paced: bool = True
    """False: time is the media's, and only answers move it."""
    snapshotter: Snapshotter | None = None
    audit: Audit | None = None
    wake: Callable[[int], None] = lambda until_ns: None
    """Keeps the camera awake until then: the audit saw something."""


class Egress:
    """Turns answers into alerts. Implements contracts.LaneEvents."""

    def __init__(
        self,
        inflight: InFlight,
        sinks: Sequence[Sink],
        on_result: Callable[[FrameResult], None],
        on_alert: Callable[[Alert], None],
        on_worker: Callable[[bool, str], None],
        standby: Standby | None = None,
    ) -> None:
        """standby: who answers while no worker does; None: the presence score alone."""
        self._inflight = inflight
        self._sinks = sinks
        self._on_result = on_result
        self._on_alert = on_alert
        self._on_worker = on_worker
        self._standby = standby or Standby(DegradedOptions(), inflight)
        self._cameras: dict[str, CameraOut] = {}
        self._card: ModelCard | None = None
        self._queue: asyncio.Queue[tuple[Alert, FrameResult | None, Snapshotter | None]] = asyncio.Queue(_ALERT_QUEUE)
        self.alerts = 0
        """Episodes begun."""
        self.snapshots_skipped = 0
        self.orphans = 0
        """Answers to tasks that were settled before: their camera was removed, or somebody else was quicker."""

    # --- cameras come and go ---------------------------------------------------------------------------------------

    def add(self, camera: str, out: CameraOut) -> None:
        self._cameras[camera] = out

    def remove(self, camera: str, forget: bool = True) -> None:
        """Settle the camera's tasks as stopped and end its episode. Its pump has ended.

        forget: the camera is gone, and so is what the audit knows of it; False: the process stops, and reports it.
        """
        out = self._cameras.pop(camera)
        for context in self._inflight.close_camera(camera):
            self._settle(out, context, Outcome.STOPPED)
        now_ns = time.monotonic_ns()
        if out.audit is not None and forget:
            out.audit.forget(camera, now_ns)
        self._emit(out, out.tracker.close(now_ns, "camera stopped"), None)

    # --- contracts.LaneEvents --------------------------------------------------------------------------------------

    def attached(self, writer: SlotWriter) -> None:
        self._card = writer.card
        self._standby.watch.attached(time.monotonic_ns())
        self._inflight.writer = writer
        self._on_worker(True, f"model {writer.card.name}")

    def answered(self, answer: Answer) -> None:
        now_ns = time.monotonic_ns()
        self._standby.watch.heard(answer.code, now_ns)
        context = self._inflight.get(answer.task)
        if context is None or (out := self._cameras.get(context.camera)) is None:
            self.orphans += 1
            return
        outcome, cause = OUTCOME_OF_CODE[answer.code]
        if answer.code in FAILED_CODES and cause is not None:
            self._without_worker(context, answer.payload, cause)
            return
        self._inflight.close(answer.task)
        if answer.code is AnswerCode.OK and self._card is not None:
            self._inflight.observe_turnaround(now_ns - context.timeline.published_ns)
            self._result(self._restored(context, answer, out, self._card), context, out)
        else:
            self._settle(out, context, outcome, cause)

    def _settle(self, out: CameraOut, context: TaskContext, outcome: Outcome, cause: Cause | None = None) -> None:
        """In the camera's ledger, or in the audit's."""
        if context.audit is None:
            out.ledger.settle(context.sequence, outcome, cause)
        elif out.audit is not None:
            out.audit.settle(context.audit.sequence, outcome)

    def lost(self, tasks: Sequence[int], reason: str) -> None:
        self._inflight.writer = None
        self._standby.watch.lost(reason)
        self.gave_up(tasks, reason)
        self._on_worker(False, reason)

    def gave_up(self, tasks: Sequence[int], reason: str) -> None:
        """These will never be answered; the lane goes on with other workers. See transport's FrontEvents."""
        for task in tasks:
            context = self._inflight.get(task)
            if context is not None:
                self._without_worker(context, context.payload, Cause.PEER_LOST)

    # --- when no worker answers --------------------------------------------------------------------------------------

    def look(self, now_ns: int) -> None:
        """Several times a second: what a silent worker keeps is answered here, if it can be; else it may still come."""
        for context in self._standby.overdue(now_ns):
            self._without_worker(context, context.payload, Cause.SILENT, final=False)

    def _without_worker(self, context: TaskContext, payload: U8 | None, cause: Cause, final: bool = True) -> None:
        """A worker had this task. final: and will never answer it."""
        answerer = self._standby.rescue(context, payload, cause, time.monotonic_ns())
        if answerer is Answerer.PRESENCE:
            self.by_presence(context.task)
        elif answerer is Answerer.NOBODY and final:
            self._fail(context.task, cause)

    def by_own_detector(self, answer: Answer, fit: Letterbox | None = None) -> None:
        """The own detector is through with a task. `fit`: where the source lay in what it saw; None: as published."""
        cause = self._standby.took_back(answer.task) or Cause.NO_WORKER
        context = self._inflight.get(answer.task)
        if context is None or (out := self._cameras.get(context.camera)) is None:
            return
        if answer.code is AnswerCode.OK and (card := self._standby.card) is not None:
            self._inflight.close(answer.task)
            context = replace(context, fit=fit or context.fit)
            degraded = replace(self._restored(context, answer, out, card), degraded=Cause.DETECTOR.value)
            self._degraded(degraded, context, out, Cause.DETECTOR)
        elif context.present is not None:
            self.by_presence(answer.task)
        else:
            self._fail(answer.task, cause)

    def by_presence(self, task: int) -> None:
        """Nobody but the presence model has an answer."""
        context = self._inflight.close(task)
        if context is None or (out := self._cameras.get(context.camera)) is None:
            return
        result = FrameResult(
            camera=context.camera,
            task=task,
            sequence=context.sequence,
            wall_ms=context.wall_ms,
            source_wh=(context.fit.source_w, context.fit.source_h),
            detections=_NOTHING,
            class_names=(),
            model=Cause.PRESENCE.value,
            timeline=replace(context.timeline, published_ns=0, answered_ns=time.monotonic_ns()),
            time_ns=context.time_ns,
            degraded=Cause.PRESENCE.value,
            present=bool(context.present),
            frame=context.frame,
        )
        self._degraded(result, context, out, Cause.PRESENCE)

    def _degraded(self, result: FrameResult, context: TaskContext, out: CameraOut, cause: Cause) -> None:
        """Settle, and tell. The audit learns nothing from it: it compares the gates with the worker's model."""
        out.ledger.settle(context.sequence, Outcome.DEGRADED, cause)
        self._on_result(result)
        self._show(result, context, out)

    def _fail(self, task: int, cause: Cause) -> None:
        context = self._inflight.close(task)
        if context is not None and context.camera in self._cameras:
            self._settle(self._cameras[context.camera], context, Outcome.FAILED, cause)

    # --- results ---------------------------------------------------------------------------------------------------

    def _restored(self, context: TaskContext, answer: Answer, out: CameraOut, card: ModelCard) -> FrameResult:
        """The answer in source pixels."""
        return FrameResult(
            camera=context.camera,
            task=context.task,
            sequence=context.sequence,
            wall_ms=context.wall_ms,
            source_wh=(context.fit.source_w, context.fit.source_h),
            detections=detect(answer.rows, context.fit, card, out.least_score(card.score_threshold)),
            class_names=card.classes,
            model=card.name,
            timeline=replace(
                context.timeline,
                taken_ns=answer.taken_ns,
                started_ns=answer.started_ns,
                finished_ns=answer.finished_ns,
                answered_ns=time.monotonic_ns(),
            ),
            score_threshold=card.score_threshold,
            time_ns=context.time_ns,
            source="gate" if context.audit is None else "audit",
            frame=context.frame,
            lane=answer.lane,
        )

    def _result(self, result: FrameResult, context: TaskContext, out: CameraOut) -> None:
        """Settle, and tell: an audited frame only if it shows what its gate should have let pass."""
        now_ns = result.timeline.answered_ns
        wanted = out.audit is not None and out.tracker.wants(result)
        if context.audit is None:
            out.ledger.settle(context.sequence, Outcome.INFERRED)
            self._on_result(result)
        elif out.audit is not None:
            out.audit.settle(context.audit.sequence, Outcome.INFERRED, wanted)
            if not wanted:
                return
            out.wake(now_ns + _AUDIT_WAKE_NS)
        if wanted and out.audit is not None and context.audit is None:
            arrival_ns = context.timeline.arrival_ns
            if context.against is None:
                out.audit.found(context.camera, arrival_ns, now_ns)
            else:
                out.audit.known_miss(context.camera, context.against, arrival_ns, now_ns)
        self._show(result, context, out)

    def _show(self, result: FrameResult, context: TaskContext, out: CameraOut) -> None:
        for sink in self._sinks:
            sink.result(result)
        now_ns = result.timeline.answered_ns if out.paced else context.time_ns
        self._emit(out, out.tracker.update(result, now_ns), result)
        out.attention.answered(context.time_ns, out.tracker.wanted_ns, out.tracker.alive)

    def tick(self, now_ns: int) -> None:
        """Ends episodes whose time has run out. A few times a second."""
        for out in self._cameras.values():
            if out.paced and out.tracker.alive:
                self._emit(out, out.tracker.tick(now_ns), None)
                out.attention.alive = out.tracker.alive

    def health(self, health: CameraHealth) -> None:
        for sink in self._sinks:
            sink.health(health)

    # --- alerts ----------------------------------------------------------------------------------------------------

    def _emit(self, out: CameraOut, alerts: Sequence[Alert], result: FrameResult | None) -> None:
        for alert in alerts:
            self.alerts += alert.type is AlertType.NEW
            self._on_alert(alert)
            raised_by = result if alert.type is AlertType.NEW else None
            try:
                self._queue.put_nowait((alert, raised_by, out.snapshotter))
            except asyncio.QueueFull:
                self.snapshots_skipped += 1
                self._offer(alert)

    def _offer(self, alert: Alert) -> None:
        for sink in self._sinks:
            sink.alert(alert)

    async def run(self) -> None:
        """Give alerts their snapshots and offer them to the sinks, in order. Until cancelled."""
        while True:
            alert, result, snapshotter = await self._queue.get()
            try:
                if snapshotter is not None:
                    alert = await asyncio.to_thread(snapshotter.attach, alert, result)
            finally:
                self._offer(alert)
                self._queue.task_done()

    async def drain(self) -> None:
        """Wait until every alert so far was offered to the sinks. `run` must be running."""
        await self._queue.join()
