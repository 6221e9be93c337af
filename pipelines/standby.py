"""Who answers while no worker does: what pumps and event loop share about it.

A pump asks before it lends a slot. The event loop tells of lanes and answers, and asks again for tasks that a worker
had and will not answer. Whoever closes a task in the in-flight table first has answered it: a worker that comes back
while the own detector works on its task simply wins, and a slot can only get another picture after such an answer, so
that what the own detector saw is never used if it changed under its hands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.contracts import SlotWriter
from pipelines.inflight import InFlight
from pipelines.standin.choice import Answerer, Case, choose
from pipelines.standin.detector import OwnDetector
from pipelines.standin.options import DegradedOptions
from pipelines.standin.watch import WorkerWatch
from pipelines.values import U8, Cause, ModelCard, PixelFormat, TaskContext

_NO_DEADLINE_NS = 600 * 1_000_000_000
"""Tasks of files that are read as fast as possible have deadlines beyond this, and may wait."""


@dataclass(frozen=True, slots=True)
class StandbySnapshot:
    """How it stands."""

    answerer: Answerer
    """Who answers a frame that is seen now."""
    reason: str
    """Why it is not a worker; empty if it is one."""
    losses: int
    """How often workers stopped answering, the wait for the first one left out."""
    degraded_s: float
    """For how long they did not, all in all."""
    detector: str
    """The own detector's model; empty: none."""
    waiting: int
    """Pictures that wait for it."""


class Standby:
    """One per process. Pumps: `worker_gets`, `answerer`, `lane`. All else in the event loop."""

    def __init__(self, options: DegradedOptions, inflight: InFlight) -> None:
        self.watch = WorkerWatch(options)
        self._inflight = inflight
        self._detector: OwnDetector | None = None
        self.lane: SlotWriter | None = None
        """Into the own detector; None: there is none."""
        self.tell: Callable[[int], None] = lambda task: None
        """Hands a task over to the loop, which answers it by its presence score. Any thread."""
        self._given: dict[int, Cause] = {}
        """Tasks of workers that the own detector has, and why."""
        self._since_ns: int | None = None
        self._losses = 0
        self._degraded_ns = 0

    def equip(self, detector: OwnDetector, lane: SlotWriter) -> None:
        """There is an own detector; before the cameras start."""
        self._detector, self.lane = detector, lane

    @property
    def card(self) -> ModelCard | None:
        """Of the own detector."""
        return self._detector.card if self._detector else None

    @property
    def busy(self) -> bool:
        """The own detector has something to do."""
        return self._detector is not None and self._detector.waiting > 0

    # --- any thread ------------------------------------------------------------------------------------------------

    def worker_gets(self, now_ns: int) -> bool:
        """The frame in hand may go to a worker."""
        return self._inflight.writer is not None and self.watch.gives(now_ns)

    def answerer(self, present: bool | None, audited: bool, deadline_ns: int, now_ns: int) -> Answerer:
        """Who answers the frame in hand, if no worker does."""
        takes_ns = self._detector.takes_ns(now_ns) if self._detector else None
        return choose(Case(False, deadline_ns - now_ns, audited, True, present), takes_ns)

    # --- the event loop ----------------------------------------------------------------------------------------------

    def rescue(self, context: TaskContext, payload: U8 | None, cause: Cause, now_ns: int) -> Answerer:
        """A worker had this task and failed it, or is silent: who answers it? DETECTOR: it has it now.

        Args:
            payload: Its picture: where it was published while nobody else can get that slot, else a copy.
        """
        given = context.task in self._given
        if given and payload is context.payload:
            return Answerer.DETECTOR
        header = context.header
        if header is None:
            return Answerer.NOBODY
        # An answer came: the slot that the own detector looks at is free, and what it finds there is worth nothing.
        picture = payload is not None and header.pixel_format is PixelFormat.I420 and not given
        takes_ns = self._detector.takes_ns(now_ns) if self._detector else None
        case = Case(False, header.deadline_ns - now_ns, context.audit is not None, picture, context.present)
        answerer = choose(case, takes_ns)
        if answerer is Answerer.DETECTOR and self._detector is not None and payload is not None:
            self._given[context.task] = cause
            self._detector.submit(header, payload[: header.payload_bytes])
        return answerer

    def took_back(self, task: int) -> Cause | None:
        """The own detector is through with a task. Why a worker did not answer it; None: no worker ever had it."""
        return self._given.pop(task, None)

    def overdue(self, now_ns: int) -> list[TaskContext]:
        """Look whether the worker is silent, and if so, for which tasks somebody else should answer."""
        waiting = [context for context in self._inflight.contexts() if self._awaited(context, now_ns)]
        oldest_ns = min((context.timeline.published_ns for context in waiting), default=None)
        usual_ns = self._inflight.turnaround_ns
        self.watch.look(now_ns, oldest_ns, usual_ns)
        if not self.watch.reason:
            return []
        limit_ns = self.watch.limit_ns(usual_ns)
        return [
            context
            for context in waiting
            if now_ns - context.timeline.published_ns > limit_ns and context.task not in self._given
        ]

    def _awaited(self, context: TaskContext, now_ns: int) -> bool:
        """A worker has it, and time matters."""
        header = context.header
        return header is not None and context.to_worker and header.deadline_ns - now_ns < _NO_DEADLINE_NS

    def changed(self, now_ns: int) -> str | None:
        """Did it begin or end? The reason if it began, "" if workers answer again, None: as before."""
        reason = self.watch.reason
        if bool(reason) == (self._since_ns is not None):
            return None
        if self._since_ns is None:
            self._since_ns = now_ns
            self._losses += self.watch.ever_attached
        else:
            self._degraded_ns += now_ns - self._since_ns
            self._since_ns = None
        return reason

    def snapshot(self, now_ns: int) -> StandbySnapshot:
        reason = self.watch.reason
        going_on_ns = now_ns - self._since_ns if self._since_ns is not None else 0
        own = Answerer.DETECTOR if self._detector else Answerer.PRESENCE
        return StandbySnapshot(
            answerer=own if reason else Answerer.WORKER,
            reason=reason,
            losses=self._losses,
            degraded_s=(self._degraded_ns + going_on_ns) / 1e9,
            detector=self._detector.card.name if self._detector else "",
            waiting=self._detector.waiting if self._detector else 0,
        )
