"""One camera's event pictures: `<directory>/<camera>/<event_id>.jpg`, bounded in bytes, the oldest deleted first."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from urllib.parse import quote

_OURS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.jpg")


def folder_of(directory: Path, camera_id: str) -> Path:
    """Where a camera's pictures go: a camera id of any characters stays one name inside the directory."""
    name = quote(camera_id, safe=" ")
    return directory / (name if name.strip(".") else name.replace(".", "%2E"))


class SnapshotFolder:
    """Any thread. Bound: `max_bytes` of our own files (full: the oldest are deleted, counted); others are let be."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._sizes: dict[Path, int] | None = None
        """In order of age; event ids sort by time. None until the folder was read, at the first write."""
        self._held_bytes = 0
        self._deleted = 0

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    @property
    def deleted(self) -> int:
        return self._deleted

    def path(self, event_id: str) -> Path | None:
        """The picture of an event, if it was written and is not deleted yet."""
        path = self._folder / f"{event_id}.jpg"
        with self._lock:
            return path if self._sizes and path in self._sizes else None

    def write(self, event_id: str, data: bytes) -> Path:
        """Write a picture so that a reader sees all of it or nothing, then delete what is too much.

        Not synced: a snapshot may be lost with the power, its alert may not. Raises OSError.
        """
        path = self._folder / f"{event_id}.jpg"
        self._folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{event_id}.part")
        try:
            part.write_bytes(data)
            os.replace(part, path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        with self._lock:
            if self._sizes is None:
                self._sizes = self._read()
                self._held_bytes = sum(self._sizes.values())
            self._held_bytes += len(data) - self._sizes.pop(path, 0)
            self._sizes[path] = len(data)
            self._shrink(self._sizes)
        return path

    def _read(self) -> dict[Path, int]:
        """What is there, oldest first. What an earlier process left half-written is removed."""
        for part in self._folder.glob(".*.part"):
            part.unlink(missing_ok=True)
        files = sorted(path for path in self._folder.glob("*.jpg") if _OURS.fullmatch(path.name))
        return {path: path.stat().st_size for path in files}

    def _shrink(self, sizes: dict[Path, int]) -> None:
        """Delete the oldest until the rest fits; the newest stays, however large."""
        while self._held_bytes > self._max_bytes and len(sizes) > 1:
            oldest = next(iter(sizes))
            oldest.unlink(missing_ok=True)
            self._held_bytes -= sizes.pop(oldest)
            self._deleted += 1
