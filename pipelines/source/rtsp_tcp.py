"""One connection to one camera over TCP: RTP inside the RTSP connection, read in gulps."""

from __future__ import annotations

import itertools
import math
import ssl
import time
from collections import deque
from typing import cast

import av

from pipelines.accounting import Ledger
from pipelines.errors import SourceError
from pipelines.source.clock import ArrivalClock, FrameInterval, PtsUnwrapper
from pipelines.source.decoder import AvDecoder, DecoderOptions
from pipelines.source.redact import redact
from pipelines.source.rtp import AccessUnit, Depacketizer
from pipelines.source.rtsp_session import RtspSession
from pipelines.source.sdp import Video
from pipelines.source.stream import Now
from pipelines.values import Packet, StreamInfo

_DECODE_S = 0.02
"""What has gathered is taken so long before something is wanted: by then it is decoded."""
_STREAMS = itertools.count()
_GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, modulo 1, lie as evenly as can be however many there are."""


def tls_context(verify: bool, ca_file: str) -> ssl.SSLContext:
    """For rtsps. Raises OSError where `ca_file` cannot be read."""
    context = ssl.create_default_context(cafile=ca_file or None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class TcpStream:
    """Implements Stream. Its pump thread only, except `interrupt`."""

    def __init__(
        self,
        session: RtspSession,
        video: Video,
        url: str,
        ledger: Ledger,
        decoding: DecoderOptions,
        silence_s: float,
        gather_s: float,
        now: Now,
    ) -> None:
        """session: open, and now ours. url: only to redact messages. silence_s: after which a read fails.
        gather_s: most between two looks at the socket when nobody waits."""
        self._session = session
        self._wire = session.wire
        self._wire.silence(silence_s)
        self._url = url
        self._ledger = ledger
        self._decoding = decoding
        self._gather_s = gather_s
        self._now = now
        self._info = StreamInfo(video.codec, 0, 0, video.fps, video.parameter_sets)
        self._tick_ns = 1_000_000_000 / video.clock_hz
        self._rtp = Depacketizer(video.codec, video.payload_type)
        self._units: deque[AccessUnit] = deque()
        """Read and not yet asked for. Bound: one gulp."""
        self._turn = next(_STREAMS) * _GOLDEN % 1
        """Of `gather_s`: when in each it looks at the socket."""
        self._clock = ArrivalClock()
        self._unwrapper = PtsUnwrapper()
        self._interval = FrameInterval()
        self._last_arrival_ns = 0

    @property
    def info(self) -> StreamInfo:
        return self._info

    @property
    def lag_ns(self) -> int:
        """How long the last packet lay in the socket before it was read."""
        return self._clock.lag_ns

    def decoder(self) -> AvDecoder:
        """A fresh decoder with the parameter sets of the description; those in the stream overrule them."""
        like = cast(av.VideoCodecContext, av.CodecContext.create(self._info.codec, "r"))
        like.extradata = self._info.extradata or None
        return AvDecoder(like, self._decoding)

    def interrupt(self) -> None:
        self._wire.interrupt()

    def close(self) -> None:
        """Tell the other side. Packets read and frames decoded stay valid."""
        self._session.close()

    def read(self, wanted_ns: int = 0) -> Packet:
        """The next packet. Never returns None: a camera has no end, so a closed connection is an error.

        Raises:
            SourceError: URL redacted.
        """
        if wanted_ns and not self._units:
            self._rest(wanted_ns)
        while not self._units:
            try:
                self._gulp()
            except TimeoutError:
                raise SourceError("cannot read: the camera says nothing any more") from None
            except (OSError, SourceError, ValueError) as error:
                self._check()
                raise SourceError(redact(f"cannot read: {error}", self._url)) from None
        self._check()
        return self._packet(self._units.popleft())

    def _gulp(self) -> None:
        """Take what is there, else wait for more. What came before an error is given out first; it comes up again."""
        try:
            self._take()
            if self._units:
                return
            self._session.keep_alive(time.monotonic())
            self._wire.fill()
            self._take()
        except SourceError:
            if not self._units:
                raise

    def _rest(self, wanted_ns: int) -> None:
        """Let packets gather until this stream's turn: each has its own, or many would wake at once and wait."""
        if self._gather_s:
            now_s = time.monotonic()
            turns = now_s / self._gather_s - self._turn
            turn_s = (math.floor(turns) + 1 - turns) * self._gather_s
            if (left_s := min(turn_s, wanted_ns / 1e9 - _DECODE_S - now_s)) > 0:
                time.sleep(left_s)

    def _check(self) -> None:
        if self._wire.interrupted:
            raise SourceError("interrupted")

    def _take(self) -> None:
        data, spans = self._wire.packets(self._session.channel, self._session.hear)
        self._units.extend(self._rtp.push_all(data, spans))

    def _packet(self, unit: AccessUnit) -> Packet:
        pts_ns = round(self._unwrapper.unwrap(unit.rtp_time) * self._tick_ns)
        arrival_ns = self._arrival(pts_ns, unit.held)
        return Packet(self._ledger.enter(), len(unit.data), unit.is_key, pts_ns, arrival_ns, unit.data)

    def _arrival(self, pts_ns: int, held: bool) -> int:
        """When the packet was complete on this machine; one that was held came with its successor, a frame later."""
        held_ns = self._interval.update(pts_ns) if held else 0
        next_ns = self._clock.arrival(self._now(), pts_ns + held_ns)
        self._last_arrival_ns = max(self._last_arrival_ns, next_ns - held_ns)
        return self._last_arrival_ns
