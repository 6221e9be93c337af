"""What a batch took of an engine that works on two at once. Pure."""

from __future__ import annotations


class OwnTime:
    """A batch that began while another ran has the time from that one's end. A device may as well work on both in turns
    and end them together, so two batches in a row share their time evenly; alone, a batch has all of it.
    One that ends before another that was started earlier is taken to have ended with it.
    """

    def __init__(self) -> None:
        self._began_ns = self._ended_ns = 0

    def ended(self, started_ns: int, finished_ns: int) -> int:
        """The next batch has ended. Returns its own time, ns."""
        overlapped = started_ns < self._ended_ns
        took_ns = (finished_ns - self._began_ns) // 2 if overlapped else finished_ns - started_ns
        self._began_ns = max(started_ns, self._ended_ns)
        self._ended_ns = max(finished_ns, self._ended_ns)
        return max(1, took_ns)
