"""Split a model in three: pre on the DPU, main on the worker, post on the DPU; checked, measured, refused if in vain.

What goes wrong when people cut models, and what becomes of it here:

| pitfall | here |
|---|---|
| a free side of an input | refused until it is told; every part has shapes of numbers, seen by running |
| a shape that depends on the data (NonZero, NMS) | told by two runs; no cut there |
| arithmetic on shapes (Shape, Gather, Concat) that goes around a cut | becomes constants: shapes are fixed |
| a batch frozen inside | the run fails at the batch asked for; the message names the node |
| normalisation twice, or never | reported: which part has it, or that the graph has none |
| a wrong name | refused, with the nearest names |
| a tensor that goes around the cut | refused, and named |
| parts that are not the whole | run on several inputs: the largest difference is stated, and bounded |
| a cut in vain | refused, with bytes and times of both ways |
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from pydantic import BaseModel, Field

from pipelines.card import METADATA_KEY, from_json
from pipelines.errors import ModelError
from pipelines.model.atomic import write_atomically
from pipelines.model.graph import load, metadata
from pipelines.model.runtime import Runner
from pipelines.model.split_chain import MANIFEST, PARTS, Chain
from pipelines.model.split_cost import CostOptions, Verdict, cost, fair_shares
from pipelines.model.split_graph import PartPlan, Plan, Wiring, extract, plan
from pipelines.model.split_norm import normalisation
from pipelines.model.split_propose import MOST_TENSORS, node_times_ns, propose
from pipelines.model.split_shape import Feeds, edge_info, from_file, made_up, observe_all, pinned, settle_shapes

_SEEDS = (0, 1, 2)
_FEW_RUNS = 5
"""To choose a cut by; what is chosen is measured properly."""


class SplitOptions(BaseModel, frozen=True, extra="forbid"):
    """How to split. No cut named: the best one is looked for."""

    first: tuple[str, ...] = Field((), description="Tensors or nodes between pre and main; empty: no pre.")
    second: tuple[str, ...] = Field((), description="Tensors or nodes between main and post; empty: no post.")
    shapes: dict[str, tuple[int, ...]] = Field({}, description="Shape of each input with free sides.")
    batch: int = Field(1, ge=1, le=64, description="First side of inputs, where it is free.")
    cost: CostOptions = Field(CostOptions(), description="Link and worker.")
    runs: int = Field(20, ge=3, le=1000, description="Runs that a time is the fastest of.")
    tolerance: float = Field(
        1e-4, gt=0, description="Largest difference of chain and whole, as a share of the output's largest value."
    )
    force: bool = Field(False, description="Write the parts even if the cut does not pay.")


@dataclass(frozen=True, slots=True)
class Edge:
    """One tensor that crosses."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What was cut, how near the chain is to the whole, and what it costs."""

    parts: Mapping[str, int]
    """Part -> nodes."""
    up: tuple[Edge, ...]
    down: tuple[Edge, ...]
    kept: tuple[str, ...]
    """What post has from pre, on the DPU."""
    difference: float
    """Largest absolute difference between chain and whole."""
    times_ns: Mapping[str, int]
    """Fastest on this machine, one thread: whole, pre, main, post."""
    verdict: Verdict
    normalisation: str
    proposed: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """A model that is being split: as a graph, as a session, and as what came out of it."""

    source: Path
    model: onnx.ModelProto
    wiring: Wiring
    samples: Sequence[Feeds]
    seen: Feeds
    """Every tensor at the first sample."""
    whole: Runner
    options: SplitOptions


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    plan: PartPlan
    model: onnx.ModelProto
    runner: Runner


def split(source: Path, target: Path | None, options: SplitOptions, values: Path | None = None) -> SplitReport:
    """Split a model and write the parts. Takes seconds; blocks.

    Args:
        target: Folder for pre.onnx, main.onnx, post.onnx and split.json; None: only report.
        values: .npz with an input's values each, in place of made-up ones.

    Raises:
        ModelError: see the table above; `target` is not touched then.
    """
    work = _open(source, options, values)
    proposed = not (options.first or options.second)
    cut = _propose(work) if proposed else plan(work.wiring, options.first, options.second)
    parts = _extract(work, cut)
    chain = Chain([(part.runner, part.plan.inputs) for part in parts.values()], work.wiring.outputs)
    report = _report(work, cut, parts, _check(work, chain), proposed)
    if not report.verdict.pays and not options.force:
        best = "the best cut found, " if proposed else "the cut "
        raise ModelError(f"{source}: {best}at {_where(report)}, does not pay: {_said(report, options.cost)}")
    if target is not None:
        _write(target, work, parts, report)
    return report


def _open(source: Path, options: SplitOptions, values: Path | None) -> _Work:
    model = load(source)
    wiring = Wiring(model.graph)
    pins = pinned(model.graph, wiring, options.shapes, options.batch)
    samples = [made_up(pins, seed) for seed in _SEEDS] if values is None else [from_file(values, pins)]
    shown = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, (shape, _) in pins.items())
    seen = observe_all(model, wiring, f"{source} at {shown}", samples)
    wiring = settle_shapes(model, wiring, seen)
    whole = Runner(model.SerializeToString(), str(source))
    return _Work(source, model, wiring, samples, seen, whole, options)


def _propose(work: _Work) -> Plan:
    whole_ns = _fastest_ns({"whole": (work.whole, work.samples[0])}, _FEW_RUNS)["whole"]
    times_ns = node_times_ns(work.model, work.samples[0], whole_ns)
    found = propose(work.wiring, work.seen, times_ns, work.options.cost)
    if found is None:
        share = work.options.cost.least_main
        raise ModelError(
            f"{work.source}: every cut that leaves main {share:.0%} of the work goes through more than {MOST_TENSORS} "
            "tensors: name one yourself"
        )
    return plan(work.wiring, found.first, found.second)


