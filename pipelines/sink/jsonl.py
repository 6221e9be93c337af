"""Records appended to files, one JSON object per line.

Each batch of lines is one write to the kernel, so a reader sees whole lines at once and a crash of this process loses
nothing that was acknowledged (a crash of the machine may: nothing is synced). The file is opened for each batch, so
that logrotate, a remounted volume or a removed directory need no signal.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field

from pipelines.contracts import Acked, SinkStatistics
from pipelines.errors import SinkError
from pipelines.sink.backlog import Backlog, drain, total
from pipelines.sink.encoding import Encoder
from pipelines.values import Alert, CameraHealth, FrameResult

_BATCH_LINES = 256
"""Lines per write: bounds what a full disk makes us write again."""


class JsonlOptions(BaseModel, frozen=True, extra="forbid"):
    """Which records go to which file."""

    path: Path = Field(description="File for alerts; its directory is made when missing.")
    detections_path: Path | None = Field(default=None, description="File for each frame's detections; empty: none.")
    health_path: Path | None = Field(default=None, description="File for changes of camera health; empty: none.")
    rotate_bytes: int = Field(default=0, ge=0, description="Rotate a file before it grows beyond this size; 0: never.")
    rotate_keep: int = Field(default=5, ge=1, description="Rotated files kept: FILE.1 is the newest.")
    buffer_records: int = Field(default=10_000, ge=1, description="Records kept per file while the disk refuses them.")
    buffer_bytes: int = Field(default=16 * 1024**2, ge=1024, description="Bytes kept per file, likewise.")
    retry_s: float = Field(default=1.0, gt=0, description="Seconds between attempts while the disk refuses.")


class LineFile:
    """One file that grows by whole lines. Any one thread at a time; every call blocks on the disk."""

    def __init__(self, path: Path, rotate_bytes: int = 0, rotate_keep: int = 5) -> None:
        self.path = path
        self._rotate_bytes = rotate_bytes
        self._rotate_keep = rotate_keep

    def append(self, lines: list[bytes]) -> None:
        """Append all lines or none.

        Raises:
            SinkError: the file cannot be opened or written (disk full); names the path. The file is as it was before.
        """
        data = b"".join(line + b"\n" for line in lines)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._rotate_before(len(data))
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                _append(descriptor, data)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise SinkError(f"{self.path}: {error.strerror or error}") from error

    def _rotate_before(self, incoming_bytes: int) -> None:
        """FILE.1 -> FILE.2 and so on, then FILE -> FILE.1. The oldest is overwritten."""
        if not self._rotate_bytes or not self.path.is_file():
            return
        size = self.path.stat().st_size
        if size == 0 or size + incoming_bytes <= self._rotate_bytes:
            return
        for number in range(self._rotate_keep - 1, 0, -1):
            older = self._rotated(number)
            if older.exists():
                older.replace(self._rotated(number + 1))
        self.path.replace(self._rotated(1))

    def _rotated(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _append(descriptor: int, data: bytes) -> None:
    """Write all or nothing; a torn last line (left by a crash) is ended first, so it spoils no record of ours."""
    status = os.fstat(descriptor)
    regular = stat.S_ISREG(status.st_mode)
    if regular and status.st_size and os.pread(descriptor, 1, status.st_size - 1) != b"\n":
        data = b"\n" + data
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        if regular:
            os.ftruncate(descriptor, status.st_size)
        raise


@dataclass(frozen=True, slots=True)
class _Line:
    payload: bytes
    alert: Alert | None = None


class _Output:
    """One file with its backlog: a full disk under one does not hold up the others."""

    def __init__(self, path: Path, options: JsonlOptions, acked: Acked | None, clock_ns: Callable[[], int]) -> None:
        self._file = LineFile(path, options.rotate_bytes, options.rotate_keep)
        self._retry_s = options.retry_s
        self._acked = acked
        self._clock_ns = clock_ns
        self.backlog: Backlog[_Line] = Backlog(options.buffer_records, options.buffer_bytes)
        self.error = ""
        """Of the last attempt; empty when it worked."""

    def offer(self, payload: bytes, alert: Alert | None = None) -> None:
        self.backlog.offer(_Line(payload, alert), len(payload))

    async def run(self) -> None:
        while True:
            tickets = await self.backlog.batch(_BATCH_LINES)
            try:
                await asyncio.to_thread(self._file.append, [ticket.item.payload for ticket in tickets])
            except SinkError as error:
                self.error = str(error)
                self.backlog.rewind()
                await asyncio.sleep(self._retry_s)
                continue
            self.error = ""
            now_ns = self._clock_ns()
            for ticket in tickets:
                if self.backlog.acked(ticket) and ticket.item.alert is not None and self._acked is not None:
                    self._acked(ticket.item.alert, now_ns)


class JsonlSink:
    """Alerts, and optionally detections and health, to files. The writing happens in a worker thread.

    A record counts as acknowledged when the kernel has it. A full disk is reported in the statistics and tried again;
    meanwhile the bounded buffer keeps the newest records. The encoder must give JSON without line breaks.
    """

    def __init__(
        self,
        options: JsonlOptions,
        encoder: Encoder,
        acked: Acked | None = None,
        name: str = "jsonl",
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self._encoder = encoder

        def output(path: Path | None) -> _Output | None:
            return _Output(path, options, acked, clock_ns) if path is not None else None

        self._alerts = _Output(options.path, options, acked, clock_ns)
        self._detections = output(options.detections_path)
        self._health = output(options.health_path)
        self._outputs = [out for out in (self._alerts, self._detections, self._health) if out is not None]

    def alert(self, alert: Alert) -> None:
        self._alerts.offer(self._encoder.alert(alert), alert)

    def result(self, result: FrameResult) -> None:
        if self._detections is not None:
            self._detections.offer(self._encoder.result(result))

    def health(self, health: CameraHealth) -> None:
        if self._health is not None:
            self._health.offer(self._encoder.health(health))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for output in self._outputs:
                group.create_task(output.run(), name=f"{self.name}[{output._file.path.name}]")

    async def drain(self, deadline_s: float) -> None:
        await drain([output.backlog for output in self._outputs], deadline_s)

    def statistics(self) -> SinkStatistics:
        errors = [output.error for output in self._outputs if output.error]
        parts = [output.backlog.statistics() for output in self._outputs]
        return total(parts, connected=not errors, last_error="; ".join(errors))
