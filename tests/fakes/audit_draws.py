"""Made-up populations of windows with rare, huddled misses, audited by independent draws: to see what intervals cover.

Misses come in runs (an event that is missed is missed for several windows) and in few cameras (each has its own rate,
beta-distributed), and are likelier where the gate's score was high. The probability of a draw differs by stratum and
wavers with the load.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.gate.audit_tally import CameraEvidence, Tally
from pipelines.values import Outcome

BOOST = np.array([1.0, 2.0, 4.0])
_SCORES = ((0.8, 0.95), (0.4, 0.75))
"""Cumulative shares of the strata: of windows without a miss, and with one."""
_RUN_MOST = 6


@dataclass(frozen=True)
class Population:
    """One fleet for one time. `miss_rate`: of the windows that the gate drops."""

    cameras: int = 64
    windows: int = 900
    """Per camera: an hour."""
    miss_rate: float = 0.004
    alike: float = 10.0
    """How alike the cameras are: a + b of the beta distribution of their miss rates. Small: few make all the misses."""
    run: float = 3.0
    """Mean length of a run of missed windows."""
    found_rate: float = 0.05
    """Windows with a found event, of all."""
    probability: float = 0.008
    """Of a draw in the lowest stratum, before the load's wavering."""
    lost: float = 0.05
    """Share of the drawn windows that never gets an answer."""


@dataclass(frozen=True)
class Draw:
    """One audit of one population."""

    evidence: dict[str, CameraEvidence]
    found: float
    missed: float
    """The truth: event windows missed."""
    missed_by_camera: npt.NDArray[np.float64]


def draw(population: Population, rng: np.random.Generator, gate: Outcome = Outcome.ASLEEP) -> Draw:
    """Make the population, and audit it."""
    misses = _misses(population, rng)
    stratum = _strata(misses, rng)
    load = rng.uniform(0.5, 1.5, (1, population.windows))
    chance = np.minimum(population.probability * BOOST[stratum] * load, 1.0)
    taken = rng.random(chance.shape) < chance
    taken &= rng.random(chance.shape) >= population.lost
    found = rng.poisson(population.found_rate * population.windows, population.cameras).astype(float)
    sums = _sums(misses, chance, taken)
    evidence = {
        f"cam{number:03}": CameraEvidence(found[number], {gate: Tally(float(population.windows), *sums[:, number])})
        for number in range(population.cameras)
    }
    return Draw(evidence, float(found.sum()), float(misses.sum()), misses.sum(axis=1).astype(float))


def _misses(population: Population, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """(cameras, windows)."""
    rate, alike = population.miss_rate / population.run, population.alike
    rates = rng.beta(rate * alike, (1 - rate) * alike, (population.cameras, 1))
    misses = np.zeros((population.cameras, population.windows), bool)
    camera, start = np.nonzero(rng.random(misses.shape) < rates)
    length = np.minimum(rng.geometric(1 / population.run, len(start)), _RUN_MOST)
    for step in range(_RUN_MOST):
        on = (step < length) & (start + step < population.windows)
        misses[camera[on], start[on] + step] = True
    return misses


def _strata(misses: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.int8]:
    chance = rng.random(misses.shape)
    plain, missed = _SCORES
    low, high = np.where(misses, missed[0], plain[0]), np.where(misses, missed[1], plain[1])
    return (chance >= low).astype(np.int8) + (chance >= high)


def _sums(
    misses: npt.NDArray[np.bool_], chance: npt.NDArray[np.float64], taken: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """(7, cameras): windows, positives, weight, missed, square, cross, spread, as Tally has them after `units`."""
    weight = np.where(taken, 1 / chance, 0.0)
    variance = np.where(taken, weight * (weight - 1), 0.0)
    missed = taken & misses
    parts = (taken, missed, weight, weight * misses, variance * misses, variance * misses, variance)
    return np.array([part.sum(axis=1) for part in parts], float)
