"""The frame's half of loop 1: from a decoded picture to the sender, or to the outcome that ended it.

Cheap questions first: rate, one small picture, validity, motion, presence. Only a frame that all of them let go on is
sent (sender.py).

A frame goes on whatever motion and presence say when
  * the heartbeat is due (nothing may sleep for ever),
  * an episode of this camera is alive (at `alive_fps`, so that a standing person does not end the episode),
  * presence has not yet learned the scene (start, scene change).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pydantic import BaseModel, Field

from pipelines.accounting import Ledger
from pipelines.attention import Attention
from pipelines.contracts import GateSetting, Presence
from pipelines.gate.audit_window import AuditWindow
from pipelines.gate.auditor import Auditor
from pipelines.gate.motion import MotionGate
from pipelines.gate.pace import Pacer
from pipelines.gate.sceneclock import SceneClock
from pipelines.inflight import InFlight
from pipelines.prefilter.validity import Validity
from pipelines.preprocess.thumbnail import luma_thumbnail
from pipelines.sender import Ask, Sender, SendParts
from pipelines.standby import Standby
from pipelines.values import U8, Cause, Frame, Outcome, Priority, Timeline


class PathOptions(BaseModel, frozen=True, extra="forbid"):
    """When frames of a camera are looked at, and how long an answer is worth waiting for."""

    analyse_fps: float = Field(5.0, ge=0, le=120, description="Frames analysed per second; 0 = every frame.")
    deadline_ms: int = Field(
        1000, ge=10, description="From a frame's arrival to its answer, ms; later is not worth the work."
    )
    priority: Priority = Field(Priority.NORMAL, description="low, normal or high: which tasks are served first.")
    heartbeat_s: float = Field(15.0, ge=1, description="One frame passes motion and presence at least this often, s.")
    alive_fps: float = Field(
        2.0, ge=0.5, description="Frames per second that pass motion and presence while an episode is alive."
    )


@dataclass(frozen=True, slots=True)
class PathParts:
    """What build.py assembles for one camera's frames."""

    camera: str
    options: PathOptions
    ledger: Ledger
    motion: MotionGate | None
    validity: Validity | None
    presence: Presence | None
    presence_threshold: float
    inflight: InFlight
    paced: bool
    """False: a file read as fast as possible; it waits for a slot instead of dropping, and has no deadline."""
    auditor: Auditor | None
    keep_frame: bool
    """Snapshots are wanted: hold the source picture until the answer."""
    picture: Callable[[Cause | None], None]
    """Told when the picture becomes invalid (the cause) or sound again (None)."""
    standby: Standby | None = None
    """Who answers while no worker does; None: nobody, and such frames fail."""


@dataclass(frozen=True, slots=True)
class _Worth:
    """What motion and presence say of a frame."""

    presence: float
    refused: Outcome | None
    """None: it goes on."""
    moving: bool
    seen: bool
    """Something is there in this very picture."""
    score: float
    """Of the gate that refused: how near it was to letting the frame pass, 1 at its threshold."""
    against: Outcome | None = None
    """It goes on for the heartbeat alone: the gate that would have dropped it."""
    present: bool | None = None
    """Presence is at or above its threshold; None: it was not asked."""


_AS_CONFIGURED = GateSetting()
_LEAST_THRESHOLD = 1e-6