def _extract(work: _Work, cut: Plan) -> dict[str, _Part]:
    parts = {}
    for name in PARTS:
        edges: PartPlan = getattr(cut, name)
        if edges.nodes:
            infos = {edge: edge_info(edge, work.seen) for edge in (*edges.inputs, *edges.outputs)}
            model = extract(work.model, edges, infos)
            parts[name] = _Part(edges, model, Runner(model.SerializeToString(), f"{work.source}, {name}"))
    return parts


def _check(work: _Work, chain: Chain) -> float:
    """The largest absolute difference between chain and whole. Raises ModelError if it is too large."""
    worst = 0.0
    for sample in work.samples:
        expected, found = work.whole.run(sample), chain.run(sample)
        for name, value in expected.items():
            gap = np.abs(found[name].astype(np.float64) - value.astype(np.float64)).max(initial=0.0)
            allowed = work.options.tolerance * max(1.0, float(np.abs(value.astype(np.float64)).max(initial=0.0)))
            if not gap <= allowed:  # NaN is not
                raise ModelError(
                    f"{work.source}: output {name} of the chain differs by {gap:.3g}, allowed {allowed:.3g}"
                )
            worst = max(worst, float(gap))
    return worst


def _report(work: _Work, cut: Plan, parts: Mapping[str, _Part], difference: float, proposed: bool) -> SplitReport:
    timed = {name: (part.runner, {edge: work.seen[edge] for edge in part.plan.inputs}) for name, part in parts.items()}
    times_ns = _fastest_ns({"whole": (work.whole, work.samples[0])} | timed, work.options.runs)
    up, down = cut.main.inputs, cut.main.outputs
    whole_up, whole_down = _bytes(work, work.wiring.inputs), _bytes(work, work.wiring.outputs)
    shares = fair_shares(times_ns)
    on_dpu_ns = shares.get("pre", 0) + shares.get("post", 0)
    verdict = Verdict(
        cost(work.options.cost, 0, times_ns["whole"], whole_up, whole_down),
        cost(work.options.cost, on_dpu_ns, shares["main"], _bytes(work, up), _bytes(work, down)),
        work.options.cost.least_gain,
    )
    return SplitReport(
        parts={name: len(part.plan.nodes) for name, part in parts.items()},
        up=tuple(_edge(work, name) for name in up),
        down=tuple(_edge(work, name) for name in down),
        kept=cut.kept,
        difference=difference,
        times_ns=times_ns,
        verdict=verdict,
        normalisation=normalisation(work.wiring, cut),
        proposed=proposed,
    )


def _bytes(work: _Work, names: Sequence[str]) -> int:
    return sum(int(work.seen[name].nbytes) for name in names if name in work.seen)


def _edge(work: _Work, name: str) -> Edge:
    value = work.seen[name]
    return Edge(name, str(value.dtype), value.shape, int(value.nbytes))


def _where(report: SplitReport) -> str:
    sides = [", ".join(e.name for e in edges) for edges in (report.up, report.down)]
    return f"{sides[0]} (up) and {sides[1]} (down)"


def _said(report: SplitReport, options: CostOptions) -> str:
    return f"{report.verdict} at {options.link_gbit_s:g} Gbit/s and a worker {options.worker_speedup:g} times as fast"


def _fastest_ns(timed: Mapping[str, tuple[Runner, Feeds]], runs: int) -> dict[str, int]:
    """The fastest run of each, taken in turn: what slows the machine for a while is not the model's."""
    times: dict[str, list[int]] = {name: [] for name in timed}
    for run in range(runs + 1):
        for name, (runner, feeds) in timed.items():
            began_ns = time.perf_counter_ns()
            runner.run(feeds)
            if run:  # the first one allocates
                times[name].append(time.perf_counter_ns() - began_ns)
    return {name: min(taken) for name, taken in times.items()}


def _write(target: Path, work: _Work, parts: Mapping[str, _Part], report: SplitReport) -> None:
    manifest: dict[str, Any] = {
        "source": {"file": work.source.name, "sha256": hashlib.sha256(work.source.read_bytes()).hexdigest()},
        "parts": {name: _described(part) for name, part in parts.items()},
        "edges": {name: asdict(_edge(work, name)) for part in parts.values() for name in _edges(part)},
        "outputs": work.wiring.outputs,
        "card": _card(work),
        "report": asdict(report),
    }
    for name, part in parts.items():
        write_atomically(target / f"{name}.onnx", part.model.SerializeToString())
    for name in set(PARTS) - set(parts):  # of an earlier cut
        (target / f"{name}.onnx").unlink(missing_ok=True)
    write_atomically(target / MANIFEST, json.dumps(manifest, indent=2).encode())


def _described(part: _Part) -> dict[str, Any]:
    sha256 = hashlib.sha256(part.model.SerializeToString()).hexdigest()
    return {"inputs": part.plan.inputs, "outputs": part.plan.outputs, "sha256": sha256}


def _card(work: _Work) -> dict[str, Any] | None:
    """Of a folded model: what the pipe must know to run its parts. None for any other."""
    text = metadata(work.model).get(METADATA_KEY)
    return None if text is None else asdict(from_json(text))


def _edges(part: _Part) -> tuple[str, ...]:
    return (*part.plan.inputs, *part.plan.outputs)
