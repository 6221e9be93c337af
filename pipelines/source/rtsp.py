"""RTSP cameras: rtsp:// and rtsps://, H.264 and H.265.

Over TCP by our own client (rtsp_tcp.py), which is cheap while a camera sleeps; over UDP, and where a camera wants what
that one does not speak, by FFmpeg's (ADR 6).
"""

from __future__ import annotations

import time
from typing import Literal

import av
from pydantic import BaseModel, Field

from pipelines.accounting import Ledger
from pipelines.errors import SourceError
from pipelines.source.clock import ArrivalClock, FrameInterval, PtsUnwrapper, to_ns
from pipelines.source.decoder import DecoderOptions
from pipelines.source.interrupt import Interruptible
from pipelines.source.redact import redact
from pipelines.source.rtsp_session import NotSpoken, RtspSession
from pipelines.source.rtsp_tcp import TcpStream, tls_context
from pipelines.source.rtsp_wire import Wire
from pipelines.source.stream import AvStream, Now, open_container
from pipelines.values import Packet

PARSED = ("h264", "hevc")
"""Codecs that arrive in pieces, and that FFmpeg's parser puts together."""


class RtspOptions(BaseModel, frozen=True, extra="forbid"):
    """How to talk to one camera."""

    transport: Literal["tcp", "udp"] = Field(
        default="tcp",
        description="tcp: inside the RTSP connection, nothing is lost; udp: separate ports, packets may be.",
    )
    open_timeout_s: float = Field(
        default=10.0, gt=0, description="Seconds an open may take in all: connect, log in, describe, first packets."
    )
    read_timeout_s: float = Field(default=5.0, gt=0, description="Seconds of silence after which a read fails.")
    probe_s: float = Field(
        default=0.5,
        gt=0,
        description="Most seconds of stream an open looks at to learn size and frame rate; the packets are not lost.",
    )
    gather_s: float = Field(
        default=0.16,
        ge=0,
        le=1,
        description="tcp only: packets that nobody waits for (of a sleeping camera, or between two pictures that are "
        "analysed) gather so long, s. Saves CPU; a camera wakes so much later.",
    )
    tls_verify: bool = Field(
        default=True,
        description="rtsps only: check the camera's certificate. Off for self-signed ones without ca_file.",
    )
    ca_file: str = Field(
        default="", description="rtsps only: PEM file of the authorities to trust; empty: the system's."
    )
    decoder: DecoderOptions = Field(default_factory=DecoderOptions, description="What to believe of the pictures.")


class RtspSource:
    """One camera, to be opened again and again. The constructor does nothing that can fail."""

    def __init__(
        self,
        url: str,
        ledger: Ledger,
        options: RtspOptions | None = None,
        *,
        name: str = "camera",
        now: Now = time.monotonic_ns,
    ) -> None:
        """url: with credentials, percent-encoded. name: for threads. now: monotonic ns."""
        self._url = url
        self._ledger = ledger
        self._options = options or RtspOptions()
        self._name = name
        self._now = now
        self._guard: Interruptible | Wire = Wire()
        self._by_ffmpeg = self._options.transport == "udp"

    @property
    def paced(self) -> bool:
        return True

    @property
    def url(self) -> str:
        """For people: redacted."""
        return redact(self._url)

    def open(self) -> RtspStream | TcpStream:
        """Connect, log in, start playing. Blocks at most `open_timeout_s`, in one thread at a time."""
        if not self._by_ffmpeg:
            try:
                return self._open_tcp()
            except NotSpoken:
                self._by_ffmpeg = True
        self._guard = guard = Interruptible(self._name)
        container = open_container(self._url, guard, self._av_options(), self._options.open_timeout_s)
        return RtspStream(container, guard, self._url, self._ledger, self._options.decoder, self._now)

    def interrupt(self) -> None:
        """End a running `open`, and if it is through, the stream it returned. A later open starts afresh."""
        self._guard.interrupt()

    def _open_tcp(self) -> TcpStream:
        options = self._options
        self._guard = wire = Wire()
        session = RtspSession(wire, lambda: tls_context(options.tls_verify, options.ca_file))
        start_s = time.monotonic()
        try:
            video = session.open(self._url, start_s + options.open_timeout_s)
        except (OSError, SourceError, ValueError) as error:
            session.close()
            if isinstance(error, NotSpoken):
                raise
            if wire.interrupted:
                raise SourceError("interrupted") from None
            seconds = time.monotonic() - start_s
            raise SourceError(redact(f"cannot open, after {seconds:.1f} s: {_said(error)}", self._url)) from None
        return TcpStream(
            session,
            video,
            self._url,
            self._ledger,
            options.decoder,
            options.read_timeout_s,
            options.gather_s,
            self._now,
        )

    def _av_options(self) -> dict[str, str]:
        options = {
            "rtsp_transport": self._options.transport,
            "timeout": str(round(self._options.read_timeout_s * 1e6)),
            "allowed_media_types": "video",
            "analyzeduration": str(round(self._options.probe_s * 1e6)),
        }
        if self._url.startswith("rtsps:"):
            options["tls_verify"] = str(int(self._options.tls_verify))
            if self._options.ca_file:
                options["ca_file"] = self._options.ca_file
        return options


def _said(error: Exception) -> str:
    """An operating system's error in its own words, without the number."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


class RtspStream(AvStream):
    """One connection to one camera, by FFmpeg."""

    def __init__(
        self,
        container: av.container.InputContainer,
        guard: Interruptible,
        url: str,
        ledger: Ledger,
        decoding: DecoderOptions,
        now: Now,
    ) -> None:
        super().__init__(container, guard, url, ledger, decoding)
        self._now = now
        self._clock = ArrivalClock()
        self._unwrapper = PtsUnwrapper()
        self._interval = FrameInterval()
        self._parsed = self._info.codec in PARSED
        self._last_arrival_ns = 0

    @property
    def lag_ns(self) -> int:
        """How long the last packet lay in the socket before it was read."""
        return self._clock.lag_ns

    def read(self, wanted_ns: int = 0) -> Packet:
        """The next packet. Never returns None: a camera has no end, so a closed connection is an error."""
        packet = self._next()
        now_ns = self._now()
        if packet is None:
            raise SourceError("the camera closed the connection")
        pts = None if packet.pts is None else self._unwrapper.unwrap(packet.pts)
        pts_ns = to_ns(pts, packet.time_base)
        return self._enter(packet, pts_ns, self._arrival(now_ns, pts_ns))

    def _arrival(self, now_ns: int, pts_ns: int | None) -> int:
        """When the packet was complete on this machine.

        FFmpeg's parser finds the end of a picture at the start of the next one, so it returned this packet when its
        successor came in. That moment is dated, and one frame time taken off.
        """
        held_ns = self._interval.update(pts_ns) if self._parsed and pts_ns is not None else 0
        next_ns = self._clock.arrival(now_ns, None if pts_ns is None else pts_ns + held_ns)
        self._last_arrival_ns = max(self._last_arrival_ns, next_ns - held_ns)
        return self._last_arrival_ns
