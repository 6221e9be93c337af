"""May this lane's worker have a task now, and when would it be done? Pure: time is an argument.

| state | meaning | the sender |
|-------|---------|------------|
| IDLE  | takes tasks of this class | sends |
| BUSY  | holds as many as its window allows, for this class | goes elsewhere, or the frame is `ring_full` |
| RETRY | has failed and is left alone until the breaker probes it | goes elsewhere, or the frame is `ring_full` |
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, Field

from pipelines.transport.breaker import Breaker, BreakerOptions, BreakerState
from pipelines.transport.window import Window, WindowOptions
from pipelines.values import AnswerCode, Priority

_SMOOTHING = 1 / 8
_FAILURES = (AnswerCode.ENGINE_FAILED, AnswerCode.WATCHDOG, AnswerCode.CHECKSUM, AnswerCode.BAD_OUTPUT)


class FlowState(StrEnum):
    IDLE = "idle"
    BUSY = "busy"
    RETRY = "retry"


class FlowOptions(BaseModel, frozen=True, extra="forbid"):
    """How much a worker is given, and when it is left alone."""

    window: WindowOptions = Field(WindowOptions(), description="How the tasks a worker holds follow its speed.")
    breaker: BreakerOptions = Field(BreakerOptions(), description="When a failing worker is left alone.")


@dataclass(frozen=True, slots=True)
class FlowStatistics:
    """How one lane is doing."""

    state: FlowState
    """For a task of normal priority."""
    breaker: BreakerState
    openings: int
    window: int
    in_flight: int
    """Loaned or published."""
    expected_ns: int
    """Until a task sent now would be answered; 0 before the first answer."""


class Flow:
    """One lane of `slots` slots. One thread, or under its owner's lock.

    reserved_high, reserved_normal: as in the ring (LaneOptions); they shrink with the window.
    """

    def __init__(
        self, window: WindowOptions, breaker: Breaker, slots: int, reserved_high: int = 0, reserved_normal: int = 0
    ) -> None:
        self._slots = slots
        self._window = Window(window, slots)
        self._breaker = breaker
        self._floor = (reserved_high + reserved_normal, reserved_high, 0)  # by priority: LOW, NORMAL, HIGH
        self._in_flight = 0
        self._cost_ns = 0.0

    @property
    def cost_ns(self) -> float:
        """Time per task in the worker's hands, by recent experience; 0 before the first answer."""
        return self._cost_ns

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def state(self, priority: Priority, now_ns: int) -> FlowState:
        if not self._breaker.allows(now_ns):
            return FlowState.RETRY
        window = self._window.size
        floor = self._floor[priority] * window // self._slots
        return FlowState.IDLE if self._in_flight < window - floor else FlowState.BUSY

    def expected_ns(self, cost_ns: float | None = None) -> int:
        """Until a task sent now is answered, if each takes `cost_ns` (default: what was measured)."""
        return int((self._in_flight + 1) * (self._cost_ns if cost_ns is None else cost_ns))

    def loaned(self, now_ns: int) -> int:
        """A slot was lent. Returns how many tasks the worker has with it; give that back to `answered`."""
        self._breaker.sent(now_ns)
        self._in_flight += 1
        return self._in_flight

    def withdrawn(self) -> None:
        """The loan was discarded, or the doorbell not rung."""
        self._in_flight -= 1
        self._breaker.withdrawn()

    def answered(self, code: AnswerCode, turnaround_ns: int, place: int, now_ns: int) -> None:
        """An answer. `place`: what `loaned` returned for the task."""
        self._in_flight -= 1
        if code in _FAILURES:
            self._breaker.failed(now_ns)
            return
        if code is AnswerCode.BAD_INPUT:  # the task's fault, and no time worth counting
            self._breaker.withdrawn()
            return
        self._breaker.succeeded()
        self._window.answered(turnaround_ns, refused_late=code is AnswerCode.LATE)
        cost_ns = turnaround_ns / place
        self._cost_ns += (cost_ns - self._cost_ns) * (_SMOOTHING if self._cost_ns else 1)

    def lost(self, now_ns: int) -> None:
        """The lane is gone, with tasks or without; only with tasks does it speak against the worker."""
        if self._in_flight:
            self._breaker.failed(now_ns)
        self._breaker.withdrawn()

    def statistics(self, now_ns: int) -> FlowStatistics:
        return FlowStatistics(
            state=self.state(Priority.NORMAL, now_ns),
            breaker=self._breaker.state(now_ns),
            openings=self._breaker.openings,
            window=self._window.size,
            in_flight=self._in_flight,
            expected_ns=self.expected_ns(),
        )
