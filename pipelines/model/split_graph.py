"""Cutting a graph in three at named tensors: what belongs to which part, and what crosses. Pure.

    inputs -> [pre] -- first cut --> [main] -- second cut --> [post] -> outputs
               DPU                   worker                    DPU

`pre` and `post` run on the same machine: what `post` needs of `pre` stays there (`kept`) and crosses nothing. Either
may be empty. What goes around a cut is an error that names it: a chain that silently lacks a tensor is the usual
mistake.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import helper

from pipelines.errors import ModelError
from pipelines.model.graph import replace


@dataclass(frozen=True, slots=True)
class PartPlan:
    """One part: its nodes by index in the whole graph, and the tensors at its edges, in the graph's order."""

    nodes: tuple[int, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Three parts; `pre` and `post` may have no nodes."""

    pre: PartPlan
    main: PartPlan
    post: PartPlan
    kept: tuple[str, ...]
    """What `post` takes from `pre` or from the graph's inputs, on the same machine."""


class Wiring:
    """Who makes a tensor and who reads it. Constants belong to whoever reads them and are left out."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes: Sequence[onnx.NodeProto] = list(graph.node)
        constants = {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
        self.inputs = tuple(i.name for i in graph.input if i.name not in constants)
        self.outputs = tuple(o.name for o in graph.output)
        self.maker = {name: i for i, node in enumerate(self.nodes) for name in node.output if name}
        self.tensors = (*self.inputs, *self.maker)
        known = set(self.tensors)
        self.reads = [tuple(dict.fromkeys(n for n in _read_by(node) if n in known)) for node in self.nodes]

    def ancestors(self, tensors: Iterable[str]) -> set[int]:
        """Nodes that the tensors are made by, directly or not."""
        found: set[int] = set()
        waiting = [self.maker[name] for name in tensors if name in self.maker]
        while waiting:
            index = waiting.pop()
            if index not in found:
                found.add(index)
                waiting += [self.maker[name] for name in self.reads[index] if name in self.maker]
        return found

    def find(self, name: str) -> str:
        """A tensor by its own name, or by the node that makes it.

        Raises:
            ModelError: there is none; names the nearest, or it is a constant or a node with several outputs.
        """
        if name in self.tensors:
            return name
        made = [list(node.output) for node in self.nodes if node.name == name and name]
        if len(made) == 1 and len(made[0]) == 1:
            return str(made[0][0])
        if made:
            raise ModelError(f"node {name} makes {', '.join(made[0])}: name the tensor to cut at")
        names = dict.fromkeys([*self.tensors, *(node.name for node in self.nodes if node.name)])
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"; near it are {', '.join(near)}" if near else ""
        raise ModelError(f"there is no tensor or node named {name!r} (a constant cannot be cut at){hint}")


def plan(wiring: Wiring, first: Sequence[str], second: Sequence[str]) -> Plan:
    """Part the graph.

    Args:
        first: Tensors or nodes between pre and main; empty: no pre.
        second: Between main and post; empty: no post.

    Raises:
        ModelError: no such name, a part without nodes, or tensors that go around a cut; they are named.
    """
    first = [wiring.find(name) for name in first]
    second = [wiring.find(name) for name in second]
    pre = wiring.ancestors(first)
    main = (wiring.ancestors(second) if second else set(range(len(wiring.nodes)))) - pre
    if not main:
        raise ModelError(f"nothing is left between {', '.join(first)} and {', '.join(second)}: main would be empty")
    post = set(range(len(wiring.nodes))) - pre - main
    into_main = _external(wiring, main)
    if first and (around := [name for name in into_main if name not in first]):
        raise ModelError(
            f"{', '.join(around)} goes around the cut at {', '.join(first)} into main: name it too, or cut elsewhere"
        )
    into_post = _external(wiring, post)
    made_by_main = _made(wiring, main)
    if around := [name for name in into_post if name in made_by_main and name not in second]:
        raise ModelError(
            f"{', '.join(around)} goes around the cut at {', '.join(second)} into post: name it too, or cut elsewhere"
        )
    kept = tuple(name for name in into_post if name not in made_by_main)
    back = [name for name in (*into_post, *wiring.outputs) if name in made_by_main]
    made_by_pre = _made(wiring, pre)
    ahead = [name for name in (*into_main, *kept, *wiring.outputs) if name in made_by_pre]
    return Plan(
        PartPlan(tuple(sorted(pre)), _external(wiring, pre), tuple(dict.fromkeys(ahead))),
        PartPlan(tuple(sorted(main)), into_main, tuple(dict.fromkeys(back))),
        PartPlan(tuple(sorted(post)), into_post, tuple(n for n in wiring.outputs if n in _made(wiring, post))),
        kept,
    )


def extract(model: onnx.ModelProto, part: PartPlan, infos: Mapping[str, onnx.ValueInfoProto]) -> onnx.ModelProto:
    """One part as a model of its own, with explicit shapes at its edges. No card: it takes tensors, not pictures."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    nodes = [model.graph.node[i] for i in part.nodes]
    read = {name for node in nodes for name in _read_by(node)}
    replace(graph.node, nodes)
    replace(graph.initializer, [t for t in model.graph.initializer if t.name in read])
    replace(graph.sparse_initializer, [t for t in model.graph.sparse_initializer if t.values.name in read])
    replace(graph.input, [infos[name] for name in part.inputs])
    replace(graph.output, [infos[name] for name in part.outputs])
    del graph.value_info[:]
    del out.metadata_props[:]
    helper.set_model_props(out, {"framegate.part": model.graph.name})
    return out


def _external(wiring: Wiring, nodes: Collection[int]) -> tuple[str, ...]:
    """What a set of nodes reads and does not make itself."""
    made = _made(wiring, nodes)
    read = {name for i in nodes for name in wiring.reads[i] if name not in made}
    return tuple(name for name in wiring.tensors if name in read)


def _made(wiring: Wiring, nodes: Collection[int]) -> set[str]:
    return {name for i in nodes for name in wiring.nodes[i].output if name}


def _read_by(node: onnx.NodeProto) -> Iterator[str]:
    """Inputs of a node, and of the nodes in its subgraphs (which may read what stands outside)."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _read_by(inner)
