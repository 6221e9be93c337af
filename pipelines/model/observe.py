"""Shapes inside a graph, seen by running it: exact where inference gives up."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx

from pipelines.model.runtime import Runner


def observe(
    model: onnx.ModelProto, picture: str, wh: tuple[int, int], tensors: Iterable[str], nodes: int | None = None
) -> dict[str, list[int]]:
    """Shapes of the named tensors for one picture of the given size.

    Args:
        model: `picture` is its only input.
        picture: name of the input, [any, 3, h, w].
        wh: size of the picture.
        tensors: results of nodes, or the picture.
        nodes: run this many of the nodes only, from the front; None: all. What comes behind need not fit.

    Raises:
        ModelError: the graph does not run; names the node.
    """
    part = onnx.ModelProto()
    part.CopyFrom(model)
    graph = part.graph
    if nodes is not None:
        del graph.node[nodes:]
    wanted = [name for name in dict.fromkeys(tensors) if name != picture]
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    shapes = {picture: [1, 3, wh[1], wh[0]]}
    if wanted:
        feeds = {picture: np.zeros(shapes[picture], np.float32)}
        seen = Runner(part.SerializeToString(), f"the graph at {wh[0]}x{wh[1]}", optimize=False).run(feeds)
        shapes |= {name: list(value.shape) for name, value in seen.items()}
    return shapes
