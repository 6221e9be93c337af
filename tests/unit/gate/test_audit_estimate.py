"""Intervals cover the truth as often as they say, where misses are rare and huddle."""

from __future__ import annotations

from dataclasses import replace
from math import isclose

import numpy as np
import pytest

from pipelines.gate.audit_camera import CameraCounts, shrink
from pipelines.gate.audit_estimate import EstimateOptions, Recall, estimate, estimate_chain
from pipelines.gate.audit_interval import total_interval
from pipelines.gate.audit_tally import CameraEvidence, Tally
from pipelines.values import Outcome
from tests.fakes.audit_draws import Population, draw

OPTIONS = EstimateOptions()
ASLEEP = Outcome.ASLEEP
HOUR = Population(cameras=24, windows=900, probability=0.02)


def evidence(found: float, missed: float, windows: float = 400.0, weight: float = 100.0) -> CameraEvidence:
    """`missed` audited windows of this weight had a miss."""
    heavy = weight * (weight - 1)
    tally = Tally(
        units=windows * weight,
        windows=windows,
        positives=missed,
        weight=windows * weight,
        missed=missed * weight,
        square=missed * heavy,
        cross=missed * heavy,
        spread=windows * heavy,
    )
    return CameraEvidence(found, {ASLEEP: tally})


@pytest.mark.parametrize(
    ("population", "seed"),
    [
        (HOUR, 1),
        (replace(HOUR, alike=3.0), 2),
        (replace(HOUR, miss_rate=0.02, alike=5.0), 3),
        (replace(HOUR, miss_rate=0.0015, run=1.0, alike=100.0, windows=1800), 4),
    ],
    ids=["rare", "few cameras make the misses", "many misses", "very rare"],
)
def test_the_interval_covers_the_true_miss_rate_as_often_as_it_says(population: Population, seed: int) -> None:
    """Nominal 95 %: 93 to 98 % of 250 runs (scripts/bench/audit.py does more)."""
    rng, covered = np.random.default_rng(seed), 0
    for _ in range(250):
        made = draw(population, rng)
        interval = estimate_chain(made.evidence, OPTIONS).interval
        covered += interval.low <= made.found / (made.found + made.missed) <= interval.high

    assert 0.93 <= covered / 250 <= 0.98


def test_the_estimate_is_unbiased() -> None:
    """Drawn with different probabilities, some lost: the missed total comes out right on average."""
    rng, ratios = np.random.default_rng(7), []
    for _ in range(100):
        made = draw(replace(HOUR, miss_rate=0.02), rng)
        ratios.append(estimate_chain(made.evidence, OPTIONS).missed / made.missed)

    assert np.mean(ratios) == pytest.approx(1.0, abs=3 * float(np.std(ratios)) / 10)


@pytest.mark.parametrize("miss_rate", [0.001, 0.004, 0.02])
def test_the_half_width_is_at_most_a_tenth_after_1500_windows(miss_rate: float) -> None:
    """With a found event in one of twenty windows, whatever the recall."""
    rng, widths, windows = np.random.default_rng(9), [], []
    for _ in range(20):
        chain = estimate_chain(draw(replace(HOUR, probability=0.055, miss_rate=miss_rate), rng).evidence, OPTIONS)
        widths.append(chain.interval.half_width)
        windows.append(chain.windows)

    assert 1400 < np.mean(windows) < 1600
    assert max(widths) <= 0.10


def test_too_few_windows_are_insufficient() -> None:
    assert not chain_of(evidence(1000, 0, windows=299)).sufficient
    assert chain_of(evidence(1000, 0, windows=300)).sufficient


def test_many_windows_without_any_event_are_insufficient() -> None:
    assert not chain_of(evidence(9, 0, windows=5000)).sufficient


def test_many_misses_are_sufficient_with_few_windows() -> None:
    assert not chain_of(evidence(0, 19, windows=40)).sufficient
    assert chain_of(evidence(0, 20, windows=40)).sufficient