class FramePath:
    """One camera's steps after the decoder. Pump thread."""

    def __init__(self, parts: PathParts) -> None:
        self._parts = parts
        self._picture: Cause | None = None
        self._sender = Sender(_send_parts(parts))
        self.attention = Attention()
        self._settings: Mapping[Outcome, GateSetting] = {}
        self._stopping = False
        self._clock = SceneClock(parts.paced)
        self.restart()

    def restart(self) -> None:
        """A new connection: its clock is another one. What the gates have learned of the scene stays."""
        options = self._parts.options
        self._clock.restart()
        self.attention.restart()
        self._pacer = Pacer(options.analyse_fps)
        self._alive_pacer = Pacer(options.alive_fps)
        self._audit_pacer = Pacer(options.analyse_fps)
        self._heartbeat = Pacer(1 / options.heartbeat_s)

    @property
    def wanted_ns(self) -> int:
        """When the next picture is analysed, monotonic ns; 0: each one is, or it is not known."""
        return self._pacer.next_ns if self._parts.paced else 0

    @property
    def stopping(self) -> bool:
        """Asked to stop: nothing goes on any more."""
        return self._stopping

    def stop(self) -> None:
        """From here on every picture is `stopped`, also one that waits for a slot. Any thread."""
        self._stopping = True
        self._sender.stop()

    def frame(self, frame: Frame, read_ns: int, decoded_ns: int, glance: bool = False) -> int | None:
        """Take one picture to its slot or its outcome. Blocks only for the work (and, unpaced, for a free slot).

        Args:
            glance: The camera sleeps; this is its heartbeat.

        Returns:
            The scene time at which something was there last, which keeps the camera awake; None: nothing is.
        """
        parts = self._parts
        if self._stopping:
            parts.ledger.settle(frame.sequence, Outcome.STOPPED)
            return None
        time_ns = self._clock.time_ns(frame.pts_ns, frame.arrival_ns)
        if not self._pacer.due(time_ns):
            parts.ledger.settle(frame.sequence, Outcome.PACED)
            return None
        thumbnail = luma_thumbnail(frame.y)
        if (cause := self._invalid(frame, thumbnail, time_ns)) is not None:
            parts.ledger.settle(frame.sequence, Outcome.INVALID, cause)
            return None
        worth = self._worth(thumbnail, time_ns)
        there_ns = self.attention.last_there_ns(time_ns, worth.seen, worth.moving)
        if worth.refused is None:
            ask = self._ask(frame, time_ns, worth.presence, read_ns, decoded_ns)
            against = Outcome.ASLEEP if glance else worth.against
            self._sender.send(frame, replace(ask, against=against, present=worth.present))
            return there_ns
        parts.ledger.settle(frame.sequence, worth.refused)
        if parts.auditor is not None:
            window = parts.auditor.dropped(worth.refused, worth.score, frame.arrival_ns)
            if window is not None:
                self._send_audited(frame, window, time_ns, read_ns, decoded_ns)
        return there_ns

    def audit(self, frame: Frame, window: AuditWindow, read_ns: int, decoded_ns: int) -> None:
        """A picture of a sleeping camera that the audit decoded: at the analysed rate it goes on, past all gates."""
        if self._audit_pacer.due(frame.arrival_ns):
            self._send_audited(frame, window, frame.arrival_ns, read_ns, decoded_ns)

    def tune(self, settings: Mapping[Outcome, GateSetting]) -> None:
        """What the audit found the gates should do. Any thread: one reference is replaced."""
        self._settings = settings

    def _send_audited(self, frame: Frame, window: AuditWindow, time_ns: int, read_ns: int, decoded_ns: int) -> None:
        assert self._parts.auditor is not None
        ask = self._ask(frame, time_ns, 1.0, read_ns, decoded_ns)
        self._sender.send(frame, replace(ask, audit=self._parts.auditor.enter(window, frame.arrival_ns)))

    def _ask(self, frame: Frame, time_ns: int, presence: float, read_ns: int, decoded_ns: int) -> Ask:
        gated_ns = time.monotonic_ns()
        timeline = Timeline(frame.arrival_ns, read_ns, decoded_ns, gated_ns)
        return Ask(time_ns, presence, self._sender.deadline_ns(frame, gated_ns), timeline)

    # --- the questions ---------------------------------------------------------------------------------------------

    def _invalid(self, frame: Frame, thumbnail: U8, time_ns: int) -> Cause | None:
        if self._parts.validity is None:
            return None
        cause = self._parts.validity.check(frame.y, thumbnail, frame.is_keyframe, time_ns)
        if cause is not self._picture:
            self._picture = cause
            self._parts.picture(cause)
        return cause

    def _worth(self, thumbnail: U8, time_ns: int) -> _Worth:
        """Motion and presence see every analysed frame; what they say of it."""
        presence, moving, changed, motion_score = self._parts.presence, True, True, 1.0
        if self._parts.motion is not None:
            verdict = self._parts.motion.update(thumbnail, time_ns)
            opened = self._open(Outcome.STILL)
            moving, changed, motion_score = verdict.moving or opened, verdict.changed or opened, verdict.score
            if verdict.scene_change and presence is not None:
                presence.reset()
        heartbeat = self._heartbeat.due(time_ns) and not self.attention.alive
        anyway = heartbeat or (self.attention.alive and self._alive_pacer.due(time_ns))
        against = Outcome.STILL if heartbeat and not moving else None
        if not moving and not anyway:
            if presence is not None:
                presence.observe(thumbnail, time_ns)
            return _Worth(0.0, Outcome.STILL, False, False, motion_score)
        if presence is None:
            return _Worth(1.0, None, moving, changed, motion_score, against)
        probability = presence.probability(thumbnail, time_ns)
        threshold = self._parts.presence_threshold * self._setting(Outcome.EMPTY).factor
        if heartbeat and moving and probability < threshold:
            against = Outcome.EMPTY
        there = probability >= threshold or self._open(Outcome.EMPTY) or not presence.ready(time_ns)
        return _Worth(
            probability,
            None if there or anyway else Outcome.EMPTY,
            moving,
            there and changed,
            probability / max(threshold, 1e-6),
            against,
            present=probability >= threshold,
        )

    def _setting(self, gate: Outcome) -> GateSetting:
        return self._settings.get(gate, _AS_CONFIGURED)

    def _open(self, gate: Outcome) -> bool:
        """The audit found no threshold that held the target: this gate lets everything through."""
        return self._setting(gate).open_since_ns is not None


def _send_parts(parts: PathParts) -> SendParts:
    return SendParts(
        camera=parts.camera,
        priority=parts.options.priority,
        deadline_ms=parts.options.deadline_ms,
        ledger=parts.ledger,
        inflight=parts.inflight,
        paced=parts.paced,
        auditor=parts.auditor,
        keep_frame=parts.keep_frame,
        standby=parts.standby,
    )
