"""How honest the audit is, and how soon it notices a blinded gate: simulations of the product's own code.

    python scripts/bench/audit.py [--runs N] [--fleets N]

* `coverage`: populations of windows with rare misses in runs and in few cameras (tests/fakes/audit_draws.py), audited
  by independent draws: how often the nominal 95 % interval of the chain's recall holds the truth, how often it lies
  wholly above or below it, and the same for the cameras' own intervals (those that are sufficient).
* `half_width` of that interval against the number of audited windows.
* `recovery`: fleets behind an audited packet gate (tests/fakes/audit_fleet.py). After two sound hours one camera, or
  all, go blind. Hours until the first step, and until recall over 15 minutes is at the target and stays there for 45.
* `cost`: microseconds of thread time of the calls that pump threads make.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.gate.audit import Audit
from pipelines.gate.audit_control import ControlOptions
from pipelines.gate.audit_estimate import EstimateOptions, estimate, estimate_chain
from pipelines.gate.audit_window import AuditOptions
from pipelines.gate.budget import DecodeBudget
from pipelines.gate.budget_terms import BudgetOptions
from pipelines.values import Outcome, Priority
from scripts.bench.record import percentiles, record
from tests.fakes.audit_draws import Draw, Population, draw
from tests.fakes.audit_fleet import Fleet

S = 1_000_000_000
OPTIONS = EstimateOptions()
HOUR = Population()
POPULATIONS = {
    "an hour of 64 cameras": HOUR,
    "four hours": replace(HOUR, windows=3600),
    "few cameras make the misses": replace(HOUR, windows=3600, alike=3.0),
    "many misses": replace(HOUR, miss_rate=0.02, alike=5.0),
    "very rare misses": replace(HOUR, miss_rate=0.001, windows=3600),
    "short and alike": replace(HOUR, run=1.0, alike=1000.0),
    "8 cameras": replace(HOUR, cameras=8, probability=0.1),
}
SLICE_H = 0.25
STAYS = 3


def covers(low: float, high: float, truth: float) -> tuple[bool, bool, bool]:
    """(covered, interval wholly above, interval wholly below)."""
    return low <= truth <= high, truth < low, truth > high


def of_cameras(made: Draw) -> list[bool]:
    """Of the cameras with an answer of their own: is the truth in the interval? 1.0 counts as 0.995."""
    answers = estimate(made.evidence, OPTIONS).cameras.values()
    found = [one.found for one in made.evidence.values()]
    truths = [f / (f + m) if f + m else 1.0 for f, m in zip(found, made.missed_by_camera.tolist(), strict=True)]
    pairs = zip(answers, truths, strict=True)
    return [a.interval.low <= min(t, 0.995) <= a.interval.high for a, t in pairs if a.sufficient]


def coverage(name: str, population: Population, runs: int) -> None:
    rng = np.random.default_rng(11)
    chain, lasting, cameras, windows, seen, truths = [], [], list[bool](), [], [], []
    for run in range(runs):
        made = draw(population, rng)
        answer = estimate_chain(made.evidence, OPTIONS)
        truths.append(made.found / (made.found + made.missed))
        chain.append(covers(answer.interval.low, answer.interval.high, truths[-1]))
        lasting.append((answer.lasting.low, answer.lasting.high))
        windows.append(answer.windows)
        seen.append(answer.seen)
        if run % 10 == 0:
            cameras += of_cameras(made)
    usual = float(np.mean(truths))
    figures: dict[str, object] = {
        "what": "coverage",
        "population": name,
        "recall_mean": round(usual, 3),
        "windows_mean": round(float(np.mean(windows))),
        "misses_seen_mean": round(float(np.mean(seen)), 1),
        "covered": round(float(np.mean([one[0] for one in chain])), 3),
        "above": round(float(np.mean([one[1] for one in chain])), 3),
        "below": round(float(np.mean([one[2] for one in chain])), 3),
        "lasting_covered": round(float(np.mean([low <= usual <= high for low, high in lasting])), 3),
        "cameras_covered": round(float(np.mean(cameras)), 3) if cameras else None,
        "cameras_sufficient": len(cameras),
    }
    record("audit", runs, figures)


def half_width(probability: float, miss_rate: float, runs: int) -> None:
    rng = np.random.default_rng(12)
    answers = [
        estimate_chain(draw(replace(HOUR, probability=probability, miss_rate=miss_rate), rng).evidence, OPTIONS)
        for _ in range(runs)
    ]
    figures: dict[str, object] = {
        "what": "half_width",
        "miss_rate_of_windows": miss_rate,
        "recall_mean": round(float(np.mean([one.value for one in answers])), 3),
        "windows_mean": round(float(np.mean([one.windows for one in answers]))),
        "half_width": percentiles([one.interval.half_width for one in answers], 3),
        "half_width_max": round(max(one.interval.half_width for one in answers), 3),
    }
    record("audit", runs, figures)


def recovery(cameras: int, blind: int, fleets: int) -> None:
    noticed, recovered, spent = [], [], []
    for seed in range(fleets):
        fleet = Fleet(cameras, seed=seed)
        fleet.run(2.0)
        fleet.steps.clear()
        for name in fleet.names[:blind]:
            fleet.gains[name] = 0.01
        recovered.append(_until_recovered(fleet, fleet.names[:blind]))
        noticed.append(
            min((hours for hours, step in fleet.steps if step.camera in fleet.names[:blind]), default=99) - 2.0
        )
        spent.append(fleet.spent_s / (fleet.hours * 3600 * fleet.cores))
    figures: dict[str, object] = {
        "what": "recovery",
        "cameras": cameras,
        "blind": blind,
        "noticed_h": percentiles(noticed, 2),
        "recovered_h": percentiles(recovered, 2),
        "recovered_h_max": round(max(recovered), 2),
        "share_spent_max": round(max(spent), 4),
    }
    record("audit", fleets, figures)


def _until_recovered(fleet: Fleet, blind: Sequence[str], most_h: float = 3.5) -> float:
    """Hours from now to the first of `STAYS` slices in a row with recall at the target."""
    begun, good = fleet.hours, 0
    while fleet.hours - begun < most_h:
        fleet.clear()
        fleet.run(SLICE_H)
        found = sum(fleet.found[name] for name in blind)
        events = found + sum(fleet.missed[name] for name in blind)
        good = good + 1 if found >= fleet.control.target_recall * events else 0
        if good == STAYS:
            return fleet.hours - begun - STAYS * SLICE_H
    return most_h


def cost(calls: int) -> None:
    audit = Audit(AuditOptions(), OPTIONS, ControlOptions(), 2.0)
    budget = DecodeBudget(BudgetOptions(cores=100.0))
    names = [f"cam{number:02}" for number in range(64)]

    def offer(number: int) -> None:
        audit.offer(names[number % 64], Outcome.ASLEEP, 0.1, number * S // 32, 1.0)

    def want(number: int) -> None:
        budget.want(names[number % 64], 1.0, Priority.NORMAL, number * S // 1600)

    def tick(number: int) -> None:
        audit.tick((calls + number) * S // 32)

    figures = {
        "offer_us": _each_us(offer, calls),
        "want_us": _each_us(want, calls),
        "tick_ms": round(_each_us(tick, 50) / 1e3, 2),
    }
    record("audit", calls, {"what": "cost", **figures})


def _each_us(call: Callable[[int], None], calls: int) -> float:
    begun = time.thread_time_ns()
    for number in range(calls):
        call(number)
    return round((time.thread_time_ns() - begun) / calls / 1e3, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400, help="simulated audits per population")
    parser.add_argument("--fleets", type=int, default=8, help="simulated fleets per fault")
    args = parser.parse_args()
    for name, population in POPULATIONS.items():
        coverage(name, population, args.runs)
    for miss_rate in (0.001, 0.004, 0.02):
        for probability in (0.005, 0.01, 0.02, 0.04):
            half_width(probability, miss_rate, min(args.runs, 100))
    for cameras, blind in ((64, 64), (64, 1), (8, 1)):
        recovery(cameras, blind, args.fleets)
    cost(100_000)


if __name__ == "__main__":
    main()
