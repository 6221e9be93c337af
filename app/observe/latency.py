"""Latencies in bounded memory: a histogram with fixed logarithmic buckets. Pure.

60 buckets per factor of ten from 1 us to 1000 s: neighbouring edges are 3.9 % apart, so the geometric middle of a
bucket is within 2 % of every latency in it (the idea of HDR Histogram and DDSketch, with fixed edges so that histograms
of several processes can be added up).
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

PER_DECADE = 60
_DECADES = 9
BUCKETS = PER_DECADE * _DECADES
_LEAST_NS = 1_000
_LOG_LEAST = math.log10(_LEAST_NS)
QUANTILES = {"p50": 0.50, "p80": 0.80, "p90": 0.90, "p99": 0.99}


def edge_s(bucket: int) -> float:
    """Upper edge of a bucket, seconds."""
    return float(10 ** ((bucket + 1) / PER_DECADE) * _LEAST_NS / 1e9)


@dataclass(frozen=True, slots=True)
class LatencySnapshot:
    """One reading of a histogram. About 4 kB."""

    counts: tuple[int, ...]
    """Per bucket; latencies below 1 us or above 1000 s are in the outer ones."""
    total_ns: int
    least_ns: int
    most_ns: int

    @property
    def count(self) -> int:
        return sum(self.counts)

    def quantile_ms(self, q: float) -> float | None:
        """The latency that a share `q` (0..1] does not exceed, within 2 %; None without data. Nearest rank."""
        count = self.count
        if count == 0:
            return None
        rank = max(1, math.ceil(q * count))
        bucket = bisect.bisect_left(tuple(itertools.accumulate(self.counts)), rank)
        middle_ns = edge_s(bucket) * 1e9 * 10 ** (-0.5 / PER_DECADE)
        return min(max(middle_ns, self.least_ns), self.most_ns) / 1e6

    def summary_ms(self) -> dict[str, float]:
        """The report's form: p50, p80, p90, p99 in ms; without data, nothing."""
        values = ((name, self.quantile_ms(q)) for name, q in QUANTILES.items())
        return {name: round(value, 3) for name, value in values if value is not None}


EMPTY = LatencySnapshot((0,) * BUCKETS, 0, 0, 0)


def merge(snapshots: Iterable[LatencySnapshot]) -> LatencySnapshot:
    """All of them as one, as if one histogram had seen everything."""
    with_data = [one for one in snapshots if one.count]
    if not with_data:
        return EMPTY
    return LatencySnapshot(
        counts=tuple(map(sum, zip(*(one.counts for one in with_data), strict=True))),
        total_ns=sum(one.total_ns for one in with_data),
        least_ns=min(one.least_ns for one in with_data),
        most_ns=max(one.most_ns for one in with_data),
    )


class LatencyHistogram:
    """Counts latencies. One thread records (else one histogram per thread and `merge`); any thread may read.

    A reader beside the recording thread may see the newest latency in `counts` and not yet in `total_ns`.
    """

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self._total_ns = 0
        self._least_ns: int | None = None
        self._most_ns = 0

    def record(self, latency_ns: int) -> None:
        """Count one. Below zero (clocks of two threads) counts as zero. About a microsecond."""
        latency_ns = max(0, latency_ns)
        bucket = 0
        if latency_ns > _LEAST_NS:
            bucket = min(BUCKETS - 1, int((math.log10(latency_ns) - _LOG_LEAST) * PER_DECADE))
        self._counts[bucket] += 1
        self._total_ns += latency_ns
        self._most_ns = max(self._most_ns, latency_ns)
        self._least_ns = latency_ns if self._least_ns is None else min(self._least_ns, latency_ns)

    def snapshot(self) -> LatencySnapshot:
        return LatencySnapshot(tuple(self._counts), self._total_ns, self._least_ns or 0, self._most_ns)
