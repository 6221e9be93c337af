"""One camera's side of the audit: which of what its gates drop is looked at anyway, now.

Pump thread. `asleep` windows begin and end at key frames; `still` and `empty` ones at any frame that is dropped.
"""

from __future__ import annotations

import random

from pipelines.gate.audit import Audit
from pipelines.gate.audit_window import AuditWindow
from pipelines.values import AuditTag, Outcome


class Auditor:
    """Windows of one camera, one per gate at most."""

    def __init__(self, audit: Audit, camera: str, rng: random.Random | None = None) -> None:
        self._audit = audit
        self._camera = camera
        self._random = rng or random.Random()
        self._open: dict[Outcome, AuditWindow] = {}

    def dropped(self, gate: Outcome, score: float, now_ns: int) -> AuditWindow | None:
        """`gate` drops something now: the window it is audited in, or None.

        score: how near the gate was to letting it pass, 1 at its threshold.
        """
        window = self._open.get(gate)
        if window is not None and now_ns < window.end_ns:
            return window
        if window is not None:
            self.end(gate, now_ns)
        window = self._audit.offer(self._camera, gate, min(max(score, 0.0), 1.0), now_ns, self._random.random())
        if window is not None:
            self._open[gate] = window
        return window

    def enter(self, window: AuditWindow, time_ns: int) -> AuditTag:
        """A frame of the window goes on. What becomes of it is told by `settle`."""
        return AuditTag(self._audit.frame(window, time_ns), window.gate)

    def settle(self, tag: AuditTag, outcome: Outcome) -> None:
        """It went no further than here."""
        self._audit.settle(tag.sequence, outcome)

    def spent(self, window: AuditWindow, cpu_s: float) -> None:
        self._audit.spent(window, cpu_s)

    def end(self, gate: Outcome, now_ns: int, void: bool = False) -> None:
        """No more frames of this gate's window. void: it does not count."""
        window = self._open.pop(gate, None)
        if window is not None:
            self._audit.end(window, now_ns, void)

    def close(self, now_ns: int) -> None:
        """The connection is lost or the camera stops: nothing that runs counts."""
        for gate in tuple(self._open):
            self.end(gate, now_ns, void=True)
