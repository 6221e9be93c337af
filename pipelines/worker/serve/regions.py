"""System shared memory that clients have registered: Triton's extension, POSIX regions by their key.

Regions are read and written through the file (pread, pwrite), never mapped: a client that shrinks its region while it
is used costs its own request, where a mapping would end the process with SIGBUS. The copy is the one that the gather
into a batch would need anyway.

Only regular files of this process's own user are opened: a key is a name in `/dev/shm`, without a path.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from pipelines.worker.serve.status import Code, RequestError
from pipelines.worker.serve.tensor import SharedRange

SHM = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class RegionStatus:
    """A registered region: `byte_size` bytes from `offset` of the object `key`."""

    name: str
    key: str
    offset: int
    byte_size: int


class Regions:
    """Event-loop thread; each call is a few system calls. Bound: `most` regions; more are refused."""

    def __init__(self, most: int, directory: Path = SHM) -> None:
        self._most = most
        self._directory = directory
        self._open: dict[str, tuple[RegionStatus, int]] = {}

    def register(self, region: RegionStatus) -> None:
        """Open a client's region under a name.

        Raises:
            RequestError: the name is taken, there are too many, or the region cannot be used.
        """
        if region.name in self._open:
            raise RequestError(Code.ALREADY_EXISTS, f"region {region.name} is registered already: unregister it first")
        if len(self._open) >= self._most:
            raise RequestError(Code.RESOURCE_EXHAUSTED, f"{self._most} regions are registered (serve.max_regions)")
        if not region.name or region.byte_size < 1 or region.offset < 0:
            raise RequestError(Code.INVALID_ARGUMENT, "a region has a name, an offset and a size of at least 1 byte")
        self._open[region.name] = region, self._opened(region)

    def unregister(self, name: str) -> None:
        """Forget one region, or all (empty name). Not an error if there is none, as with Triton."""
        for each in [name] if name else list(self._open):
            if (found := self._open.pop(each, None)) is not None:
                os.close(found[1])

    def status(self, name: str = "") -> tuple[RegionStatus, ...]:
        """One region, or all (empty name). Raises RequestError if there is no such."""
        if name:
            return (self._find(name)[0],)
        return tuple(region for region, _ in self._open.values())

    def read(self, place: SharedRange) -> bytes:
        """Copy bytes out. Raises RequestError: outside the region, or the client has shrunk it."""
        fd, offset = self._place(place)
        data = os.pread(fd, place.byte_size, offset)
        if len(data) != place.byte_size:
            raise _shrunk(place)
        return data

    def write(self, place: SharedRange, data: bytes) -> None:
        """Copy bytes in, as many as `data` has. Raises RequestError as `read` does, or if they do not fit."""
        if len(data) > place.byte_size:
            reason = f"the output has {len(data)} bytes, the place in region {place.region} {place.byte_size}"
            raise RequestError(Code.INVALID_ARGUMENT, reason)
        fd, offset = self._place(place)
        if os.fstat(fd).st_size < offset + len(data):  # pwrite would make it grow again
            raise _shrunk(place)
        os.pwrite(fd, data, offset)

    def close(self) -> None:
        self.unregister("")

    def _place(self, place: SharedRange) -> tuple[int, int]:
        region, fd = self._find(place.region)
        if place.offset < 0 or place.byte_size < 0 or place.offset + place.byte_size > region.byte_size:
            reason = (
                f"{place.byte_size} bytes at {place.offset} do not lie in region {region.name} ({region.byte_size})"
            )
            raise RequestError(Code.INVALID_ARGUMENT, reason)
        return fd, region.offset + place.offset

    def _find(self, name: str) -> tuple[RegionStatus, int]:
        try:
            return self._open[name]
        except KeyError:
            raise RequestError(Code.NOT_FOUND, f"no region {name} is registered") from None

    def _opened(self, region: RegionStatus) -> int:
        key = region.key.removeprefix("/")
        if not key or "/" in key or key in (".", ".."):
            raise RequestError(Code.INVALID_ARGUMENT, f"{region.key!r} is not a key of POSIX shared memory")
        try:
            fd = os.open(self._directory / key, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            raise RequestError(Code.INVALID_ARGUMENT, f"shared memory {region.key!r} cannot be opened") from error
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            os.close(fd)
            raise RequestError(Code.INVALID_ARGUMENT, f"shared memory {region.key!r} is not of the worker's own user")
        if found.st_size < region.offset + region.byte_size:
            os.close(fd)
            reason = f"{region.byte_size} bytes at {region.offset} do not lie in {region.key!r} ({found.st_size} bytes)"
            raise RequestError(Code.INVALID_ARGUMENT, reason)
        return fd


def _shrunk(place: SharedRange) -> RequestError:
    return RequestError(Code.INVALID_ARGUMENT, f"region {place.region} is shorter than it was when it was registered")
