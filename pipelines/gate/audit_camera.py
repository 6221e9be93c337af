"""One camera knows little about itself: its recall, shrunk towards the fleet's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import lgamma

import numpy as np
import numpy.typing as npt

from pipelines.gate.audit_interval import Interval
from pipelines.values import Outcome

F64 = npt.NDArray[np.float64]

_STRENGTHS = np.geomspace(0.5, 16.0, 6)
"""What the fleet may count for beside a camera's own events."""
_LEAST_EXPOSURE = 0.05
"""Of a camera that found nothing: so that its misses are unlikely, not impossible."""
_SAMPLES = 1000
"""Of the posterior; its 2.5 % points then waver by about a tenth of the interval's width."""
_EDGE = 0.01
"""The fleet's recall is taken to be at least this far from 0 and 1."""


@dataclass(frozen=True, slots=True)
class CameraCounts:
    """One camera's sums, in event windows."""

    found: float
    missed: Mapping[Outcome, float]
    """Estimated, by gate."""
    variance: float
    """Of the sum of `missed`."""
    typical: float
    """What one miss would weigh."""
    windows: int
    seen: int
    """Misses seen: audited windows with one, and known ones."""
    sufficient: bool


@dataclass(frozen=True, slots=True)
class CameraRecall:
    """A camera's recall, its own evidence and the fleet's together."""

    value: float
    interval: Interval
    missed: Mapping[Outcome, float]
    """Its own estimate by gate, event windows: where to turn."""
    windows: int
    seen: int
    sufficient: bool
    """Its own evidence is enough for an answer of its own."""


def shrink(counts: Mapping[str, CameraCounts], fleet: float) -> dict[str, CameraRecall]:
    """Beta-binomial empirical Bayes (J. Kleinman, JASA 1973; B. Efron and C. Morris, JASA 1975).

    A camera's found windows are first thinned to the sampling fraction of its audit, so that one found and one
    audited miss weigh the same: m misses and f found of that fraction are a binomial sample of m + f. Its recall is
    Beta(k r + f, k (1 - r) + m), with the fleet's recall r. How alike the cameras are, k, is little known where misses
    are rare, so every k counts by its likelihood. Sampled with a fixed seed: the same evidence, the same answer.
    """
    if not counts:
        return {}
    found, missed = (np.array(row) for row in zip(*(_thinned(camera) for camera in counts.values()), strict=True))
    prior = min(max(fleet, _EDGE), 1 - _EDGE)
    rng = np.random.default_rng(0)
    strength = rng.choice(_STRENGTHS, (_SAMPLES, 1), p=_likelihood(found, missed, prior))
    samples = rng.beta(strength * prior + found, strength * (1 - prior) + missed)
    values = samples.mean(axis=0)
    low, high = np.quantile(samples, (0.025, 0.975), axis=0)
    return {
        camera: CameraRecall(
            value=float(values[i]),
            interval=Interval(float(low[i]), float(high[i])),
            missed=dict(own.missed),
            windows=own.windows,
            seen=own.seen,
            sufficient=own.sufficient,
        )
        for i, (camera, own) in enumerate(counts.items())
    }


def _thinned(own: CameraCounts) -> tuple[float, float]:
    """(found, missed) as counts of the audit's fraction."""
    total = sum(own.missed.values())
    weight = max(own.variance / total if total else own.typical, 1.0)
    return own.found / weight, total / weight


def _likelihood(found: F64, missed: F64, prior: float) -> F64:
    """Of each strength, normalised: how well it explains that the cameras' misses differ as they do.

    What is found is known, so only the misses are chance: Poisson about the camera's own odds, gamma-distributed
    between cameras (the negative binomial limit of the beta-binomial).
    """
    exposure = np.maximum(found, _LEAST_EXPOSURE)
    logs = []
    for strength in _STRENGTHS:
        a, b = strength * (1 - prior), strength * prior
        gammas = sum(lgamma(a + m) for m in missed.tolist()) - len(missed) * lgamma(a)
        powers = a * np.log(b / (b + exposure)) + missed * np.log(exposure / (b + exposure))
        logs.append(gammas + float(powers.sum()))
    likelihood = np.exp(np.array(logs) - max(logs))
    weights: F64 = likelihood / likelihood.sum()
    return weights
