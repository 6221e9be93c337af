"""Video files: played as live, like a camera, or read as fast as possible."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path

import av
from pydantic import BaseModel, Field

from pipelines.accounting import Ledger
from pipelines.errors import SourceError
from pipelines.source.clock import to_ns
from pipelines.source.decoder import DecoderOptions
from pipelines.source.interrupt import Interruptible
from pipelines.source.stream import AvStream, Now, open_container
from pipelines.values import Packet

_DEFAULT_FPS = 25.0
_OPEN_TIMEOUT_S = 10.0


class FileOptions(BaseModel, frozen=True, extra="forbid"):
    """How to play one file."""

    paced: bool = Field(default=True, description="Play as live, by the file's clock; else as fast as it can be read.")
    loop: bool = Field(default=False, description="Start again at the end, with timestamps that go on growing.")
    start_offset_s: float = Field(
        default=0.0,
        ge=0,
        description="The first play starts at the key frame at or before this many seconds (modulo the length), so "
        "that many cameras of one clip are out of phase.",
    )
    fps: float = Field(
        default=0.0, ge=0, description="Frame rate for files without timestamps; 0: the file's, or 25 if it says none."
    )
    decoder: DecoderOptions = Field(default_factory=DecoderOptions, description="What to believe of the pictures.")


class FileSource:
    """One file as a camera. The constructor does nothing that can fail."""

    def __init__(
        self,
        path: str | Path,
        ledger: Ledger,
        options: FileOptions | None = None,
        *,
        name: str = "file",
        now: Now = time.monotonic_ns,
    ) -> None:
        self._path = str(path)
        self._ledger = ledger
        self._options = options or FileOptions()
        self._name = name
        self._now = now
        self._guard = Interruptible(name)

    @property
    def paced(self) -> bool:
        return self._options.paced

    def open(self) -> FileStream:
        self._guard = guard = Interruptible(self._name)
        container = open_container(self._path, guard, {}, _OPEN_TIMEOUT_S)
        return FileStream(container, guard, self._path, self._ledger, self._options, self._now)

    def interrupt(self) -> None:
        self._guard.interrupt()


class FileStream(AvStream):
    """One play of one file, or endless plays of it.

    Paced: a packet is returned when it is due and its arrival is that moment, however late the pump asks for it, as it
    would be from a camera whose packets wait in the socket. Not paced: arrival is the moment of reading.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        guard: Interruptible,
        path: str,
        ledger: Ledger,
        options: FileOptions,
        now: Now,
    ) -> None:
        super().__init__(container, guard, path, ledger, options.decoder)
        self._options = options
        self._now = now
        self._stop = threading.Event()
        self._interval_ns = round(1e9 / (options.fps or self._info.fps or _DEFAULT_FPS))
        self._timeline = Timeline(self._interval_ns)
        self._started_ns: int | None = None
        self._read_any = False
        self._seek(options.start_offset_s)

    def interrupt(self) -> None:
        super().interrupt()
        self._stop.set()

    def read(self, wanted_ns: int = 0) -> Packet | None:
        """The next packet; blocks until it is due if paced. None at the end, if not looping."""
        packet = self._next()
        if packet is None and self._options.loop and self._read_any:
            self._rewind()
            packet = self._next()
        if packet is None:
            return None
        self._read_any = True
        base = packet.time_base
        pts_ns, due_ns = self._timeline.place(to_ns(packet.pts, base), to_ns(packet.dts, base))
        return self._enter(packet, pts_ns, self._wait(due_ns) if self._options.paced else self._now())

    def _wait(self, due_ns: int) -> int:
        """Sleep until `due_ns` of the timeline; returns that moment on the clock, or now where that is earlier."""
        if self._started_ns is None:
            self._started_ns = self._now() - due_ns
        at_ns = self._started_ns + due_ns
        delay_ns = at_ns - self._now()
        if delay_ns > 0 and self._stop.wait(delay_ns / 1e9):
            raise SourceError("interrupted")
        return min(at_ns, self._now())

    def _rewind(self) -> None:
        """Open the file anew: seeking does not work in raw streams."""
        self._container.close()
        self._attach(open_container(self._url, self._guard, {}, _OPEN_TIMEOUT_S))
        self._timeline.rewind()

    def _seek(self, seconds: float) -> None:
        if seconds <= 0:
            return
        length_s = (self._container.duration or 0) / av.time_base
        target = math.fmod(seconds, length_s) if length_s > 0 else seconds
        try:
            self._container.seek(round(target * av.time_base))
        except av.FFmpegError as error:
            raise SourceError(f"cannot start at {seconds} s: {error}") from error


class Timeline:
    """Lays the plays of a file end to end. Pure.

    pts is for showing, in presentation order; due is for sending, in file order, and never goes back.
    """

    def __init__(self, interval_ns: int) -> None:
        """interval_ns: the time of one frame, where the file has no timestamps."""
        self._interval_ns = interval_ns
        self._shift_ns: int | None = None
        self._end_ns = 0
        self._due_ns = -interval_ns

    def rewind(self) -> None:
        """The file starts again: its first packet comes one frame after the last one."""
        self._shift_ns = None

    def place(self, pts_ns: int | None, dts_ns: int | None) -> tuple[int, int]:
        """(pts, due) of the next packet, ns from the start of the first play; both start at 0."""
        first = pts_ns if dts_ns is None else dts_ns
        if self._shift_ns is None:
            self._shift_ns = self._end_ns - (first or 0)
        due_ns = self._due_ns + self._interval_ns if first is None else max(self._due_ns, first + self._shift_ns)
        shown_ns = due_ns if pts_ns is None else pts_ns + self._shift_ns
        self._due_ns = due_ns
        self._end_ns = max(self._end_ns, due_ns + self._interval_ns)
        return shown_ns, due_ns
