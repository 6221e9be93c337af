"""Which host memory is pinned: the payload regions of attached lanes. Thread-safe."""

from __future__ import annotations

import threading

from pipelines.values import U8
from pipelines.worker.engines.device import Device


class Pins:
    """Registered regions of one device. Bound: the lanes of one worker.

    A region stays referenced, and so mapped, until `remove` or `close`: the device must never copy from memory that is
    no longer there.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._regions: tuple[tuple[int, int, U8], ...] = ()

    def __len__(self) -> int:
        return len(self._regions)

    def add(self, region: U8) -> bool:
        """Register a region, (n,) uint8. False: the system refuses, and its payloads are copied by the host first."""
        with self._lock, self._device.active():
            start = address_of(region)
            if any(start == known for known, _, _ in self._regions):
                return True
            if not self._device.register(region):
                return False
            self._regions = (*self._regions, (start, start + region.nbytes, region))
            return True

    def remove(self, region: U8) -> None:
        """Before the region is unmapped, when no batch reads from it any more. Nothing happens if it was not added."""
        with self._lock, self._device.active():
            start = address_of(region)
            for known, _, kept in self._regions:
                if known == start:
                    self._device.unregister(kept)
            self._regions = tuple(r for r in self._regions if r[0] != start)

    def covers(self, payload: U8) -> bool:
        """True if the device may copy straight from this payload."""
        if not self._regions or not payload.flags.c_contiguous:
            return False
        start = address_of(payload)
        return any(low <= start and start + payload.nbytes <= high for low, high, _ in self._regions)

    def close(self) -> None:
        for _, _, region in self._regions:
            self.remove(region)


def address_of(array: U8) -> int:
    """Where its first byte lies."""
    return int(array.__array_interface__["data"][0])
