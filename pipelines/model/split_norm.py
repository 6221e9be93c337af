"""Which part of a split model normalises its input: done twice or never, nobody gets an error, only bad answers."""

from __future__ import annotations

from pipelines.model.split_graph import Plan, Wiring

_SCALES = frozenset({"Sub", "Add", "Mul", "Div", "BatchNormalization"})
_PASSES = frozenset({"Cast", "Transpose", "Reshape", "Unsqueeze", "Squeeze", "Identity", "Slice", "Resize", "Clip"})


def normalisation(wiring: Wiring, cut: Plan) -> str:
    """A sentence about the arithmetic between each input and the first node that does something else."""
    scaling = [i for name in wiring.inputs for i in _scaling(wiring, name)]
    if not scaling:
        return "the graph does not normalise its input: whoever feeds the chain does, once, as for the whole"
    parts = {name: getattr(cut, name).nodes for name in ("pre", "main", "post")}
    where = [name for name, nodes in parts.items() if any(i in nodes for i in scaling)]
    ops = ", ".join(dict.fromkeys(wiring.nodes[i].op_type for i in scaling))
    if len(where) > 1:
        return f"the cut goes through the input's arithmetic ({ops}): {' and '.join(where)} each do a share of it"
    return f"the input's arithmetic ({ops}) is in {where[0]}: the others take what it gives"


def _scaling(wiring: Wiring, name: str) -> list[int]:
    """Nodes that scale or shift the input, followed while each value has one way to go."""
    found: list[int] = []
    while True:
        readers = [i for i, names in enumerate(wiring.reads) if name in names]
        if len(readers) != 1 or len(wiring.reads[readers[0]]) != 1:
            return found
        node = wiring.nodes[readers[0]]
        if node.op_type in _SCALES:
            found.append(readers[0])
        elif node.op_type not in _PASSES:
            return found
        name = node.output[0]
