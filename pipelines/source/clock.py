"""When did a packet reach this machine? The demuxer's return says only when the pump got round to asking.

`offset = now - pts` of a stream is a constant (two clocks, one transit time) plus the time the packet lay waiting. The
smallest offset of late is the constant, what a packet has above it is its lag, and `arrival = now - lag` (DESIGN 7).
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

BUCKET_NS = 2_000_000_000
BUCKETS = 30
"""The window: minima of 2 s each over one minute. Longer follows the clocks' drift too late, shorter takes a lasting
backlog for the new normal."""
MAX_DRIFT = 500e-6
"""Quartz is good to 100 ppm, cameras in the sun to 200. A steeper slope is a backlog or a jump, never a clock."""
DRIFT_SPAN_NS = 20_000_000_000
"""Two minima this far apart say something about drift; nearer ones only about jitter."""
MAX_LAG_NS = 10_000_000_000
"""More than the socket buffers hold: the stream's clock was set back."""
FLOOR_NS = 200_000_000
"""Older minima are compared so often: in between, the steepest drift moves them by 0.1 ms."""
JUMP_NS = 1_000_000_000
"""Reordered B-frames lie less than this behind their neighbours."""
REORDER_PACKETS = 8
"""Live encoders use up to 3 B-frames in a row, many none: a longer run behind the newest pts is a jump back."""

_WRAPS = (1 << 33, 1 << 32)
"""MPEG timestamps and RTP timestamps, in ticks."""


def to_ns(ticks: int | None, base: Fraction | None) -> int | None:
    """A timestamp in a stream's time base as nanoseconds, None for none."""
    return None if ticks is None or not base else ticks * 1_000_000_000 * base.numerator // base.denominator


class PtsUnwrapper:
    """Makes timestamps that wrap at 33 or 32 bits grow for ever. Other jumps pass through. Ticks in, ticks out."""

    def __init__(self, tolerance: int = 90_000 * 10) -> None:
        """tolerance: ticks by which the first timestamp after a wrap may be off (packets were lost, or reordered)."""
        self._tolerance = tolerance
        self._offset = 0
        self._last: int | None = None

    def unwrap(self, pts: int) -> int:
        """The next timestamp of the stream, in the order of the stream."""
        value = pts + self._offset
        if self._last is not None and abs(value - self._last) > self._tolerance:
            for wrap in _WRAPS:
                for turn in (wrap, -wrap):  # -wrap: a reordered packet from before the wrap
                    if abs(value + turn - self._last) <= self._tolerance:
                        self._offset += turn
                        value += turn
                        break
        self._last = value
        return value


class FrameInterval:
    """The time between a stream's pictures, from their timestamps in any order. Pure; bound: 9 timestamps."""

    def __init__(self) -> None:
        self._recent: deque[int] = deque(maxlen=9)

    def update(self, pts_ns: int) -> int:
        """Median step of the last pictures in order of presentation, ns; 0 until there are two, and after a jump."""
        self._recent.append(pts_ns)
        shown = sorted(self._recent)
        steps = sorted(b - a for a, b in pairwise(shown))
        step_ns = steps[len(steps) // 2] if steps else 0
        return step_ns if step_ns <= JUMP_NS else 0


@dataclass(slots=True)
class _Bucket:
    start_ns: int
    at_ns: int
    """When the smallest offset was seen."""
    offset_ns: int


class ArrivalClock:
    """Dates packets of one connection. Pure, one thread.

    Never later than now, never earlier than the packet before. The first packets after an open or a jump are taken as
    being on time, since nothing better is known: their arrival is late by the backlog there was.
    Cost: a few microseconds. Bound: 30 minima.
    """

    def __init__(self) -> None:
        self._buckets: deque[_Bucket] = deque(maxlen=BUCKETS)
        self._newest_pts_ns: int | None = None
        self._behind = 0
        self._arrival_ns = 0
        self._drift = 0.0
        self._floor: tuple[int, int] | None = None
        """Smallest offset of all buckets but the newest, and until when it may be used."""
        self.lag_ns = 0
        """Of the last packet."""
        self.jumps = 0
        """How often the stream's clock jumped and the offset was learned anew."""

    def arrival(self, now_ns: int, pts_ns: int | None) -> int:
        """Monotonic ns at which the packet that the demuxer returned at `now_ns` reached the machine."""
        if pts_ns is None:
            self.lag_ns = 0
        elif not self._reordered(pts_ns):
            self._newest_pts_ns = pts_ns
            self.lag_ns = self._lag(now_ns, now_ns - pts_ns)
        self._arrival_ns = min(now_ns, max(now_ns - self.lag_ns, self._arrival_ns))
        return self._arrival_ns

    def _reordered(self, pts_ns: int) -> bool:
        """A B-frame: sent after a packet that is shown later, so its own pts says nothing of its lag."""
        if self._newest_pts_ns is None or pts_ns >= self._newest_pts_ns:
            self._behind = 0
            return False
        self._behind += 1
        if self._newest_pts_ns - pts_ns < JUMP_NS and self._behind <= REORDER_PACKETS:
            return True
        self._relearn()
        return False

    def _relearn(self) -> None:
        self._buckets.clear()
        self._floor = None
        self._behind = 0
        self._drift = 0.0
        self.jumps += 1

    def _lag(self, now_ns: int, offset_ns: int) -> int:
        base_ns = self._base(now_ns)
        if base_ns is not None and offset_ns - base_ns > MAX_LAG_NS:
            self._relearn()
            base_ns = None
        self._remember(now_ns, offset_ns)
        return 0 if base_ns is None else max(0, offset_ns - base_ns)

    def _base(self, now_ns: int) -> int | None:
        """The offset of a packet that did not wait, at this moment."""
        if not self._buckets:
            return None
        newest = self._drifted(self._buckets[-1], now_ns)
        if len(self._buckets) == 1:
            return newest
        if self._floor is None or now_ns >= self._floor[1]:
            older = itertools.islice(self._buckets, len(self._buckets) - 1)
            self._floor = min(self._drifted(bucket, now_ns) for bucket in older), now_ns + FLOOR_NS
        return min(newest, self._floor[0])

    def _drifted(self, bucket: _Bucket, now_ns: int) -> int:
        """The bucket's offset, as it would be now."""
        return bucket.offset_ns + round(self._drift * (now_ns - bucket.at_ns))

    def _remember(self, now_ns: int, offset_ns: int) -> None:
        last = self._buckets[-1] if self._buckets else None
        if last is None or now_ns - last.start_ns >= BUCKET_NS:
            while self._buckets and now_ns - self._buckets[0].start_ns > BUCKET_NS * BUCKETS:
                self._buckets.popleft()
            self._buckets.append(_Bucket(now_ns, now_ns, offset_ns))
            self._drift = self._slope()
            self._floor = None
        elif offset_ns < last.offset_ns:
            last.at_ns, last.offset_ns = now_ns, offset_ns

    def _slope(self) -> float:
        """ns per ns by which the stream's clock loses against ours: from the lowest points of the window's halves."""
        buckets = list(self._buckets)[:-1]  # the newest has one packet so far: no minimum yet
        half = len(buckets) // 2
        if half == 0:
            return self._drift
        early = min(buckets[:half], key=lambda b: b.offset_ns)
        late = min(buckets[half:], key=lambda b: b.offset_ns)
        span_ns = late.at_ns - early.at_ns
        if span_ns < DRIFT_SPAN_NS:
            return self._drift
        return max(-MAX_DRIFT, min(MAX_DRIFT, (late.offset_ns - early.offset_ns) / span_ns))
