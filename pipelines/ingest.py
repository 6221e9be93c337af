"""Loop 1: one thread per camera, from packets to published slots.

The walk of one packet, in order; each step may end it with an outcome:

    read -> packet gate -> decode -> pace -> thumbnail -> validity -> motion -> presence -> loan -> planes -> publish

The thread owns its camera's objects; the event loop only calls `start`, `stop`, `tick`, `join` and reads counters.
asyncio is not imported here. PyAV, OpenCV and onnxruntime release the GIL while they work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipelines.contracts import GateSetting, Source, Stream
from pipelines.errors import SourceError
from pipelines.packetpath import PacketPath, Sign
from pipelines.source.backoff import Backoff
from pipelines.source.redact import redact
from pipelines.source.watch import StreamWatch
from pipelines.values import CameraHealth, CameraState, Outcome, Packet

_STOP_GRACE_S = 0.25
"""Between two interrupts of a pump that is asked to stop: a new blocking call may just have begun."""


@dataclass(frozen=True, slots=True)
class PumpParts:
    """What build.py assembles for one camera."""

    camera: str
    source: Source
    packets: PacketPath
    watch: Callable[[int], StreamWatch]
    """Makes the watch of one connection, opened at the given ns."""
    backoff: Backoff
    turn_s: Callable[[], float]
    """Seconds to wait before this open: opens of a process are spread in time."""
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
        self.state = CameraState.CONNECTING
        self.reason = ""
        self.connects = 0
        self.error: BaseException | None = None
        """What ended the thread if it was a bug; the owner reports it, and starts the camera anew."""

    @property
    def camera(self) -> str:
        return self._parts.camera

    @property
    def packets(self) -> PacketPath:
        """What it does with packets; its counters."""
        return self._parts.packets

    def tune(self, settings: Mapping[Outcome, GateSetting]) -> None:
        """What the audit found this camera's gates should do. Any thread."""
        self._parts.packets.tune(settings)

    def wake(self, until_ns: int) -> None:
        """Decode until then, whatever the packets say: an external event, or what the audit saw. Any thread."""
        self._parts.packets.wake(until_ns)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; returns at once. Any thread."""
        self._stop.set()
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
        verdict = self._watch.tick(now_ns, self._parts.packets.expects_pictures)
        if verdict.state is CameraState.STALLED:
            self._say(CameraState.STALLED, verdict.reason)
            self._interrupt()

    def _interrupt(self) -> None:
        if self._stop.is_set():
            self._parts.packets.stop()
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
            self._say(CameraState.BACKOFF, f"internal error: {redact(repr(error))}")
            return
        if self.state is not CameraState.ENDED:
            self._say(CameraState.STOPPED)

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
        packets = self._parts.packets
        self.connects += 1
        packets.connect(stream)
        ended = False
        try:
            while not self._stop.is_set():
                packet = stream.read(packets.wanted_ns)
                if packet is None:
                    ended = True
                    break
                self._packet(packet)
        finally:
            packets.disconnect(ended, self._stop.is_set())

    def _packet(self, packet: Packet) -> None:
        read_ns = time.monotonic_ns()
        self._watch.packet(read_ns)
        sign = self._parts.packets.packet(packet, read_ns)
        if sign is Sign.NOTHING:
            return
        now_ns = time.monotonic_ns()
        if sign is Sign.PICTURE:
            self._watch.frame(now_ns)
        if self.state is not CameraState.LIVE:
            self._parts.backoff.healthy(now_ns)
            self._say(CameraState.LIVE)
