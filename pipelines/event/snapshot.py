"""A picture for an alert: the frame that raised it, with its boxes, as a JPEG inside the record or in a file."""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from pipelines.event.payload import DATA_URI
from pipelines.event.picture import annotate, jpeg, to_bgr
from pipelines.event.snapshot_directory import SnapshotDirectory
from pipelines.values import Alert, AlertType, Frame


class SnapshotOptions(BaseModel, frozen=True, extra="forbid"):
    """Whether alerts carry a picture, and what it looks like."""

    mode: Literal["off", "inline", "file"] = Field(
        "off", description="off; inline: base64 in the `new` record; file: a JPEG file, its path in every record"
    )
    directory: Path = Field(
        Path("snapshots"), description="Where mode `file` writes <camera>/<event_id>.jpg; made when missing"
    )
    max_directory_bytes: int = Field(
        1 << 30, ge=1 << 20, description="Oldest files are deleted above this size (bytes)"
    )
    max_width_px: int = Field(640, ge=64, le=8192, description="Wider pictures are shrunk to this width (px)")
    quality: int = Field(80, ge=1, le=100, description="JPEG quality (1..100)")
    annotate: bool = Field(True, description="Draw boxes, classes and scores into the picture")


@dataclass(frozen=True, slots=True)
class SnapshotStatistics:
    """Counters since start."""

    taken: int
    failed: int
    """Pictures that could not be made or written: their alerts went out without."""
    deleted: int
    """Files deleted to keep the directory's bound."""
    directory_bytes: int
    last_error: str = ""


class Snapshotter:
    """Adds pictures to alerts. Any thread, but not the event loop's: it compresses and, in mode `file`, writes."""

    def __init__(self, options: SnapshotOptions) -> None:
        self._options = options
        self._directory = SnapshotDirectory(options.directory, options.max_directory_bytes)
        self._lock = threading.Lock()
        self._taken = 0
        self._failed = 0
        self._last_error = ""

    @property
    def wanted(self) -> bool:
        """False: `attach` does nothing, so nobody need keep a frame for it."""
        return self._options.mode != "off"

    def attach(self, alert: Alert, frame: Frame | None) -> Alert:
        """The alert with its picture: taken of `frame` at `new`, by path in mode `file` for the rest of the episode.

        Never raises for want of a picture: an alert without one is worth more than none; it is counted.
        """
        if not self.wanted:
            return alert
        try:
            return replace(alert, snapshot=self._snapshot(alert, frame))
        except (OSError, ValueError) as error:
            with self._lock:
                self._failed += 1
                self._last_error = f"{type(error).__name__}: {error}"
            return alert

    def statistics(self) -> SnapshotStatistics:
        with self._lock:
            return SnapshotStatistics(
                self._taken, self._failed, self._directory.deleted, self._directory.held_bytes, self._last_error
            )

    def _snapshot(self, alert: Alert, frame: Frame | None) -> str | None:
        path = self._directory.path(alert.camera_id, alert.event_id)
        if alert.type is not AlertType.NEW:
            return str(path) if self._directory.holds(path) else None
        if frame is None:
            return None
        data = picture_of(alert, frame, self._options)
        if self._options.mode == "file":
            self._directory.write(path, data)
        with self._lock:
            self._taken += 1
        return str(path) if self._options.mode == "file" else DATA_URI + base64.b64encode(data).decode()


def picture_of(alert: Alert, frame: Frame, options: SnapshotOptions) -> bytes:
    """JPEG of the frame with the alert's boxes. Some 2-3 ms for 1080p at the default width; the GIL is free meanwhile.

    Raises:
        ValueError: the picture cannot be compressed.
    """
    bgr = to_bgr(frame, options.max_width_px)
    if options.annotate:
        annotate(bgr, alert)
    return jpeg(bgr, options.quality)
