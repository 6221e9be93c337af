"""What the harness knows of one camera beside the product's own word: which picture a packet was, when it was sent, and
when the camera was awake. From the notes of cameras_product. Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True, slots=True)
class Key:
    """One key frame."""

    sequence: int
    index: int
    """Of the picture in its clip; -1 unknown."""
    sent_ns: int
    """When the server sent it; 0 unknown."""
    read_ns: int
    cpu_ns: int
    """CPU time of the pump thread until then."""


@dataclass(frozen=True, slots=True)
class Session:
    """The life of one decoder."""

    sequence: int
    """Of the packet it was opened with: the one that woke the camera."""
    opened_ns: int
    live_ns: int
    """The first packet after the catch-up was decoded: from here on the camera is awake. 0: never."""
    packets: int

    @property
    def is_glance(self) -> bool:
        return self.packets == 1


class CameraTruth:
    """One camera of one run."""

    def __init__(self, notes: Mapping[str, Any], frames: int, fps: float) -> None:
        """frames: of the camera's clip, which is played again and again."""
        self.keys = [Key(*row) for row in notes["keys"]]
        self.sessions = [Session(*row) for row in notes["sessions"]]
        self._starts = [session.sequence for session in self.sessions]
        self._frames = frames
        self._interval_ns = 1e9 / fps
        self._offset = [(key.index - key.sequence) % frames for key in self.keys if key.index >= 0]

    @property
    def slips(self) -> int:
        """How often packets were lost, or the play was begun anew: the numbers before and after do not fit together."""
        return sum(a != b for a, b in pairwise(self._offset))

    def session(self, sequence: int) -> Session | None:
        """The decoder a packet went through, if it was decoded."""
        at = bisect_right(self._starts, sequence) - 1
        return self.sessions[at] if at >= 0 else None

    def next_session(self, session: Session) -> Session | None:
        at = bisect_right(self._starts, session.sequence)
        return self.sessions[at] if at < len(self.sessions) else None

    def within(self, first_ns: int, last_ns: int) -> list[Key]:
        """Key frames that were sent in this time."""
        return [key for key in self.keys if key.sent_ns and first_ns <= key.sent_ns <= last_ns]

    def index(self, sequence: int) -> int:
        """Which picture of the clip a packet was; -1 unknown."""
        near = self._key_at(sequence)
        return (near.index + sequence - near.sequence) % self._frames if near and near.index >= 0 else -1

    def sent_ns(self, sequence: int) -> int:
        """When the server sent a packet; 0 unknown."""
        near = self._key_at(sequence)
        return round(near.sent_ns + (sequence - near.sequence) * self._interval_ns) if near and near.sent_ns else 0

    def plays(self, index: int, first_ns: int, last_ns: int) -> list[int]:
        """Sequences of the packets that were this picture of the clip, of those sent in this time."""
        keys = self.within(first_ns, last_ns)
        if not keys or keys[0].index < 0:
            return []
        margin = round(4e9 / self._interval_ns)
        offset = keys[0].index - keys[0].sequence
        start, end = keys[0].sequence - margin, keys[-1].sequence + margin
        first = start + (index - offset - start) % self._frames
        every = range(first, end + 1, self._frames)
        return [sequence for sequence in every if first_ns <= self.sent_ns(sequence) <= last_ns]

    def lags_ms(self, first_ns: int, last_ns: int) -> list[float]:
        """From sent to read, of each key frame of this time."""
        return [(key.read_ns - key.sent_ns) / 1e6 for key in self.within(first_ns, last_ns)]

    def quiet_cost_us(self, first_ns: int, last_ns: int) -> list[float]:
        """CPU time of the pump thread per packet, of each group of pictures in which nothing was decoded."""
        keys = self.within(first_ns, last_ns)
        out = []
        for a, b in pairwise(keys):
            if b.sequence > a.sequence and not self._decoded_between(a, b):
                out.append((b.cpu_ns - a.cpu_ns) / 1e3 / (b.sequence - a.sequence))
        return out

    def _decoded_between(self, a: Key, b: Key) -> bool:
        """A decoder was opened between the two, or the one before them lived on."""
        if any(a.sequence <= session.sequence <= b.sequence for session in self.sessions):
            return True
        last = self.session(a.sequence)
        return last is not None and last.sequence + last.packets > a.sequence

    def _key_at(self, sequence: int) -> Key | None:
        at = bisect_right(self.keys, sequence, key=lambda key: key.sequence) - 1
        at = max(at, 0)
        known: Sequence[Key] = [key for key in self.keys[at : at + 2] if key.sent_ns]
        return known[0] if known else None
