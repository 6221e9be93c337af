"""Several workers behind one DPU process: one SlotWriter (Front) to the pumps, LaneEvents of its own for each link.

A task goes to the worker that should be done with it first. A worker that is slow gets fewer, one that fails is left
alone and probed (flow.py). When one is lost, its tasks go to another while their deadlines allow: their payloads still
lie in the lost lane's memory, which is this process's own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from pipelines.contracts import LaneEvents, LaneStatistics, Slot, SlotWriter
from pipelines.errors import LaneError
from pipelines.transport.breaker import Breaker, BreakerOptions
from pipelines.transport.flow import Flow, FlowState, FlowStatistics
from pipelines.transport.options import LaneOptions
from pipelines.values import U8, Answer, ModelCard, Priority, SlotHeader


class FrontEvents(LaneEvents, Protocol):
    """What all workers together tell the DPU's event loop. `lost`: the last one is."""

    def gave_up(self, tasks: Sequence[int], reason: str) -> None:
        """A worker is gone, others are there; nobody could take these tasks, and they will never be answered."""


Told = Callable[[str, bool, str], None]
"""(worker, attached, reason): one worker came or went. In the loop."""


@dataclass(slots=True, eq=False)
class _Task:
    """One that is out. `payload` keeps its lane's memory alive."""

    header: SlotHeader
    payload: U8
    sent_ns: int
    place: int


@dataclass(frozen=True, slots=True)
class WorkersStatistics:
    """How the workers are doing."""

    flows: dict[str, FlowStatistics]
    """Of those that are attached."""
    resubmitted: int
    """Tasks of lost workers that went to another one."""
    refused: dict[str, str]
    """Why an attached worker gets nothing, for people."""


class Member:
    """One worker's place. Implements contracts.LaneEvents for its link; event-loop thread."""

    def __init__(self, name: str, options: BreakerOptions, workers: Workers) -> None:
        self.name = name
        self.writer: SlotWriter | None = None
        self.flow: Flow | None = None
        """None: not attached, or not used."""
        self.refused = ""
        self.way = name
        """What its answers are marked with, WORKER/CARRIER; told by whoever knows the link."""
        self.breaker = Breaker(options)
        self._workers = workers

    def attached(self, writer: SlotWriter) -> None:
        self._workers.joined(self, writer)

    def answered(self, answer: Answer) -> None:
        self._workers.heard(self, answer)

    def lost(self, tasks: Sequence[int], reason: str) -> None:
        self._workers.left(self, tasks, reason)


class Front:
    """The SlotWriter over all attached lanes of one model.

    Another model has another one, as pumps fit their pictures to the card of the writer they lend from.
    """

    def __init__(self, workers: Workers, card: ModelCard) -> None:
        self._workers = workers
        self._card = card

    @property
    def card(self) -> ModelCard:
        return self._card

    def loan(self, priority: Priority) -> Slot | None:
        """See SlotWriter: a slot of the worker that should be done first; None: all are busy or left alone."""
        return self._workers.loan(self, priority)

    def publish(self, slot: Slot, header: SlotHeader) -> bool:
        """See SlotWriter. Raises LaneError as LaneWriter does, and then the slot still is the caller's."""
        return self._workers.publish(slot, header)

    def discard(self, slot: Slot) -> None:
        """See SlotWriter. Raises LaneError as LaneWriter does."""
        self._workers.discard(slot)

    def statistics(self) -> LaneStatistics:
        """The sum over the attached lanes; counters of lost ones are gone with them."""
        return self._workers.statistics()


