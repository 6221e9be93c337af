"""Decode saved against event recall: points of one scene, pooled to suites, read off at a wanted recall. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

LEVELS = (90, 95, 99)
"""Per cent of event recall at which the saving is read off."""


@dataclass(frozen=True, slots=True)
class Point:
    """One setting of one gate on one scene, or on several together."""

    setting: float
    """Threshold, or every how many frames: what was swept."""
    decode_ns: int
    full_ns: int
    """To decode the same packets in full."""
    events: int
    hits: int
    """Without those that only the heartbeat made."""
    heartbeat_hits: int = 0

    @property
    def saved(self) -> float:
        """Below 0 where catch-up and heartbeat cost more than they save."""
        return 1.0 - self.decode_ns / self.full_ns

    @property
    def recall(self) -> float | None:
        return self.hits / self.events if self.events else None


def pool(points: Iterable[Point]) -> list[Point]:
    """Points of many scenes to one per setting: one setting for all, as one deployment has."""
    ordered = sorted(points, key=lambda point: point.setting)
    return [_sum(setting, list(same)) for setting, same in groupby(ordered, key=lambda point: point.setting)]


def _sum(setting: float, points: Sequence[Point]) -> Point:
    return Point(
        setting,
        sum(p.decode_ns for p in points),
        sum(p.full_ns for p in points),
        sum(p.events for p in points),
        sum(p.hits for p in points),
        sum(p.heartbeat_hits for p in points),
    )


def best_at(points: Iterable[Point], percent: int) -> Point | None:
    """The point that saves most among those of at least this recall."""
    enough = [p for p in points if p.recall is not None and p.recall * 100 >= percent - 1e-9]
    return max(enough, key=lambda point: point.saved, default=None)


def saved_at(points: Sequence[Point]) -> dict[str, float]:
    """{"90", "95", "99"} to the saving there; 0.0: this recall costs a full decode, or not even that reaches it."""
    out = {}
    for percent in LEVELS:
        point = best_at(points, percent)
        out[str(percent)] = round(max(0.0, point.saved), 4) if point else 0.0
    return out
