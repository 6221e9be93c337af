"""JPEG files of events: `<directory>/<camera>/<event_id>.jpg`, bounded in bytes, the oldest deleted first."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from urllib.parse import quote

_OURS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.jpg")


class SnapshotDirectory:
    """Any thread. Bound: `max_bytes` of our own files (full: the oldest are deleted, counted); others are let be."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._sizes: dict[Path, int] | None = None
        """In order of age; event ids sort by time. None until the directory was read."""
        self._bytes = 0
        self._deleted = 0

    @property
    def held_bytes(self) -> int:
        """What our files hold, as far as known: the directory is read at the first write."""
        return self._bytes

    @property
    def deleted(self) -> int:
        return self._deleted

    def path(self, camera_id: str, event_id: str) -> Path:
        """Where an event's picture is or would be. A camera id of any characters stays inside the directory."""
        folder = quote(camera_id, safe=" ")
        return self._directory / (folder if folder.strip(".") else folder.replace(".", "%2E")) / f"{event_id}.jpg"

    def holds(self, path: Path) -> bool:
        """The file was written, and is not deleted yet."""
        with self._lock:
            return self._sizes is not None and path in self._sizes

    def write(self, path: Path, data: bytes) -> None:
        """Write a picture so that a reader sees all of it or nothing, then delete what is too much.

        Not synced: a snapshot may be lost with the power, its alert may not. Raises OSError.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.stem}.part")
        try:
            part.write_bytes(data)
            os.replace(part, path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        with self._lock:
            if self._sizes is None:
                self._sizes = self._read()
                self._bytes = sum(self._sizes.values())
            self._bytes += len(data) - self._sizes.pop(path, 0)
            self._sizes[path] = len(data)
            self._shrink(self._sizes)

    def _read(self) -> dict[Path, int]:
        """What an earlier process left, oldest first. Half-written files are removed."""
        for part in self._directory.glob("*/.*.part"):
            if _OURS.fullmatch(part.name[1:].replace(".part", ".jpg")):
                part.unlink(missing_ok=True)
        files = [path for path in self._directory.glob("*/*.jpg") if _OURS.fullmatch(path.name)]
        return {path: path.stat().st_size for path in sorted(files, key=lambda path: path.name)}

    def _shrink(self, sizes: dict[Path, int]) -> None:
        """Delete the oldest until the rest fits; the newest stays, however large."""
        while self._bytes > self._max_bytes and len(sizes) > 1:
            oldest = next(iter(sizes))
            oldest.unlink(missing_ok=True)
            self._bytes -= sizes.pop(oldest)
            self._deleted += 1
