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
from pipelines.event.snapshot_folder import SnapshotFolder, folder_of
from pipelines.values import Alert, AlertType, Frame, FrameResult


class SnapshotOptions(BaseModel, frozen=True, extra="forbid"):
    """Whether alerts carry a picture, and what it looks like."""

    mode: Literal["off", "inline", "file"] = Field(
        "off", description="off; inline: base64 in the `new` record; file: a JPEG file, its path in the record."
    )
    directory: Path = Field(
        Path("snapshots"), description="Where mode `file` writes <camera>/<event_id>.jpg; made when missing."
    )
    max_camera_bytes: int = Field(
        1 << 25, ge=1 << 16, description="Files kept per camera (bytes); above it the oldest are deleted."
    )
    max_width_px: int = Field(640, ge=64, le=8192, description="Wider pictures are shrunk to this width (px).")
    quality: int = Field(80, ge=1, le=100, description="JPEG quality (1..100).")
    annotate: bool = Field(True, description="Draw boxes, classes and scores into the picture.")


@dataclass(frozen=True, slots=True)
class SnapshotStatistics:
    """Counters since start."""

    taken: int
    failed: int
    """Pictures that could not be made or written: their alerts went out without."""
    deleted: int
    """Files deleted to keep the cameras' bounds."""
    held_bytes: int
    """In the files of the cameras written to since start."""
    last_error: str = ""


class Snapshotter:
    """Adds pictures to alerts, of one camera or of many. Any thread.

    `attach` of a `new` alert compresses and, in mode `file`, writes: keep that off the event loop. All others cost a
    look-up.
    """

    def __init__(self, options: SnapshotOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._folders: dict[str, SnapshotFolder] = {}
        self._taken = 0
        self._failed = 0
        self._last_error = ""

    @property
    def wanted(self) -> bool:
        """False: `attach` does nothing, so nobody need keep a frame for it."""
        return self._options.mode != "off"

    def attach(self, alert: Alert, result: FrameResult | None = None) -> Alert:
        """The alert with its picture: `result.frame` for `new`; in mode `file` the same path for `update` and `end`.

        Never raises for want of a picture: an alert without one is worth more than none. It is counted.
        """
        if not self.wanted:
            return alert
        if alert.type is not AlertType.NEW:
            path = self._folder(alert.camera_id).path(alert.event_id)
            return replace(alert, snapshot=str(path)) if path else alert
        if result is None or result.frame is None:
            return alert
        try:
            snapshot = self._take(alert, result.frame)
        except (OSError, ValueError) as error:
            with self._lock:
                self._failed += 1
                self._last_error = f"{type(error).__name__}: {error}"
            return alert
        with self._lock:
            self._taken += 1
        return replace(alert, snapshot=snapshot)

    def statistics(self) -> SnapshotStatistics:
        with self._lock:
            return SnapshotStatistics(
                taken=self._taken,
                failed=self._failed,
                deleted=sum(folder.deleted for folder in self._folders.values()),
                held_bytes=sum(folder.held_bytes for folder in self._folders.values()),
                last_error=self._last_error,
            )

    def _take(self, alert: Alert, frame: Frame) -> str:
        data = picture_of(alert, frame, self._options)
        if self._options.mode == "file":
            return str(self._folder(alert.camera_id).write(alert.event_id, data))
        return DATA_URI + base64.b64encode(data).decode()

    def _folder(self, camera_id: str) -> SnapshotFolder:
        with self._lock:
            if camera_id not in self._folders:
                folder = folder_of(self._options.directory, camera_id)
                self._folders[camera_id] = SnapshotFolder(folder, self._options.max_camera_bytes)
            return self._folders[camera_id]


def picture_of(alert: Alert, frame: Frame, options: SnapshotOptions) -> bytes:
    """JPEG of the frame with the alert's boxes. Some 2-3 ms for 1080p at the default width; the GIL is free meanwhile.

    Raises:
        ValueError: the picture cannot be compressed.
    """
    bgr = to_bgr(frame, options.max_width_px)
    if options.annotate:
        annotate(bgr, alert)
    return jpeg(bgr, options.quality)
