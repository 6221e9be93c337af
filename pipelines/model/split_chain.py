"""The parts of a split model, run one after the other as DPU, worker and DPU would."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipelines.errors import ModelError
from pipelines.model.runtime import Runner

Array = npt.NDArray[Any]
MANIFEST = "split.json"
PARTS = ("pre", "main", "post")


class Part(Protocol):
    """Something that turns tensors into tensors: a session here, or the other end of a link."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]: ...


class Chain:
    """Parts in order. What one gives, and what the chain was fed with, is there for the next."""

    def __init__(self, parts: Sequence[tuple[Part, Sequence[str]]], outputs: Sequence[str]) -> None:
        """
        Args:
            parts: Each with the names of what it takes.
            outputs: What the whole model gives, in its order.
        """
        self._parts, self._outputs = parts, outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs of the whole, by name. Raises ModelError: a part cannot run."""
        known = dict(feeds)
        for part, names in self._parts:
            known |= part.run({name: np.ascontiguousarray(known[name]) for name in names})
        return {name: known[name] for name in self._outputs}


def open_chain(folder: Path, runs_main: Callable[[Path], Part] | None = None) -> Chain:
    """The chain in a folder that `framegate models split` wrote.

    Args:
        runs_main: Makes the middle part from its file: the link to a worker. None: a session here.

    Raises:
        ModelError: the folder has no readable manifest, or a part cannot be loaded.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        wanted = {name: list(part["inputs"]) for name, part in manifest["parts"].items()}
        outputs = list(manifest["outputs"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{folder / MANIFEST} cannot be read: {error}") from error
    parts: list[tuple[Part, Sequence[str]]] = []
    for name in PARTS:
        if name in wanted:
            file = folder / f"{name}.onnx"
            remote = runs_main is not None and name == "main"
            parts.append((runs_main(file) if remote and runs_main else Runner(str(file), str(file)), wanted[name]))
    return Chain(parts, outputs)
