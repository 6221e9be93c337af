"""One open stream of a camera or a file, over PyAV: what RtspSource and FileSource share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import cast

import av

from pipelines.accounting import Ledger
from pipelines.errors import SourceError
from pipelines.source.decoder import AvDecoder, DecoderOptions
from pipelines.source.interrupt import Interruptible
from pipelines.source.redact import redact
from pipelines.values import Packet, StreamInfo

Now = Callable[[], int]
"""time.monotonic_ns, or a test's."""


def open_container(
    url: str, guard: Interruptible, options: dict[str, str], timeout_s: float
) -> av.container.InputContainer:
    """av.open, bounded and interruptible.

    PyAV's own timeout is used here and only here: it is what ends a slow drip during an open, at the price of a
    callback that takes the GIL ten times a second. It is off while reading.

    Raises:
        SourceError: URL redacted.
    """
    start_s = time.monotonic()
    try:
        with guard.call():
            _check(guard)
            timeout = cast(float, _Remaining(timeout_s)), None
            container = av.open(url, "r", options=options, timeout=timeout)
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        _check(guard)
        # The time is part of the reason: FFmpeg calls a camera that does not answer "invalid data".
        raise SourceError(redact(f"cannot open, after {time.monotonic() - start_s:.1f} s: {error}", url)) from None
    if guard.interrupted:
        container.close()
        _check(guard)
    return container


class _Remaining:
    """A timeout for av.open that spans all its phases: PyAV starts its clock anew for each, and reads this then."""

    def __init__(self, seconds: float) -> None:
        self._deadline_s = time.monotonic() + seconds

    def __float__(self) -> float:
        return max(0.001, self._deadline_s - time.monotonic())  # below zero would mean without end


def _check(guard: Interruptible) -> None:
    if guard.interrupted:
        raise SourceError("interrupted")


def video_of(container: av.container.InputContainer) -> av.VideoStream:
    """The first video stream that has a decoder."""
    for stream in container.streams.video:
        if stream.codec_context is not None:
            return stream
    container.close()
    raise SourceError("no video stream that can be decoded")


class AvStream:
    """Demuxes one container. One thread, except `interrupt`.

    Owns the container, and closes it. `url` is only used to redact messages.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        guard: Interruptible,
        url: str,
        ledger: Ledger,
        decoding: DecoderOptions,
    ) -> None:
        self._guard = guard
        self._url = url
        self._ledger = ledger
        self._decoding = decoding
        self._attach(container)
        context = self._video.codec_context
        rate_fps = float(self._video.guessed_rate or 0)
        self._info = StreamInfo(context.name, context.width, context.height, rate_fps, context.extradata or b"")

    def _attach(self, container: av.container.InputContainer) -> None:
        self._container = container
        self._video = video_of(container)
        self._packets: Iterator[av.Packet[av.VideoStream]] = container.demux(self._video)

    @property
    def info(self) -> StreamInfo:
        return self._info

    def decoder(self) -> AvDecoder:
        """A fresh decoder with this stream's parameter sets."""
        return AvDecoder(self._video.codec_context, self._decoding)

    def interrupt(self) -> None:
        self._guard.interrupt()

    def close(self) -> None:
        """Tell the other side and free the demuxer. Packets read and frames decoded stay valid."""
        self._packets = iter(())
        with self._guard.call():
            self._container.close()

    def _next(self) -> av.Packet[av.VideoStream] | None:
        """The next packet with a payload, or None at the end."""
        try:
            with self._guard.call():
                _check(self._guard)
                packet = next((p for p in self._packets if p.size), None)
        except (av.FFmpegError, OSError, ValueError) as error:
            _check(self._guard)
            raise SourceError(redact(f"cannot read: {error}", self._url)) from None
        _check(self._guard)
        return packet

    def _enter(self, packet: av.Packet[av.VideoStream], pts_ns: int | None, arrival_ns: int) -> Packet:
        return Packet(self._ledger.enter(), packet.size, packet.is_keyframe, pts_ns, arrival_ns, packet)
