"""The end of loop 1: a frame that all gates let go on gets an answerer, a slot, and is resized into it: the one copy.

A worker gets it while workers answer. While none does, it goes to this process's own detector, by a lane of the same
kind; where there is none, or it could not answer in time, the presence score that the gate has found is the answer.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace

from pipelines.accounting import Ledger
from pipelines.color import resolve
from pipelines.contracts import Slot, SlotWriter
from pipelines.errors import LaneError
from pipelines.gate.auditor import Auditor
from pipelines.inflight import InFlight
from pipelines.preprocess.letterbox import fit
from pipelines.preprocess.planes import pad_yuv, write_planes
from pipelines.standby import Standby
from pipelines.standin.choice import Answerer
from pipelines.values import (
    AuditTag,
    Cause,
    Frame,
    Letterbox,
    ModelCard,
    Outcome,
    Priority,
    SlotHeader,
    TaskContext,
    Timeline,
)

_FOR_EVER_NS = 3600 * 1_000_000_000
_PATIENCE_S = 0.0005


@dataclass(frozen=True, slots=True)
class SendParts:
    """What it needs of one camera. See framepath.PathParts."""

    camera: str
    priority: Priority
    deadline_ms: int
    ledger: Ledger
    inflight: InFlight
    paced: bool
    auditor: Auditor | None
    keep_frame: bool
    standby: Standby | None


@dataclass(frozen=True, slots=True)
class Ask:
    """What the gates learned of a frame that goes on."""

    time_ns: int
    presence: float
    deadline_ns: int
    timeline: Timeline
    present: bool | None = None
    """What the presence model says; None: it was not asked."""
    audit: AuditTag | None = None
    against: Outcome | None = None


class Sender:
    """One camera's. Pump thread, but for `stop`."""

    def __init__(self, parts: SendParts) -> None:
        self._parts = parts
        self._fit: Letterbox | None = None
        self._pad: tuple[int, int, int] = (16, 128, 128)
        self._fit_key: object = None
        self._stopping = False

    def stop(self) -> None:
        """Wait for no slot any more. Any thread."""
        self._stopping = True

    def deadline_ns(self, frame: Frame, gated_ns: int) -> int:
        """When its answer is no longer worth having."""
        if not self._parts.paced:
            return gated_ns + _FOR_EVER_NS
        return frame.arrival_ns + self._parts.deadline_ms * 1_000_000

    def send(self, frame: Frame, ask: Ask) -> None:
        """To a slot, or to the outcome that says why not. Blocks for the work (and, unpaced, for a free slot)."""
        parts, now_ns = self._parts, ask.timeline.gated_ns
        if parts.standby is not None and not parts.standby.worker_gets(now_ns) and self._answer_here(frame, ask):
            return
        writer = parts.inflight.writer
        if writer is None:
            self._settle(frame, ask, Outcome.FAILED, Cause.NO_WORKER)
        elif now_ns + parts.inflight.turnaround_ns > ask.deadline_ns:
            self._settle(frame, ask, Outcome.LATE, Cause.AT_PUBLISH)
        elif (slot := self._loan(writer)) is not None:
            self._fill(frame, ask, writer, slot)
        elif self._stopping:
            self._settle(frame, ask, Outcome.STOPPED)
        elif not (self._is_probe() and self._answer_here(frame, ask)):
            self._settle(frame, ask, Outcome.RING_FULL)

    def _is_probe(self) -> bool:
        """The worker is known not to answer: no room with it says nothing of the load."""
        return self._parts.standby is not None and bool(self._parts.standby.watch.reason)

    def _answer_here(self, frame: Frame, ask: Ask) -> bool:
        """By this process's own models. False: they cannot."""
        standby = self._parts.standby
        assert standby is not None
        now_ns = time.monotonic_ns()
        answerer = standby.answerer(ask.present, ask.audit is not None, ask.deadline_ns, now_ns)
        if answerer is Answerer.NOBODY:
            return False
        if answerer is Answerer.DETECTOR and standby.lane is not None:
            slot = self._loan(standby.lane)
            if slot is not None:
                self._fill(frame, ask, standby.lane, slot)
                return True
        if ask.present is None:
            return False
        where = Letterbox(*frame.wh, *frame.wh, 0, 0, *frame.wh)
        context = self._context(frame, ask, where, now_ns)
        self._parts.inflight.open(context)
        standby.tell(context.task)
        return True

    def _loan(self, writer: SlotWriter) -> Slot | None:
        """A slot, or None: full, or that lane is gone. A file that is read fast waits for one."""
        parts = self._parts
        slot = writer.loan(parts.priority)
        while slot is None and not parts.paced and not self._stopping:
            if parts.inflight.writer is not writer and not self._is_own(writer):
                return None
            time.sleep(_PATIENCE_S)
            slot = writer.loan(parts.priority)
        return slot

    def _is_own(self, writer: SlotWriter) -> bool:
        """Of this process's own detector."""
        return self._parts.standby is not None and writer is self._parts.standby.lane

    def _fill(self, frame: Frame, ask: Ask, writer: SlotWriter, slot: Slot) -> None:
        """Publish; a bug on the way must not cost the ring its slot."""
        try:
            self._publish(frame, ask, writer, slot)
        except BaseException:
            self._settle(frame, ask, Outcome.FAILED, Cause.INTERNAL)
            with suppress(LaneError):  # it was published all the same
                writer.discard(slot)
            raise

    def _publish(self, frame: Frame, ask: Ask, writer: SlotWriter, slot: Slot) -> None:
        inflight = self._parts.inflight
        where = self._geometry(frame, writer.card)
        write_planes(frame, where, self._pad, slot.payload)
        context = self._context(frame, ask, where, time.monotonic_ns())
        header = self._header(frame, context, ask.deadline_ns, writer.card)
        own = self._is_own(writer)
        context = replace(context, header=header, payload=slot.payload[: header.payload_bytes], to_worker=not own)
        inflight.open(context)  # before publish: the answer may come first
        try:
            sent = writer.publish(slot, header)
        except LaneError:
            inflight.close(context.task)
            raise
        if not sent and inflight.close(context.task) is not None:
            if own or inflight.writer is writer:
                self._settle(frame, ask, Outcome.RING_FULL)
            else:
                self._settle(frame, ask, Outcome.FAILED, Cause.PEER_LOST)

    def _context(self, frame: Frame, ask: Ask, where: Letterbox, published_ns: int) -> TaskContext:
        parts = self._parts
        return TaskContext(
            task=parts.inflight.number(),
            camera=parts.camera,
            sequence=frame.sequence,
            fit=where,
            timeline=replace(ask.timeline, published_ns=published_ns),
            time_ns=ask.time_ns,
            wall_ms=(time.time_ns() - (published_ns - frame.arrival_ns)) // 1_000_000,
            presence=ask.presence,
            frame=frame if parts.keep_frame else None,
            audit=ask.audit,
            against=ask.against,
            present=ask.present,
        )

    def _header(self, frame: Frame, context: TaskContext, deadline_ns: int, card: ModelCard) -> SlotHeader:
        color_range, matrix = resolve(frame.color_range, frame.color_matrix, frame.wh[1])
        return SlotHeader(
            task=context.task,
            camera=context.camera,
            model=card.name,
            arrival_ns=frame.arrival_ns,
            deadline_ns=deadline_ns,
            priority=self._parts.priority,
            fit=context.fit,
            color_range=color_range,
            color_matrix=matrix,
            payload_bytes=card.payload_bytes,
            shape=(card.input_h * 3 // 2, card.input_w),
        )

    def _geometry(self, frame: Frame, card: ModelCard) -> Letterbox:
        key = (frame.wh, frame.color_range, frame.color_matrix, card)
        if self._fit is None or key != self._fit_key:
            color_range, matrix = resolve(frame.color_range, frame.color_matrix, frame.wh[1])
            self._fit = fit(frame.wh, (card.input_w, card.input_h), card.anchor)
            self._pad = pad_yuv(card, color_range, matrix)
            self._fit_key = key
        return self._fit

    def _settle(self, frame: Frame, ask: Ask, outcome: Outcome, cause: Cause | None = None) -> None:
        """In the camera's ledger, or in the audit's."""
        if ask.audit is None:
            self._parts.ledger.settle(frame.sequence, outcome, cause)
        elif self._parts.auditor is not None:
            self._parts.auditor.settle(ask.audit, outcome)
