"""How large batches may be where memory is short. Pure: time is an argument."""

from __future__ import annotations

AGAIN_NS = 30_000_000_000
"""Whatever took the memory may be gone by then. A size that fails again costs one batch that is run in halves."""


class BatchLimit:
    """Half of what found no room, and twice as much again every half minute, up to what was configured."""

    def __init__(self, most: int) -> None:
        self._most = self._size = most
        self._grows_ns = 0
        self.failures = 0
        """Batches that found no room."""

    def failed(self, size: int, now_ns: int) -> None:
        """A batch of `size` found no room."""
        self.failures += 1
        self._size = max(1, min(self._size, size // 2))
        self._grows_ns = now_ns + AGAIN_NS

    def at(self, now_ns: int) -> int:
        """The largest batch now."""
        if self._size < self._most and now_ns >= self._grows_ns:
            self._size = min(self._most, 2 * self._size)
            self._grows_ns = now_ns + AGAIN_NS
        return self._size
