"""Events, hits and recall, as docs/evaluation.md defines them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

GRACE_S = 0.5
"""A first detection this long after the reference's first is still a hit."""


@dataclass(frozen=True, slots=True)
class Event:
    """Somebody in the picture, whom the reference detector sees. Times in s from the start of the timeline."""

    begin_s: float
    """May be in the picture from here on."""
    onset_s: float
    """The reference's first detection."""
    end_s: float


@dataclass(frozen=True, slots=True)
class Detection:
    """One analysed picture in which the detector saw something."""

    time_s: float
    heartbeat: bool
    """Only the heartbeat had it decoded: the glance itself, or what is awake because of a glance."""


@dataclass(frozen=True, slots=True)
class Hit:
    """How one event was met."""

    event: Event
    delay_s: float | None
    """From the reference's first detection to ours; below 0 where ours was first; None: a miss."""
    heartbeat: bool = False
    time_s: float = 0.0


def events(
    active_s: Iterable[tuple[float, float]], seen_s: Sequence[float], from_s: float = 0.0
) -> tuple[list[Event], int]:
    """Events, and how many visits the reference never saw.

    seen_s: times of the pictures in which the reference detects, ascending. from_s: visits that begin earlier are left
    out, as cameras are still learning then.
    """
    out, unseen = [], 0
    for begin, end in active_s:
        if begin < from_s:
            continue
        onset = next((at for at in seen_s if begin <= at <= end), None)
        if onset is None:
            unseen += 1
        else:
            out.append(Event(begin, onset, end))
    return out, unseen


def hits(events: Iterable[Event], detections: Sequence[Detection]) -> list[Hit]:
    """Each event with the first detection that counts for it; one that needed no heartbeat is preferred."""
    out = []
    for event in events:
        met = [d for d in detections if event.begin_s <= d.time_s <= event.onset_s + GRACE_S + 1e-6]
        own = next((d for d in met if not d.heartbeat), None)
        first = own or (met[0] if met else None)
        if first is None:
            out.append(Hit(event, None))
        else:
            out.append(Hit(event, first.time_s - event.onset_s, own is None, first.time_s))
    return out


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share by events (Wilson 1927, score interval); (0, 1) without any."""
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