class Workers:
    """All lanes of one DPU process. Pumps loan, publish and discard through the Front; all else in the loop.

    Egress sees one lane: `attached` with the first worker, `lost` with the last; the pumps keep their Front meanwhile.
    """

    def __init__(
        self,
        names: Sequence[str],
        lane: LaneOptions,
        events: FrontEvents,
        told: Told = lambda name, attached, reason: None,
        now_ns: Callable[[], int] = time.monotonic_ns,
        misfit: Callable[[ModelCard], str] = lambda card: "",
    ) -> None:
        self.members = tuple(Member(name, lane.flow.breaker, self) for name in names)
        """misfit: why a worker with that model gets nothing, for people; empty: it may."""
        self._lane, self._events, self._told, self._now_ns = lane, events, told, now_ns
        self._misfit = misfit
        self._lock = threading.Lock()
        self._front: Front | None = None
        self._lent: dict[Slot, tuple[SlotWriter, Flow, int]] = {}
        self._out: dict[int, _Task] = {}
        self._resubmitted = 0

    # --- for the Front, any thread ---------------------------------------------------------------------------------

    def loan(self, front: Front, priority: Priority) -> Slot | None:
        """None also for a Front whose model is gone."""
        with self._lock:
            order = self._by_completion(priority, self._now_ns()) if front is self._front else []
        for writer, flow in order:
            slot = writer.loan(priority)
            if slot is not None:
                with self._lock:
                    self._lent[slot] = (writer, flow, flow.loaned(self._now_ns()))
                return slot
        return None

    def publish(self, slot: Slot, header: SlotHeader) -> bool:
        writer, flow, place = self._lent[slot]
        task = _Task(header, slot.payload, self._now_ns(), place)
        with self._lock:
            self._out[header.task] = task  # before the doorbell: the answer may be quick
        try:
            rung = writer.publish(slot, header)
        except LaneError:
            with self._lock:
                del self._out[header.task]
            raise
        with self._lock:
            del self._lent[slot]
            if not rung:
                del self._out[header.task]
                flow.withdrawn()
        return rung

    def discard(self, slot: Slot) -> None:
        writer, flow, _ = self._lent[slot]
        writer.discard(slot)
        with self._lock:
            del self._lent[slot]
            flow.withdrawn()

    def statistics(self) -> LaneStatistics:
        parts = [member.writer.statistics() for member in self.members if member.writer and member.flow]
        return LaneStatistics(*(sum(getattr(part, name) for part in parts) for name in LaneStatistics.__slots__))

    # --- from the members, in the loop -------------------------------------------------------------------------------

    def joined(self, member: Member, writer: SlotWriter) -> None:
        """A worker attached. One with another model is left out until the others have it too."""
        first = not any(each.flow for each in self.members)
        front = Front(self, writer.card) if first or self._front is None else self._front
        member.writer, member.refused = writer, ""
        member.refused = self._misfit(writer.card)
        if writer.card != front.card and not member.refused:
            member.refused = f"serves model {writer.card.name}, the others {front.card.name}"
        if member.refused:
            self._told(member.name, True, f"gets nothing: {member.refused}")
            return
        slots = writer.statistics().slots
        with self._lock:
            self._front = front
            member.flow = Flow(
                self._lane.flow.window, member.breaker, slots, self._lane.reserved_high, self._lane.reserved_normal
            )
        self._told(member.name, True, f"model {writer.card.name}")
        if first:
            self._events.attached(front)

    def heard(self, member: Member, answer: Answer) -> None:
        """An answer."""
        now_ns = self._now_ns()
        with self._lock:
            task = self._out.pop(answer.task, None)
            if task is not None and member.flow is not None:
                member.flow.answered(answer.code, now_ns - task.sent_ns, task.place, now_ns)
        self._events.answered(replace(answer, lane=member.way))

    def left(self, member: Member, tasks: Sequence[int], reason: str) -> None:
        """A worker is lost: its tasks go elsewhere, or are lost too."""
        used = member.flow is not None
        with self._lock:
            if member.flow is not None:
                member.flow.lost(self._now_ns())
            member.writer = member.flow = None
            mine = [(task, self._out.pop(task, None)) for task in tasks]
        self._told(member.name, False, reason)
        if not used:
            return
        given_up = [number for number, task in mine if task is None or not self._resubmit(task)]
        named = f"{member.name}: {reason}"
        if any(each.flow for each in self.members):
            if given_up:
                self._events.gave_up(given_up, named)
            return
        self._events.lost(given_up, named)
        self._adopt()

    def observe(self) -> WorkersStatistics:
        now_ns = self._now_ns()
        with self._lock:
            return WorkersStatistics(
                flows={each.name: each.flow.statistics(now_ns) for each in self.members if each.flow},
                resubmitted=self._resubmitted,
                refused={each.name: each.refused for each in self.members if each.refused},
            )

    # --- internals -------------------------------------------------------------------------------------------------

    def _by_completion(self, priority: Priority, now_ns: int) -> list[tuple[SlotWriter, Flow]]:
        """Who may have a task, soonest done first. One of whom nothing is known is taken for as quick as the best."""
        idle = [
            (each.writer, each.flow)
            for each in self.members
            if each.writer and each.flow and each.flow.state(priority, now_ns) is FlowState.IDLE
        ]
        known = [flow.cost_ns for _, flow in idle if flow.cost_ns]
        best_ns = min(known, default=1.0)
        return sorted(idle, key=lambda each: each[1].expected_ns(each[1].cost_ns or best_ns))

    def _resubmit(self, task: _Task) -> bool:
        """Copy a lost task's payload into another worker's slot, if it would be answered in time there."""
        header = task.header
        now_ns = self._now_ns()
        with self._lock:
            order = self._by_completion(header.priority, now_ns)
        if not order or now_ns + order[0][1].expected_ns() > header.deadline_ns:
            return False
        if self._front is None or (slot := self.loan(self._front, header.priority)) is None:
            return False
        np.copyto(slot.payload[: header.payload_bytes], task.payload[: header.payload_bytes])
        sent = self.publish(slot, header)
        self._resubmitted += sent
        return sent

    def _adopt(self) -> None:
        """The last worker of this model is lost: one with another model that was left out takes over."""
        self._front = None
        for each in self.members:
            if each.writer is not None:
                self.joined(each, each.writer)
