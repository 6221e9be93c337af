"""From the notes of one run to its figures: what was carried, how late, how much was found. Pure.

Definitions: docs/capacity.md.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.bench.cameras_clip import Clip, Event
from scripts.bench.cameras_truth import CameraTruth, Session

GOOD = frozenset({"asleep", "invalid", "still", "empty", "inferred", "degraded"})
"""Outcomes that a gate is meant to give, and answers."""
TO_WORKER = frozenset({"inferred"})
CARRIED_SHARE = 0.98
MOST_LAG_MS = 1000.0
"""From sent to read. Beyond the deadline of a frame the lag is no longer bounded by anything but the socket."""
HIT_S = 0.5
EARLY_S = 1.0
"""The product may see somebody before the reference does: one picture is coded, the other is not."""
WORK = (("read", "decoded"), ("decoded", "gated"), ("gated", "published"), ("started", "finished"))
"""Stages in which a frame is worked on; between the others it waits."""
Report = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Window:
    """The measured part of a run, monotonic ns; `wall_ns` is what wall clock minus monotonic was."""

    first_ns: int
    last_ns: int
    wall_ns: int

    @property
    def seconds(self) -> float:
        return (self.last_ns - self.first_ns) / 1e9


@dataclass(frozen=True, slots=True)
class Answered:
    """One record of a frame that the worker answered."""

    camera: str
    sequence: int
    arrival_ns: int
    """Within 1 ms: the record has the wall clock's."""
    top_score: float
    source: str
    stages_ms: Mapping[str, float]

    @property
    def result_ms(self) -> float:
        return self.stages_ms["answered"]

    @property
    def work_ms(self) -> float:
        at = {"arrival": 0.0, **self.stages_ms}
        return sum(at[end] - at[begin] for begin, end in WORK if begin in at and end in at)


def answered(record: Report, window: Window) -> Answered:
    return Answered(
        record["camera_id"],
        record["frame"],
        record["time"] * 1_000_000 - window.wall_ns,
        max(record["scores"], default=0.0),
        record["source"],
        record["timeline_ms"],
    )


# --- carried ---------------------------------------------------------------------------------------------------------


def difference(first: Report, last: Report) -> Counter[str]:
    """A camera's outcomes between two reports."""
    before: Mapping[str, int] = first["outcomes"] if first else {}
    return Counter({name: count - before.get(name, 0) for name, count in last["outcomes"].items()})


def not_carried(first: Report, last: Report, lags_ms: Sequence[float], wanted_packets: float) -> str:
    """Why a camera does not count as carried; empty if it does."""
    outcomes = difference(first, last)
    packets = last["packets"] - first["packets"]
    due = sum(outcomes.values()) - outcomes["paced"]
    good = sum(outcomes[name] for name in GOOD)
    if packets < CARRIED_SHARE * wanted_packets:
        return f"{packets} packets read of {wanted_packets:.0f}"
    if due and good < CARRIED_SHARE * due:
        bad = {name: n for name, n in outcomes.items() if n and name not in GOOD and name != "paced"}
        return f"{good / due:.1%} of due frames: {bad}"
    if lags_ms and max(lags_ms) > MOST_LAG_MS:
        return f"lag up to {max(lags_ms):.0f} ms"
    return ""


# --- latency ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of answered frames, ms."""

    result: list[float]
    """Awake on arrival."""
    wake: list[float]
    """The first after a wake-up, where the packet that woke or one that came during the catch-up was answered."""
    catching_up: list[float]
    """The others that came while the camera was woken."""
    sent_to_result: list[float]
    """As `result`, but from the time at which the server sent the frame."""
    work: list[float]