def chain_of(record: CameraEvidence) -> Recall:
    return estimate_chain({"cam": record}, OPTIONS)


def test_no_evidence_is_no_answer() -> None:
    nothing = estimate({}, OPTIONS)

    assert not nothing.chain.sufficient
    assert nothing.cameras == {}


def test_no_miss_seen_does_not_mean_no_miss() -> None:
    chain = chain_of(evidence(1000, 0))

    assert chain.value == 1.0
    assert chain.interval.low < 1000 / (1000 + 3 * 100)


def test_known_misses_count_once_and_for_certain() -> None:
    sampled = evidence(100, 1)
    sampled.gates[ASLEEP].known = 50.0

    with_known, without = chain_of(sampled), chain_of(evidence(100, 1))

    assert with_known.missed == without.missed + 50
    assert isclose(with_known.interval.low, 100 / (100 / without.interval.low + 50))


def test_windows_that_were_lost_count_like_the_others() -> None:
    half_lost = evidence(1000, 10)
    half_lost.gates[ASLEEP].units *= 2

    assert chain_of(half_lost).missed == 2 * chain_of(evidence(1000, 10)).missed


def test_gates_are_told_apart_and_the_chain_has_them_all() -> None:
    both = evidence(1000, 2)
    both.gates[Outcome.STILL] = evidence(0, 3).gates[ASLEEP]

    seen = estimate({"cam": both}, OPTIONS)

    assert [seen.gates[gate].missed for gate in (ASLEEP, Outcome.STILL, Outcome.EMPTY)] == [200, 300, 0]
    assert seen.chain.missed == 500


def test_the_lasting_interval_is_wider_where_one_camera_makes_the_misses() -> None:
    alike = estimate({f"cam{i}": evidence(100, 1) for i in range(10)}, OPTIONS).chain
    unlike = estimate({f"cam{i}": evidence(100, 10 * (i == 0)) for i in range(10)}, OPTIONS).chain

    assert unlike.interval == alike.interval
    assert unlike.lasting.half_width > 1.5 * unlike.interval.half_width
    assert alike.lasting.half_width >= alike.interval.half_width


def test_total_interval_of_nothing_reaches_up_to_a_few_typical_weights() -> None:
    interval = total_interval(0.0, 0.0, typical=100.0)

    assert interval.low == 0.0
    assert 300 < interval.high < 400


def test_total_interval_approaches_the_normal_one() -> None:
    interval = total_interval(10_000.0, 10_000.0, typical=1.0)

    assert interval.low == pytest.approx(10_000 - 196, rel=0.001)
    assert interval.high == pytest.approx(10_000 + 196, rel=0.001)


def counts(found: float, seen: int, weight: float = 50.0) -> CameraCounts:
    return CameraCounts(found, {ASLEEP: seen * weight}, seen * weight**2, weight, 40, seen, True)


def test_a_camera_of_few_events_is_shrunk_towards_the_fleet() -> None:
    """One miss, one found: half by itself. The fleet's many say it is chance."""
    fleet = {f"cam{i:02}": counts(1000, 1) for i in range(30)} | {"quiet": counts(50, 1)}

    quiet = shrink(fleet, fleet=0.95)["quiet"]

    assert 0.6 < quiet.value < 0.95
    assert quiet.interval.low < 0.8


def test_a_camera_of_many_misses_stands_out() -> None:
    fleet = {f"cam{i:02}": counts(1000, 0) for i in range(30)} | {"blind": counts(0, 12)}

    blind, other = (shrink(fleet, fleet=0.97)[camera] for camera in ("blind", "cam00"))

    assert blind.interval.high < 0.5
    assert other.interval.low > 0.75


def test_shrinking_is_deterministic() -> None:
    fleet = {f"cam{i:02}": counts(100 * i, i % 3) for i in range(30)}

    assert shrink(fleet, 0.9) == shrink(fleet, 0.9)
