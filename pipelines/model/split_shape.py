"""Explicit shapes: what the model is fed with, and the shape and type of every tensor at that input.

Shapes are seen by running the graph, not inferred: exact where inference gives up. Two runs on different data tell a
shape that depends on the data, at which no part can be cut off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from pipelines.errors import ModelError
from pipelines.model.graph import replace
from pipelines.model.runtime import Runner
from pipelines.model.split_graph import Wiring

Array = npt.NDArray[Any]
_SHAPES = ("Shape", "Size", "Constant")
"""What these give is known beforehand, once the shapes are. (Most Constant nodes are lifted when a model is read.)"""
_MOST_BYTES = 1 << 20
"""A larger result of arithmetic on shapes stays computed: the file would grow by it."""
Feeds = Mapping[str, Array]


def pinned(graph: onnx.GraphProto, wiring: Wiring, shapes: Mapping[str, tuple[int, ...]], batch: int) -> dict[str, Any]:
    """Every input with a shape of numbers: {name: (shape, numpy dtype)}.

    Args:
        shapes: Told by somebody, by input.
        batch: For a first side that is free.

    Raises:
        ModelError: a side is free and not told, contradicts the file, or an input does not exist.
    """
    if unknown := sorted(set(shapes) - set(wiring.inputs)):
        raise ModelError(f"there is no input named {', '.join(unknown)}; there are {', '.join(wiring.inputs)}")
    out = {}
    for info in graph.input:
        if info.name in wiring.inputs:
            sides = [d.dim_value or d.dim_param or "?" for d in info.type.tensor_type.shape.dim]
            shape = _settled(info.name, sides, shapes.get(info.name), batch)
            out[info.name] = shape, helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
    return out


def _settled(name: str, sides: Sequence[int | str], told: tuple[int, ...] | None, batch: int) -> tuple[int, ...]:
    shown = "x".join(map(str, sides))
    if told is not None:
        if len(told) != len(sides) or any(isinstance(s, int) and s != t for s, t in zip(sides, told, strict=False)):
            raise ModelError(f"input {name} is {shown}; {'x'.join(map(str, told))} was asked for")
        return told
    shape = [batch if i == 0 and not isinstance(side, int) else side for i, side in enumerate(sides)]
    if free := [str(side) for side in shape if not isinstance(side, int)]:
        raise ModelError(
            f"input {name} is {shown}: {', '.join(free)} must be a number, as a part's shapes are fixed: "
            f"say it with --shape {name}={shown}, all in numbers"
        )
    if batch > 1 and sides and isinstance(sides[0], int) and sides[0] != batch:
        raise ModelError(f"input {name} is {shown}: its batch is frozen at {sides[0]}, {batch} was asked for")
    return tuple(int(side) for side in shape)


def made_up(pins: Mapping[str, Any], seed: int) -> dict[str, Array]:
    """Values for the inputs: bytes 0..255, floats 0..1, other integers 0 or 1 (they index something)."""
    rng = np.random.default_rng(seed)
    feeds = {}
    for name, (shape, dtype) in pins.items():
        if dtype == np.uint8:
            feeds[name] = rng.integers(0, 256, shape, np.uint8)
        elif np.issubdtype(dtype, np.floating):
            feeds[name] = rng.random(shape).astype(dtype)
        else:
            feeds[name] = rng.integers(0, 2, shape).astype(dtype)
    return feeds


def from_file(path: Path, pins: Mapping[str, Any]) -> dict[str, Array]:
    """Somebody's own values, an .npz with an array per input. Raises ModelError if they do not fit."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            feeds = {name: np.asarray(arrays[name]) for name in pins}
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path} cannot be read as values of {', '.join(pins)}: {error}") from error
    for name, (shape, dtype) in pins.items():
        if (feeds[name].shape, feeds[name].dtype) != (shape, dtype):
            found = f"{feeds[name].dtype} {feeds[name].shape}"
            raise ModelError(f"{path}: {name} is {found}, wanted is {np.dtype(dtype)} {shape}")
    return feeds


def observe_all(model: onnx.ModelProto, wiring: Wiring, what: str, samples: Sequence[Feeds]) -> dict[str, Array]:
    """Every tensor of the graph that comes out of a run, by name: of the first sample.

    Memory: all of them at once. Tensors whose shape changes with the data are left out.

    Raises:
        ModelError: the graph does not run so; names the node.
    """
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wiring.maker)
    runner = Runner(shown.SerializeToString(), what, optimize=False)
    first = runner.run(samples[0])
    fixed = set(first)
    for sample in samples[1:]:
        fixed &= {name for name, value in runner.run(sample).items() if value.shape == first[name].shape}
    return dict(samples[0]) | {name: value for name, value in first.items() if name in fixed}


def settle_shapes(model: onnx.ModelProto, wiring: Wiring, seen: Feeds) -> Wiring:
    """Turn what is computed from shapes alone into constants, in place: shapes are fixed now. Returns the new wiring.

    Without this, nearly every exported transformer reads its input's batch somewhere behind any cut.
    """
    settled: set[str] = set()
    kept = []
    for node, reads in zip(wiring.nodes, wiring.reads, strict=True):
        from_shapes = node.op_type in _SHAPES or (bool(reads) and all(name in settled for name in reads))
        small = all(name in seen and seen[name].nbytes <= _MOST_BYTES for name in node.output if name)
        if from_shapes and small and not set(node.output) & set(wiring.outputs):
            settled.update(node.output)
        else:
            kept.append(node)
    if settled:
        wanted = {name for node in kept for name in node.input} & settled
        model.graph.initializer.extend(numpy_helper.from_array(seen[name], name) for name in sorted(wanted))
        replace(model.graph.node, kept)
    return Wiring(model.graph)


def edge_info(name: str, values: Feeds) -> onnx.ValueInfoProto:
    """Type and shape of one tensor, in numbers. Raises ModelError if its shape depends on the data."""
    if name not in values:
        raise ModelError(f"the shape of {name} depends on the data: a cut there has no fixed size; cut elsewhere")
    value = values[name]
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), list(value.shape))
