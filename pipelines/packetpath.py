"""The packet's half of loop 1: from the demuxer through the packet gate to a decoded picture, or an outcome.

One camera has at most one decoder that gives pictures. It is there while the camera is awake and the budget grants it;
sleeping, shed and disconnected are the same thing: no decoder. A new one is brought up from what the gate has kept.
The audit has a decoder of its own, for windows of a camera that sleeps.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import Enum

from pipelines.accounting import Ledger
from pipelines.contracts import Decoder, GateSetting, PacketGate, Stream
from pipelines.framepath import FramePath
from pipelines.gate.audit_window import AuditWindow
from pipelines.gate.auditor import Auditor
from pipelines.gate.budget_cost import DecodeWork
from pipelines.gate.share import DecodeShare
from pipelines.values import Action, Cause, Frame, Outcome, Packet, Priority, Undecodable

_NEVER_NS = 1 << 62
_LEAST_VALUE = 2.0
"""Worth of decoding a camera whose packets say nothing: somebody wants it all the same. A score below it is noise,
which must not put one camera back for another."""
_TURN_S = 0.4
"""After its arrival a packet waits no longer than so for its camera's turn to catch up, or reading would lag behind."""
_MOST_LAG_NS = 600_000_000
"""A packet read so long after its arrival is not decoded: its answer would come late, and reading would stay behind."""
_ALERT = 0.6
"""From so near to waking on, a sleeping camera's packets are read as they come: what wakes a camera seldom comes from
nowhere. One packet in fifty to a hundred."""
_AGAIN_NS = 1_000_000_000
"""Who missed its turn, or was behind, catches up after so long; at a key frame there is nothing to catch up with."""


class Sign(Enum):
    """What a packet says of its connection."""

    PICTURE = "picture"
    REST = "rest"
    """Asleep or shed: no picture was to be expected."""
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class PacketParts:
    """What build.py assembles for one camera's packets."""

    camera: str
    priority: Priority
    ledger: Ledger
    gate: PacketGate
    path: FramePath
    auditor: Auditor | None
    """None: nothing is audited (a file read as fast as possible, or the audit is switched off)."""
    share: DecodeShare | None
    """What all cameras share before their decoders; None: a file read as fast as possible waits for nobody."""


