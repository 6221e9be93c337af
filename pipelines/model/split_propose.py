"""Where a cut would pay most: every pair of places in the graph's own order, by the bytes and time of each.

A place is between two nodes. For main = nodes i..j, what goes up is what was made before i and is read in i..j; what
comes down is what was made in i..j and is read after j, or is an output. Node times come from onnxruntime's profile of
the graph as it stands, scaled to the whole's measured time: an estimate, good enough to choose; the chosen cut is then
measured itself.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from pipelines.model.split_cost import CostOptions
from pipelines.model.split_graph import Wiring
from pipelines.model.split_shape import Array, Feeds

MOST_TENSORS = 4
"""A cut through more tensors than this is not proposed."""
_UNFIT = 1e15
"""Bytes of a tensor whose shape depends on the data: never chosen. Finite, as it is added and taken away again."""
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Proposal:
    """The best pair of places, and what it is expected to take."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    expected_ns: int


def node_times_ns(model: onnx.ModelProto, feeds: Feeds, whole_ns: int) -> F64:
    """(nodes,) of each node, summing up to the whole. Runs the graph unoptimised, with onnxruntime's profiler."""
    named = onnx.ModelProto()
    named.CopyFrom(model)
    for index, node in enumerate(named.graph.node):
        node.name = f"n{index}"
    with tempfile.TemporaryDirectory(prefix="framegate-") as scratch:
        options = onnxruntime.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(scratch) / "profile")
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(named.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for _ in range(3):
            session.run(None, dict(feeds))
        events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text())
    times = np.zeros(len(named.graph.node))
    for event in events:
        name = str(event.get("name", ""))
        if name.endswith("_kernel_time") and (text := name.removesuffix("_kernel_time")[1:]).isdecimal():
            times[int(text)] += event["dur"]
    total = times.sum()
    return times / total * whole_ns if total else np.full(len(times), whole_ns / max(len(times), 1))


def propose(wiring: Wiring, values: Mapping[str, Array], times_ns: F64, options: CostOptions) -> Proposal | None:
    """The pair of places at which a chain is expected to answer soonest, whether or not sooner than the whole.

    None: every cut that leaves main its share goes through more than MOST_TENSORS, or there are fewer than two nodes.
    """
    best: tuple[float, int, int] | None = None
    count = len(wiring.nodes)
    born, reads, ends = _lives(wiring)
    sizes = np.array([float(values[name].nbytes) if name in values else _UNFIT for name in wiring.tensors])
    before_ns = np.concatenate([[0.0], np.cumsum(times_ns)])
    for i in range(count):
        up, up_tensors = _up(i, count, born, reads, sizes)
        down, down_tensors = _down(i, count, born, ends, sizes)
        main_ns = before_ns - before_ns[i]
        total_ns = (before_ns[-1] - main_ns) + main_ns / options.worker_speedup + (up + down) * 8 / options.link_gbit_s
        total_ns[: i + 1] = np.inf
        if i == 0:
            total_ns[count] = np.inf  # that is the whole
        total_ns[main_ns < options.least_main * before_ns[-1]] = np.inf
        total_ns[(up_tensors > MOST_TENSORS) | (down_tensors > MOST_TENSORS)] = np.inf
        j = int(np.argmin(total_ns))
        if np.isfinite(total_ns[j]) and (best is None or total_ns[j] < best[0]):
            best = float(total_ns[j]), i, j
    return None if best is None else _named(wiring, best[1], best[2], int(best[0]))


def _named(wiring: Wiring, i: int, j: int, expected_ns: int) -> Proposal:
    inside = set(range(i, j))
    made = {name for k in inside for name in wiring.nodes[k].output}
    read = {name for k in inside for name in wiring.reads[k]}
    after = {name for k in range(j, len(wiring.nodes)) for name in wiring.reads[k]}
    first = tuple(name for name in wiring.tensors if name in read - made) if i else ()
    second = tuple(name for name in wiring.tensors if name in made & after) if j < len(wiring.nodes) else ()
    return Proposal(first, second, expected_ns)


def _lives(wiring: Wiring) -> tuple[npt.NDArray[np.int64], list[list[int]], npt.NDArray[np.int64]]:
    """Per tensor: the place after the node that makes it (0 for inputs), the nodes that read it, the last place where
    it is wanted (an output: the end)."""
    count = len(wiring.nodes)
    readers: dict[str, list[int]] = {name: [] for name in wiring.tensors}
    for k, names in enumerate(wiring.reads):
        for name in names:
            readers[name].append(k)
    born = np.array([wiring.maker.get(name, -1) + 1 for name in wiring.tensors])
    outputs = set(wiring.outputs)
    ends = np.array([count + 1 if n in outputs else max(readers[n], default=-1) + 1 for n in wiring.tensors])
    return born, [readers[name] for name in wiring.tensors], ends


def _up(i: int, count: int, born: npt.NDArray[np.int64], reads: list[list[int]], sizes: F64) -> tuple[F64, F64]:
    """(bytes, tensors) made before place i and read in i..j, for each place j."""
    total, tensors = np.zeros(count + 2), np.zeros(count + 2)
    for t in np.flatnonzero(born <= i):
        later = [k for k in reads[t] if k >= i]
        if later:
            total[later[0] + 1] += sizes[t]
            tensors[later[0] + 1] += 1
    return np.cumsum(total)[: count + 1], np.cumsum(tensors)[: count + 1]


def _down(i: int, count: int, born: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], sizes: F64) -> tuple[F64, F64]:
    """(bytes, tensors) made in i..j and wanted after place j, for each place j."""
    total, tensors = np.zeros(count + 2), np.zeros(count + 2)
    for t in np.flatnonzero((born > i) & (ends > born)):
        total[born[t]] += sizes[t]
        tensors[born[t]] += 1
        if ends[t] <= count:
            total[ends[t]] -= sizes[t]
            tensors[ends[t]] -= 1
    return np.cumsum(total)[: count + 1], np.cumsum(tensors)[: count + 1]