def latencies(frames: Iterable[Answered], truths: Mapping[str, CameraTruth]) -> Latencies:
    out = Latencies([], [], [], [], [])
    woken: set[tuple[str, int]] = set()
    for frame in sorted(frames, key=lambda frame: (frame.camera, frame.sequence)):
        truth = truths[frame.camera]
        session = truth.session(frame.sequence)
        out.work.append(frame.work_ms)
        if session is None or session.is_glance:
            continue
        if session.live_ns and frame.arrival_ns >= session.live_ns:
            out.result.append(frame.result_ms)
            if sent_ns := truth.sent_ns(frame.sequence):
                out.sent_to_result.append((frame.arrival_ns - sent_ns) / 1e6 + frame.result_ms)
        elif (frame.camera, session.sequence) not in woken:
            out.wake.append(frame.result_ms)
        else:
            out.catching_up.append(frame.result_ms)
        woken.add((frame.camera, session.sequence))
    return out


def quantiles(values: Sequence[float], *wanted: int, digits: int = 1) -> dict[str, float]:
    """{"p50": ..., "n": count} by nearest rank; without data only n."""
    ordered = sorted(values)
    ranks = {p: max(0, math.ceil(len(ordered) * p / 100) - 1) for p in wanted}
    return {f"p{p}": round(ordered[rank], digits) for p, rank in ranks.items() if ordered} | {"n": len(ordered)}


# --- events ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """One event of one camera, and how it was found: "gate", "heartbeat", "audit", or "" for not at all."""

    camera: str
    clip: str
    first: int
    """The picture of the clip in which the reference saw it first."""
    sequence: int
    """The packet that was this picture."""
    by: str
    after_ms: float | None = None
    """Media time from the reference's first detection to ours."""
    why: str = ""
    """Of a miss: what the camera did meanwhile."""


def seen(
    camera: str, clip: Clip, truth: CameraTruth, frames: Sequence[Answered], window: Window, threshold: float
) -> list[Seen]:
    """Every event of this camera whose time lies wholly in the window.

    frames: of this camera. threshold: a detection counts from this score on.
    """
    out = []
    first_ns, last_ns = window.first_ns + round(EARLY_S * 1e9), window.last_ns - round((HIT_S + 1) * 1e9)
    for event in clip.events:
        for sequence in truth.plays(event.first, first_ns, last_ns):
            hits = [f for f in _near(frames, sequence, clip) if f.top_score >= threshold]
            out.append(_seen(camera, clip, event, sequence, hits, truth))
    return out


def _near(frames: Sequence[Answered], sequence: int, clip: Clip) -> list[Answered]:
    first, last = sequence - round(EARLY_S * clip.fps), sequence + math.floor(HIT_S * clip.fps)
    return sorted((f for f in frames if first <= f.sequence <= last), key=lambda f: f.sequence)


def _seen(camera: str, clip: Clip, event: Event, sequence: int, hits: Sequence[Answered], truth: CameraTruth) -> Seen:
    if not hits:
        return Seen(camera, clip.path.name, event.first, sequence, "", None, _why(sequence, clip, truth))
    hit = hits[0]
    by = hit.source if hit.source != "gate" else "heartbeat" if _by_glance(hit, sequence, clip, truth) else "gate"
    return Seen(camera, clip.path.name, event.first, sequence, by, (hit.sequence - sequence) / clip.fps * 1e3)


def _by_glance(hit: Answered, sequence: int, clip: Clip, truth: CameraTruth) -> bool:
    """The frame of a heartbeat found it, or such a frame of this very event woke the camera."""
    session = truth.session(hit.sequence)
    if session is None or session.is_glance:
        return True
    before = truth.session(session.sequence - 1)
    return before is not None and before.is_glance and before.sequence >= sequence - EARLY_S * clip.fps


def _why(sequence: int, clip: Clip, truth: CameraTruth) -> str:
    last = sequence + math.floor(HIT_S * clip.fps)
    session = truth.session(last)
    following = truth.next_session(session) if session else None
    woke = f"next woken {(following.sequence - sequence) / clip.fps:+.1f} s" if following else "not woken again"
    if session is None:
        return f"asleep; {woke}"
    return f"last woken {(session.sequence - sequence) / clip.fps:+.1f} s, {_kind(session)}; {woke}"


def _kind(session: Session) -> str:
    return "a glance" if session.is_glance else f"decoded {session.packets} packets"


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); (0, 1) without data."""
    if n == 0:
        return 0.0, 1.0
    share = hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
