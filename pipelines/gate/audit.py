"""The audit of one process: plan, ledger, evidence, estimate and control behind one lock.

    chance -> offer -> window -> frame.. -> settle.. -> end -> (tick) judged -> evidence -> estimate -> settings

Pump threads offer, enter and spend; the event loop settles, reports what the normal path found, and ticks.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.accounting import LedgerSnapshot
from pipelines.gate.audit_control import AuditStep, ControlOptions, Settings, ThresholdControl
from pipelines.gate.audit_estimate import AuditEstimate, EstimateOptions, estimate
from pipelines.gate.audit_ledger import AuditLedger
from pipelines.gate.audit_plan import AuditPlan
from pipelines.gate.audit_tally import History
from pipelines.gate.audit_window import Audited, AuditOptions, AuditWindow
from pipelines.values import Outcome


@dataclass(frozen=True, slots=True)
class AuditSnapshot:
    """One consistent reading."""

    estimate: AuditEstimate
    windows: LedgerSnapshot
    frames: LedgerSnapshot
    spent_s: float
    """CPU seconds of all judged windows."""
    settings: Mapping[str, Settings]
    """Of the cameras with evidence."""


class Audit:
    """Thread-safe; every call is short (`tick` and `snapshot` about 3 ms for 64 cameras: a few times a minute)."""

    def __init__(self, audit: AuditOptions, estimate: EstimateOptions, control: ControlOptions, cores: float) -> None:
        """cores: what the process may use, of which the audit has its share."""
        self._lock = threading.Lock()
        self._options = estimate
        self._plan = AuditPlan(audit, cores)
        self._ledger = AuditLedger(audit)
        self._history = History(estimate.memory_s)
        self._control = ThresholdControl(control)
        self._spent_s = 0.0

    def offer(self, camera: str, gate: Outcome, score: float, now_ns: int, draw: float) -> AuditWindow | None:
        """See AuditPlan.offer. A window that comes back is entered in the ledger, and must be ended."""
        with self._lock:
            window = self._plan.offer(camera, gate, score, now_ns, draw)
            if window is not None:
                self._ledger.begin(window)
            return window

    def frame(self, window: AuditWindow, time_ns: int) -> int:
        """A frame of the window goes in, at this time of arrival. Returns its number, to settle it by."""
        with self._lock:
            return self._ledger.frame(window, time_ns)

    def settle(self, sequence: int, outcome: Outcome, positive: bool = False) -> None:
        """Give an audited frame its outcome. positive: the detector saw something wanted."""
        with self._lock:
            self._ledger.settle(sequence, outcome, positive)

    def spent(self, window: AuditWindow, cpu_s: float) -> None:
        """CPU seconds of work for this window, of any kind and thread."""
        with self._lock:
            self._ledger.spent(window, cpu_s)

    def end(self, window: AuditWindow, now_ns: int, void: bool = False) -> None:
        """No more frames of this window. void: it does not count, as the camera stopped in it."""
        with self._lock:
            self._ledger.end(window, now_ns, void)

    def found(self, camera: str, time_ns: int, now_ns: int) -> None:
        """The normal path, by its own gates, saw something wanted in a frame of this time of arrival."""
        with self._lock:
            if self._ledger.found(camera, time_ns):
                self._history.at(camera, now_ns).found += 1.0

    def known_miss(self, camera: str, gate: Outcome, time_ns: int, now_ns: int) -> None:
        """Something wanted was seen that this gate would have dropped, had it been asked.

        The stream was awake because of the heartbeat or of an audited window, and its gate still says no.
        """
        with self._lock:
            self._plan.suspect(camera, now_ns)
            if self._ledger.known_miss(camera, time_ns):
                self._history.at(camera, now_ns).gate(gate).known += 1.0

    def suspect(self, camera: str, now_ns: int) -> None:
        """See AuditPlan.suspect."""
        with self._lock:
            self._plan.suspect(camera, now_ns)

    def forget(self, camera: str, now_ns: int) -> None:
        """The camera is gone; what it has in flight still settles."""
        with self._lock:
            self._ledger.void(camera, now_ns)
            self._ledger.forget(camera)
            self._plan.forget(camera)
            self._history.forget(camera)
            self._control.forget(camera)

    def settings(self, camera: str) -> Settings:
        """What its gates are to do now."""
        with self._lock:
            return self._control.settings(camera)

    def tick(self, now_ns: int) -> list[AuditStep]:
        """Judge what is over, weigh the evidence, move thresholds. Call it every few seconds; returns the moves."""
        with self._lock:
            for audited in self._ledger.judged(now_ns):
                self._judge(audited, now_ns)
            for (camera, gate), units in self._plan.take_units().items():
                self._history.at(camera, now_ns).gate(gate).units += units
            steps = self._control.update(estimate(self._history.read(now_ns), self._options), now_ns)
            for step in steps:
                self._history.forget(step.camera)
                self._ledger.void(step.camera, now_ns)
            return steps

    def snapshot(self, now_ns: int) -> AuditSnapshot:
        """For metrics and the report."""
        with self._lock:
            evidence = self._history.read(now_ns)
            return AuditSnapshot(
                estimate(evidence, self._options),
                self._ledger.windows.snapshot(),
                self._ledger.frames.snapshot(),
                self._spent_s,
                {camera: self._control.settings(camera) for camera in evidence},
            )

    def _judge(self, audited: Audited, now_ns: int) -> None:
        window = audited.window
        complete = audited.outcome is Outcome.INFERRED
        self._plan.finish(window, audited.cpu_s, complete)
        self._spent_s += audited.cpu_s
        if not complete:
            return
        self._history.at(window.camera, now_ns).gate(window.gate).note(audited)
        if audited.missed:
            self._plan.suspect(window.camera, now_ns)
