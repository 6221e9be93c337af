"""The histogram against the exact answer: every quantile within 2 %."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from app.observe.latency import BUCKETS, EMPTY, QUANTILES, LatencyHistogram, LatencySnapshot, edge_s, merge

latencies = st.lists(st.integers(1_000, 10**12), min_size=1, max_size=200)


def recorded(values: list[int]) -> LatencySnapshot:
    histogram = LatencyHistogram()
    for value in values:
        histogram.record(value)
    return histogram.snapshot()


@given(latencies, st.sampled_from([*QUANTILES.values(), 1e-9, 1.0]))
def test_quantiles_are_within_two_percent(values: list[int], q: float) -> None:
    exact_ms = sorted(values)[max(1, math.ceil(q * len(values))) - 1] / 1e6

    estimate_ms = recorded(values).quantile_ms(q)

    assert estimate_ms is not None
    assert abs(estimate_ms / exact_ms - 1) <= 0.02


@given(latencies)
def test_quantiles_never_cross_and_stay_inside(values: list[int]) -> None:
    snapshot = recorded(values)

    p50, p80, p90, p99 = (snapshot.quantile_ms(q) or 0 for q in QUANTILES.values())

    assert min(values) / 1e6 <= p50 <= p80 <= p90 <= p99 <= max(values) / 1e6


@given(latencies, latencies)
def test_merged_is_as_if_one_had_seen_all(left: list[int], right: list[int]) -> None:
    assert merge([recorded(left), EMPTY, recorded(right)]) == recorded(left + right)


@given(st.integers(1_000, 10**12))
def test_a_latency_lies_under_its_buckets_edge(value: int) -> None:
    """What the exported buckets rely on; a rounding error of the logarithm is all that is allowed."""
    bucket = recorded([value]).counts.index(1)

    assert value / 1e9 <= edge_s(bucket) * (1 + 1e-12)
    assert bucket == 0 or value / 1e9 >= edge_s(bucket - 1) * (1 - 1e-12)


def test_extremes_are_kept_in_the_outer_buckets() -> None:
    snapshot = recorded([-5, 0, 10**15])

    assert snapshot.counts[0] == 2
    assert snapshot.counts[BUCKETS - 1] == 1
    assert 0 < (snapshot.quantile_ms(0.5) or 0) < 0.0011
    assert 0.96e6 < (snapshot.quantile_ms(1.0) or 0) < 1e6


def test_without_data_there_is_no_quantile() -> None:
    assert EMPTY.quantile_ms(0.5) is None
    assert EMPTY.summary_ms() == {}
    assert merge([]) == EMPTY


def test_the_summary_has_the_reports_keys() -> None:
    assert list(recorded([5_000_000]).summary_ms()) == ["p50", "p80", "p90", "p99"]
    assert recorded([5_000_000]).summary_ms()["p99"] == 5.0
