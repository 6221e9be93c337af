"""The batcher against FIFO and the best of Triton's settings, on arrival traces, in virtual time.

    framegate bench batcher [--report FILE] [--seeds N]

Goodput is tasks per second answered within their deadline. On each trace the same tasks meet the same engine: a
batch's cost times a measured slowness that depends on the time alone (batcher_service.py). Triton's goodput is that of
the best of a grid of settings for the trace, chosen afterwards, over all seeds (batcher_triton.py); the product's
batcher has one setting for all (its defaults, the engine's largest batch). Adds a line to scripts/bench/results/.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.worker.options import BatchOptions
from scripts.bench.batcher_replay import Replayed, replay
from scripts.bench.batcher_service import ACCELERATOR, Costs, Slowness, load, service
from scripts.bench.batcher_trace import SECONDS, Task, Tasks, in_phase, mixed, poisson, recorded, waves
from scripts.bench.batcher_triton import Setting, goodput, goodputs, grid, with_levels
from scripts.bench.record import record


@dataclass(frozen=True)
class Trace:
    """`load` is in the costs' own capacity, at the mean slowness."""

    name: str
    cpu: bool
    load: float
    make: Callable[[random.Random, float], Tasks]


def _recorded(rng: random.Random, per_s: float, speed: float) -> Tasks:
    del per_s
    return recorded(rng, speed)


TRACES = (
    Trace("poisson", False, 0.8, poisson),
    Trace("poisson_overload", False, 1.3, poisson),
    Trace("in_phase", False, 0.8, in_phase),
    Trace("in_phase_overload", False, 1.1, in_phase),
    Trace("bursts", False, 2.0, waves),
    Trace("bursts_mixed_deadlines", False, 2.0, partial(waves, deadline=mixed)),
    Trace("recorded", True, 0.0, partial(_recorded, speed=1.0)),
    Trace("recorded_twice_as_fast", True, 0.0, partial(_recorded, speed=2.0)),
)


@dataclass(frozen=True)
class Run:
    """One trace with one seed."""

    tasks: int
    ours: Replayed
    fifo: int
    triton: dict[Setting, int]


def scene(trace: Trace, seed: int) -> tuple[Tasks, Costs, Slowness]:
    """The tasks of one trace and seed, and what the engine is made of."""
    cpu, slowness = load()
    costs = cpu if trace.cpu else ACCELERATOR
    per_s = trace.load * costs.tasks_per_s() / slowness.mean()
    return trace.make(random.Random(f"{trace.name}{seed}"), per_s), costs, slowness


def run(trace: Trace, seed: int) -> Run:
    """All schedulers on one trace and seed. In a process of its own."""
    tasks, costs, slowness = scene(trace, seed)
    engine = service(costs, slowness, seed)
    ours = replay(tasks, engine, BatchOptions(max_batch=costs.largest))
    triton = goodputs(tasks, grid(costs, _typical_slack_ns(trace)), engine)
    return Run(len(tasks), ours, goodput(tasks, Setting(costs.largest), engine), triton)


def _typical_slack_ns(trace: Trace) -> int:
    """Of the first seed, so that all seeds try the same settings."""
    slacks = sorted(task.deadline_ns - task.at_ns for task in scene(trace, 0)[0])
    return slacks[len(slacks) // 2]


def levels(trace: Trace, seeds: int, best: Setting) -> tuple[int, Setting]:
    """The best goodput of Triton with two priority levels on top of its best setting."""
    scenes = [(scene(trace, seed), seed) for seed in range(seeds)]
    tried = {
        setting: sum(goodput(tasks, setting, service(costs, slow, seed)) for (tasks, costs, slow), seed in scenes)
        for setting in with_levels(best, scenes[0][0][0])
    }
    setting = max(tried, key=lambda key: tried[key])
    return tried[setting], setting


def figures(trace: Trace, runs: list[Run]) -> dict[str, Any]:
    """What the report says of one trace."""
    seconds = _seconds(trace) * len(runs)
    best = max(runs[0].triton, key=lambda setting: sum(one.triton[setting] for one in runs))
    triton = sum(one.triton[best] for one in runs)
    ours = sum(one.ours.in_time for one in runs)
    ran = sum(one.ours.ran for one in runs)
    in_levels, level_setting = levels(trace, len(runs), best)
    return {
        "ours": round(ours / seconds, 2),
        "triton": round(triton / seconds, 2),
        "fifo": round(sum(one.fifo for one in runs) / seconds, 2),
        "late_after_admission": round(sum(one.ours.late for one in runs) / max(1, ran), 6),
        "ratio": round(ours / triton, 4),
        "ratio_by_seed": [round(one.ours.in_time / max(1, one.triton[best]), 4) for one in runs],
        "offered": round(sum(one.tasks for one in runs) / seconds, 2),
        "mean_batch": round(ran / max(1, sum(one.ours.batches for one in runs)), 2),
        "triton_setting": best.as_dict(),
        "triton_with_priority_levels": round(in_levels / seconds, 2),
        "priority_setting": level_setting.as_dict(),
        "settings_tried": len(runs[0].triton),
    }


def _seconds(trace: Trace) -> float:
    tasks: list[Task] = scene(trace, 0)[0]
    return tasks[-1].at_ns / 1e9 if trace.cpu else SECONDS


def bench(seeds: int, traces: tuple[Trace, ...] = TRACES) -> dict[str, Any]:
    """The report."""
    jobs = [(trace, seed) for trace in traces for seed in range(seeds)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        runs = list(pool.map(run, *zip(*jobs, strict=True)))
        by_trace = [runs[number * seeds : (number + 1) * seeds] for number in range(len(traces))]
        reported = dict(zip((trace.name for trace in traces), pool.map(figures, traces, by_trace), strict=True))
    cpu, slowness = load()
    return {
        "traces": reported,
        "seeds": seeds,
        "seconds": SECONDS,
        "slowness": {f"p{100 * share:g}_over_p50": round(slowness.ratio(share), 2) for share in (0.9, 0.99, 0.999)},
        "costs_ms": {"accelerator (assumed)": dict(ACCELERATOR.ms), "cpu (measured)": dict(cpu.ms)},
    }


def run_batcher(arguments: argparse.Namespace) -> int:
    """The command. Returns 0."""
    report = bench(arguments.seeds)
    if arguments.report:
        arguments.report.write_text(json.dumps(report, indent=2) + "\n")
    for name, row in report["traces"].items():
        sys.stderr.write(
            f"{name:24} offered {row['offered']:7.1f}/s  ours {row['ours']:7.1f}  triton {row['triton']:7.1f}  "
            f"fifo {row['fifo']:7.1f}  ratio {row['ratio']:.3f}  late {row['late_after_admission']:.4%}\n"
        )
    record("batcher", len(report["traces"]) * arguments.seeds, report)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, metavar="FILE")
    parser.add_argument("--seeds", type=int, default=3)
    return run_batcher(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