class PacketPath:
    """One camera's steps up to the decoder. Pump thread; counters may be read from any."""

    def __init__(self, parts: PacketParts) -> None:
        self._parts = parts
        self._stream: Stream | None = None
        self._decoder: Decoder | None = None
        self._live_from = 0
        """Frames of earlier packets come from a catch-up, and have had their outcome."""
        self._audit_decoder: Decoder | None = None
        self._window: AuditWindow | None = None
        self._granted = False
        self._shed = False
        """Packets are shed: since the last refusal no decoder could start."""
        self._turn_from_ns = 0
        """It missed its turn to catch up, or was behind, and asks for no other before."""
        self.decoded = 0
        self.decode_ns = 0
        """CPU time of the decoder: awake, catch-up, glances and audit."""
        self.catch_up_ns = 0
        """Of that, what only brought a decoder to the packet that woke the camera."""

    @property
    def expects_pictures(self) -> bool:
        """False: the camera sleeps or is shed, and time without a picture does not count against it."""
        return self._parts.gate.decoding and not self._shed

    @property
    def wanted_ns(self) -> int:
        """Nobody waits for a packet that arrives before this, monotonic ns; 0: whichever comes next is wanted."""
        if self._decoder is not None:
            return self._parts.path.wanted_ns
        gate = self._parts.gate
        return 0 if gate.decoding or gate.nearness >= _ALERT else _NEVER_NS

    @property
    def gate(self) -> PacketGate:
        return self._parts.gate

    def tune(self, settings: Mapping[Outcome, GateSetting]) -> None:
        """What the audit found this camera's gates should do. Any thread."""
        self._parts.gate.tune(settings[Outcome.ASLEEP])
        self._parts.path.tune(settings)

    def wake(self, until_ns: int) -> None:
        """Decode until then, whatever the packets say. Any thread."""
        self._parts.gate.trigger(until_ns)

    def stop(self) -> None:
        """Wait for nothing any more: no slot, no permit. Any thread, again until the pump has ended."""
        self._parts.path.stop()
        if self._parts.share is not None:
            self._parts.share.abort(self._parts.camera)

    def connect(self, stream: Stream) -> None:
        """A connection begins."""
        self._stream = stream
        self._shed = False
        self._parts.path.restart()
        self._parts.gate.restart(stream.info)

    def disconnect(self, ended: bool, stopping: bool) -> None:
        """It is over: settle everything inside. ended: the file's last pictures still go on."""
        try:
            self._settle_decoder(ended and not stopping, stopping)
        finally:
            self._release()  # whatever fails: what is granted to nobody would be missing for ever
            self._end_audit(time.monotonic_ns(), void=True)
            self._stream = None

    def packet(self, packet: Packet, read_ns: int) -> Sign:
        """Take one packet to its pictures or its outcome."""
        before = self.decoded
        action = self._parts.gate.admit(packet)
        if action is Action.GLANCE:
            self._glance(packet, read_ns)
        elif action is Action.SLEEP:
            self._sleep(packet, read_ns)
            return Sign.REST
        elif (refusal := self._refusal(packet, read_ns)) is None:
            self._live(packet, read_ns)
        else:
            self._parts.ledger.settle(packet.sequence, *refusal)
            self._let_go(read_ns)
        if self.decoded > before:
            return Sign.PICTURE
        return Sign.REST if self._shed else Sign.NOTHING

    def _open(self, packet: Packet) -> Decoder:
        """A fresh decoder that gives output from this packet on."""
        assert self._stream is not None
        self._decoder, self._live_from = self._stream.decoder(), packet.sequence
        return self._decoder

    def _sleep(self, packet: Packet, read_ns: int) -> None:
        self._parts.ledger.settle(packet.sequence, Outcome.ASLEEP)
        self._let_go(read_ns)
        self._release()
        self._audit(packet, read_ns)

    def _refusal(self, packet: Packet, now_ns: int) -> tuple[Outcome, Cause] | None:
        """Why a packet that is wanted cannot be decoded now; None: it can."""
        parts = self._parts
        if parts.share is not None:
            if now_ns - packet.arrival_ns > _MOST_LAG_NS:
                self._shed, self._turn_from_ns = True, packet.arrival_ns + _AGAIN_NS
                return Outcome.SHED, Cause.BEHIND
            value = max(parts.gate.score, _LEAST_VALUE)
            refusal = parts.share.refusal(parts.camera, value, parts.priority, now_ns)
            self._granted = refusal is None
            if refusal is not None:
                self._shed = True
                return Outcome.SHED, refusal
        if self._decoder is not None or parts.gate.whole:
            self._shed = False
            return None
        return (Outcome.SHED if self._shed else Outcome.UNDECODABLE), Cause.NO_KEY_FRAME

    def _live(self, packet: Packet, read_ns: int) -> None:
        """Decode one packet of an awake camera; its frames go on."""
        if self._decoder is None:
            self._end_audit(read_ns)
            if not self._catch_up(packet):
                self._out_of_turn(packet)
                return
        self._decode(packet, read_ns, DecodeWork.LIVE)

    def _glance(self, packet: Packet, read_ns: int) -> None:
        """Decode one key frame of a sleeping camera."""
        self._let_go(read_ns)
        self._open(packet)
        self._decode(packet, read_ns, DecodeWork.HEARTBEAT)
        self._let_go(read_ns, glance=True)

    def _catch_up(self, packet: Packet) -> bool:
        """Bring a fresh decoder from the last key frame to this packet. What comes out has had its outcome.

        False: it was not this camera's turn.
        """
        kept = self._parts.gate.kept()
        if not kept:
            self._open(packet)
            return True
        if packet.arrival_ns < self._turn_from_ns:
            return False
        with self._permit(packet.arrival_ns) as held:
            if not held:
                self._turn_from_ns = packet.arrival_ns + _AGAIN_NS
                return False
            decoder, before_ns = self._open(packet), self.decode_ns
            for earlier in kept:
                self._timed(decoder, earlier, DecodeWork.CATCH_UP)
        self.catch_up_ns += self.decode_ns - before_ns
        return True

    def _permit(self, arrival_ns: int) -> AbstractContextManager[bool]:
        share = self._parts.share
        if share is None:
            return nullcontext(True)
        waited_s = (time.monotonic_ns() - arrival_ns) / 1e9
        return share.permit(self._parts.camera, arrival_ns, max(0.0, _TURN_S - waited_s))

    def _out_of_turn(self, packet: Packet) -> None:
        """Settle a packet whose camera may not catch up now, or stops and let its place in the line go."""
        if self._parts.path.stopping:
            self._parts.ledger.settle(packet.sequence, Outcome.STOPPED)
            return
        self._shed = True
        self._parts.ledger.settle(packet.sequence, Outcome.SHED, Cause.NO_TURN)

    def _decode(self, packet: Packet, read_ns: int, work: DecodeWork) -> None:
        assert self._decoder is not None
        for item in self._timed(self._decoder, packet, work):
            self._decoded(item, read_ns, glance=work is DecodeWork.HEARTBEAT)

    def _timed(self, decoder: Decoder, packet: Packet, work: DecodeWork) -> Sequence[Frame | Undecodable]:
        began_ns = time.thread_time_ns()
        items = decoder.decode(packet)
        took_ns = time.thread_time_ns() - began_ns
        self.decode_ns += took_ns
        if self._parts.share is not None:
            self._parts.share.spent(self._parts.camera, took_ns / 1e9, time.monotonic_ns(), work)
        return items

    # --- the audit of what sleeps ----------------------------------------------------------------------------------

    def _audit(self, packet: Packet, read_ns: int) -> None:
        """Decode a sleeping packet anyway, if the audit's window says so. It is asleep in the camera's ledger."""
        auditor = self._parts.auditor
        if auditor is None:
            return
        if packet.is_keyframe:
            nearness = self._parts.gate.nearness
            self._window = auditor.dropped(Outcome.ASLEEP, nearness, packet.arrival_ns)
        if self._window is None:
            self._end_audit(read_ns)
            return
        if self._audit_decoder is None:
            assert self._stream is not None
            self._audit_decoder = self._stream.decoder()
        began_ns = time.thread_time_ns()
        for item in self._timed(self._audit_decoder, packet, DecodeWork.AUDIT):
            if isinstance(item, Frame):
                self._parts.path.audit(item, self._window, read_ns, time.monotonic_ns())
        auditor.spent(self._window, (time.thread_time_ns() - began_ns) / 1e9)

    def _end_audit(self, now_ns: int, void: bool = False) -> None:
        """No more packets of this window: it is over, the camera woke, or the connection is lost (void)."""
        decoder, self._audit_decoder, self._window = self._audit_decoder, None, None
        if decoder is not None:
            decoder.flush()
            decoder.close()
        if self._parts.auditor is not None:
            if void:
                self._parts.auditor.close(now_ns)
            else:
                self._parts.auditor.end(Outcome.ASLEEP, now_ns)

    def _let_go(self, read_ns: int, glance: bool = False) -> None:
        """Take what is still inside the decoder, and close it: the camera sleeps, or is shed."""
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            for item in decoder.flush():
                self._decoded(item, read_ns, glance)
            decoder.close()

    def _release(self) -> None:
        """Want no decoding any more."""
        if self._granted and self._parts.share is not None:
            self._parts.share.release(self._parts.camera)
        self._granted = False

    def _decoded(self, item: Frame | Undecodable, read_ns: int, glance: bool = False) -> None:
        if item.sequence < self._live_from:
            return  # of the catch-up
        if isinstance(item, Undecodable):
            self._parts.ledger.settle(item.sequence, Outcome.UNDECODABLE, item.cause)
            return
        self.decoded += 1
        seen_ns = self._parts.path.frame(item, read_ns, time.monotonic_ns(), glance)
        if seen_ns is not None:
            self._parts.gate.seen(seen_ns)

    def _settle_decoder(self, ended: bool, stopping: bool) -> None:
        """Pictures at the end of a file, an outcome in any other case."""
        decoder, self._decoder = self._decoder, None
        if decoder is None:
            return
        for item in decoder.flush():
            if item.sequence < self._live_from:
                continue
            if ended:
                self._decoded(item, time.monotonic_ns())
            elif stopping:
                self._parts.ledger.settle(item.sequence, Outcome.STOPPED)
            else:
                self._parts.ledger.settle(item.sequence, Outcome.UNDECODABLE, Cause.FLUSHED)
        decoder.close()
