"""Loop 1: one thread per camera, from packets to published slots.

The walk of one packet, in order; each step may end it with an outcome:

    read -> packet gate -> decode -> pace -> thumbnail -> validity -> motion -> presence -> loan -> planes -> publish

The thread owns its camera's objects; the event loop only calls `start`, `stop`, `tick`, `join` and reads counters.
asyncio is not imported here. PyAV, OpenCV and onnxruntime release the GIL while they work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from pipelines.accounting import Ledger
from pipelines.contracts import Decoder, GateSetting, PacketGate, Source, Stream
from pipelines.errors import SourceError
from pipelines.framepath import FramePath
from pipelines.gate.audit_window import AuditWindow
from pipelines.gate.auditor import Auditor
from pipelines.gate.budget_cost import DecodeWork
from pipelines.gate.share import DecodeShare
from pipelines.source.backoff import Backoff
from pipelines.source.watch import StreamWatch
from pipelines.values import Action, CameraHealth, CameraState, Cause, Frame, Outcome, Packet, Priority, Undecodable

_LEAST_VALUE = 0.1
"""Worth of decoding a camera whose packets say nothing: somebody wants it all the same."""
_STOP_GRACE_S = 0.25
"""Between two interrupts of a pump that is asked to stop: a new blocking call may just have begun."""


@dataclass(frozen=True, slots=True)
class PumpParts:
    """What build.py assembles for one camera."""

    camera: str
    ledger: Ledger
    source: Source
    gate: PacketGate
    path: FramePath
    watch: Callable[[int], StreamWatch]
    """Makes the watch of one connection, opened at the given ns."""
    backoff: Backoff
    turn_s: Callable[[], float]
    """Seconds to wait before this open: opens of a process are spread in time."""
    auditor: Auditor | None
    """None: nothing is audited (a file read as fast as possible, or the audit is switched off)."""
    share: DecodeShare | None
    """What all cameras share before their decoders; None: a file read as fast as possible waits for nobody."""
    priority: Priority
    tell: Callable[[CameraHealth], None]
    """Called from the pump thread with each change of state; must hand over to the loop by itself."""


class Pump:
    """A camera's thread: connect, read, gate, publish; reconnect for ever, until stopped."""

    def __init__(self, parts: PumpParts) -> None:
        self._parts = parts
        self._stop = threading.Event()
        self._disowned = False
        self._thread = threading.Thread(target=self._run, name=f"pump[{parts.camera}]", daemon=True)
        self._stream: Stream | None = None
        self._watch = parts.watch(time.monotonic_ns())
        self._decoder: Decoder | None = None
        self._audit_decoder: Decoder | None = None
        self._window: AuditWindow | None = None
        self._granted = False
        self._shed = False
        """Packets are shed: since the last refusal no decoder could start."""
        self._live_from = 0
        """Frames of earlier packets come from a catch-up, and are asleep already."""
        self.state = CameraState.CONNECTING
        self.reason = ""
        self.connects = 0
        self.decoded = 0
        self.decode_ns = 0
        """CPU time of the decoder: awake, catch-up and glances."""
        self.catch_up_ns = 0
        """Of that, what only brought a decoder to the packet that woke the camera."""
        self.error: BaseException | None = None
        """What ended the thread if it was a bug; the owner reports it."""

    @property
    def camera(self) -> str:
        return self._parts.camera

    @property
    def ledger(self) -> Ledger:
        return self._parts.ledger

    @property
    def gate(self) -> PacketGate:
        return self._parts.gate

    @property
    def path(self) -> FramePath:
        return self._parts.path

    def tune(self, settings: Mapping[Outcome, GateSetting]) -> None:
        """What the audit found this camera's gates should do. Any thread."""
        self._parts.gate.tune(settings[Outcome.ASLEEP])
        self._parts.path.tune(settings)

    def wake(self, until_ns: int) -> None:
        """Decode until then, whatever the packets say: an external event, or what the audit saw. Any thread."""
        self._parts.gate.trigger(until_ns)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; returns at once. Any thread."""
        self._stop.set()
        self._parts.path.stop()
        self._interrupt()

    def disown(self) -> None:
        """It did not end in time and is set aside: say nothing more in the name of a camera that others have now."""
        self._disowned = True

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread to end, interrupting what it is blocked in. Blocks. True when it ended."""
        deadline = time.monotonic() + timeout_s
        while self._thread.is_alive() and (left := deadline - time.monotonic()) > 0:
            self._thread.join(min(left, _STOP_GRACE_S))
            if self._thread.is_alive():
                self._interrupt()
        return not self._thread.is_alive()

    def tick(self, now_ns: int) -> None:
        """The event loop's look at the camera, a few times a second: breaks a read that has gone silent."""
        if self._stream is None:
            return
        if self.state is CameraState.STALLED:
            self._interrupt()  # the last one may have come between two blocking calls
            return
        verdict = self._watch.tick(now_ns, self._parts.gate.decoding)
        if verdict.state is CameraState.STALLED:
            self._say(CameraState.STALLED, verdict.reason)
            self._interrupt()

    def _interrupt(self) -> None:
        if self._stop.is_set() and self._parts.share is not None:
            self._parts.share.abort(self._parts.camera)
        stream = self._stream
        if stream is not None:
            stream.interrupt()
        else:
            self._parts.source.interrupt()

    def _say(self, state: CameraState, reason: str = "") -> None:
        self.state, self.reason = state, reason
        if self._disowned:
            return
        wall_ms = time.time_ns() // 1_000_000
        self._parts.tell(CameraHealth(self._parts.camera, state, wall_ms, reason))

    # --- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if self._stop.wait(self._parts.turn_s()):
                    break
                if self._attempt():
                    return
        except BaseException as error:
            self.error = error
            self._say(CameraState.STOPPED, f"internal error: {error!r}")
            raise
        finally:
            if self.state is not CameraState.ENDED:
                self._say(CameraState.STOPPED, self.reason if self.error else "")

    def _attempt(self) -> bool:
        """One connection, and the wait after its loss. True when the source has ended for good."""
        self._say(CameraState.CONNECTING, self.reason)
        try:
            self._connection()
        except SourceError as error:
            self._back_off(str(error))
            return False
        if self._stop.is_set():
            return False
        self._say(CameraState.ENDED, "end of file")
        return True

    def _connection(self) -> None:
        """Open, serve, close: nothing of it is left when this returns or raises."""
        stream = self._parts.source.open()
        self._watch = self._parts.watch(time.monotonic_ns())  # before `tick` sees the stream
        self._stream = stream
        try:
            self._serve(stream)
        finally:
            self._stream = None
            stream.close()

    def _back_off(self, reason: str) -> None:
        if self._stop.is_set():
            return
        wait_s = self._parts.backoff.failed(time.monotonic_ns())
        self._say(CameraState.BACKOFF, f"{reason}; next attempt in {wait_s:.1f} s")
        self._stop.wait(wait_s)

    def _serve(self, stream: Stream) -> None:
        parts = self._parts
        self.connects += 1
        parts.path.restart()
        parts.gate.restart(stream.info)
        ended = False
        try:
            while not self._stop.is_set():
                packet = stream.read()
                if packet is None:
                    ended = True
                    break
                self._packet(packet, stream)
        finally:
            self._settle_decoder(ended)
            self._end_audit(time.monotonic_ns(), void=True)
            self._release()

    def _packet(self, packet: Packet, stream: Stream) -> None:
        parts = self._parts
        read_ns = time.monotonic_ns()
        self._watch.packet(read_ns)
        action = parts.gate.admit(packet)
        if action is Action.GLANCE:
            self._glance(packet, stream, read_ns)
            return
        refusal = (Outcome.ASLEEP, None) if action is Action.SLEEP else self._refusal(read_ns)
        if refusal is None:
            self._live(packet, stream, read_ns)
            return
        parts.ledger.settle(packet.sequence, *refusal)
        self._let_go(read_ns)
        if action is Action.SLEEP:
            self._release()
            self._audit(packet, stream, read_ns)
        self._go_live(read_ns)

    def _refusal(self, now_ns: int) -> tuple[Outcome, Cause | None] | None:
        """Why a packet that is wanted cannot be decoded now; None: it can."""
        parts = self._parts
        if parts.share is not None:
            value = max(parts.gate.score, _LEAST_VALUE)
            self._granted = parts.share.granted(parts.camera, value, parts.priority, now_ns)
            if not self._granted:
                self._shed = True
                return Outcome.SHED, None
        if self._decoder is not None or parts.gate.whole:
            self._shed = False
            return None
        return (Outcome.SHED, None) if self._shed else (Outcome.UNDECODABLE, Cause.NO_KEY_FRAME)

    def _live(self, packet: Packet, stream: Stream, read_ns: int) -> None:
        """Decode one packet of an awake camera; its frames go on."""
        if self._decoder is None:
            self._end_audit(read_ns)
            self._catch_up(packet, stream)
        self._decode(packet, read_ns, DecodeWork.LIVE)

    def _glance(self, packet: Packet, stream: Stream, read_ns: int) -> None:
        """Decode one key frame of a sleeping camera."""
        self._let_go(read_ns)
        self._decoder, self._live_from = stream.decoder(), packet.sequence
        self._decode(packet, read_ns, DecodeWork.HEARTBEAT)
        self._let_go(read_ns, glance=True)

    def _catch_up(self, packet: Packet, stream: Stream) -> None:
        """Bring a fresh decoder from the last key frame to this packet. What comes out has had its outcome."""
        self._decoder, self._live_from = stream.decoder(), packet.sequence
        kept = self._parts.gate.kept()
        if not kept:
            return
        with self._permit(packet.arrival_ns):
            before_ns = self.decode_ns
            for earlier in kept:
                self._timed(self._decoder, earlier, DecodeWork.CATCH_UP)
        self.catch_up_ns += self.decode_ns - before_ns

    def _permit(self, arrival_ns: int) -> AbstractContextManager[object]:
        share = self._parts.share
        return nullcontext() if share is None else share.permit(self._parts.camera, arrival_ns)

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

    def _audit(self, packet: Packet, stream: Stream, read_ns: int) -> None:
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
            self._audit_decoder = stream.decoder()
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
        now_ns = time.monotonic_ns()
        self._watch.frame(now_ns)
        self._go_live(now_ns)
        seen_ns = self._parts.path.frame(item, read_ns, now_ns, glance)
        if seen_ns is not None:
            self._parts.gate.seen(seen_ns)

    def _go_live(self, now_ns: int) -> None:
        """A packet led to a picture, or was asleep: this connection is good."""
        if self.state is not CameraState.LIVE:
            self._parts.backoff.healthy(now_ns)
            self._say(CameraState.LIVE)

    def _settle_decoder(self, ended: bool) -> None:
        """Settle what is inside the decoder: pictures at the end of a file, an outcome in any other case."""
        decoder, self._decoder = self._decoder, None
        if decoder is None:
            return
        for item in decoder.flush():
            if item.sequence < self._live_from:
                continue
            if ended and not self._stop.is_set():
                self._decoded(item, time.monotonic_ns())
            elif self._stop.is_set():
                self._parts.ledger.settle(item.sequence, Outcome.STOPPED)
            else:
                self._parts.ledger.settle(item.sequence, Outcome.UNDECODABLE, Cause.FLUSHED)
        decoder.close()
