"""Notices a camera that is connected and yet gives nothing: silent, slow drip, or packets that never decode."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, Field

from pipelines.values import CameraState


class WatchOptions(BaseModel, frozen=True, extra="forbid"):
    """When a connected camera counts as stalled."""

    no_packet_timeout_s: float = Field(
        default=5.0, gt=0, description="Seconds without one whole packet (silence, or a server that drips bytes)."
    )
    no_frame_timeout_s: float = Field(
        default=10.0, gt=0, description="Seconds in which packets were decoded and none became a picture."
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the watch thinks of a stream. `reason` is for people, empty while all is well."""

    state: CameraState
    """CONNECTING before the first packet, LIVE, or STALLED: interrupt the stream and open it again."""
    reason: str = ""


class StreamWatch:
    """Watches one connection; make a new one for each. Pure: time is an argument.

    `packet` and `frame` may be called in the pump thread and `tick` in another: each only stores integers.
    """

    def __init__(self, now_ns: int, options: WatchOptions | None = None) -> None:
        """`now_ns` is when the connection was opened."""
        self._options = options or WatchOptions()
        self._packet_ns = now_ns
        self._frame_ns = now_ns
        self._packets = False

    def packet(self, now_ns: int) -> None:
        """A whole packet came."""
        self._packet_ns = now_ns
        self._packets = True

    def frame(self, now_ns: int) -> None:
        """A packet became a picture."""
        self._frame_ns = now_ns

    def tick(self, now_ns: int, decoding: bool) -> Verdict:
        """Judge the stream now.

        Args:
            now_ns: Monotonic ns.
            decoding: Packets are being given to the decoder. A camera gated before its decoder gives no frames, and
                time spent so does not count against it.
        """
        silent_s = (now_ns - self._packet_ns) / 1e9
        if silent_s >= self._options.no_packet_timeout_s:
            return Verdict(CameraState.STALLED, f"connected, but no packet for {silent_s:.1f} s")
        if not decoding:
            self._frame_ns = max(self._frame_ns, now_ns)
        blind_s = (now_ns - self._frame_ns) / 1e9
        if blind_s >= self._options.no_frame_timeout_s:
            return Verdict(CameraState.STALLED, f"packets come, but none became a picture for {blind_s:.1f} s")
        return Verdict(CameraState.LIVE if self._packets else CameraState.CONNECTING)
