"""A split detector as the pipe runs it: which part stands where, and what crosses between them.

    DPU                                      worker            DPU
    planes, color -> pre -> [ slot ]  ====>  main  ====>  [ answer ] -> post -> detections
                       \\________________ kept on the DPU ________________/

Needs neither `onnx` nor a session: both sides read it before they load anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.card import from_json
from pipelines.errors import ModelError
from pipelines.model.split_chain import MANIFEST
from pipelines.values import F32, U8, ModelCard

Array = npt.NDArray[Any]
PLANES, COLOR, OUTPUT = "planes", "color", "detections"
"""Of the whole, see prefix.py and suffix.py."""
FAMILY = "split"
_ALIGN_BYTES = 64
_COLUMNS = 6
"""Of an answer's rows."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """Tensors that cross together, one behind the other in one payload or one answer."""

    names: tuple[str, ...]
    dtypes: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where each begins; the last number is the end of all."""
        at, out = 0, [0]
        for dtype, shape in zip(self.dtypes, self.shapes, strict=True):
            at += -(-int(np.prod(shape)) * np.dtype(dtype).itemsize // _ALIGN_BYTES) * _ALIGN_BYTES
            out.append(at)
        return tuple(out)

    @property
    def bytes(self) -> int:
        """Of all, with what lies between."""
        return self.offsets[-1]

    def pack(self, values: Mapping[str, Array], out: U8) -> None:
        """Write them. `out`: at least `bytes` long; what lies between is left as it is."""
        for name, view in self.views(out).items():
            np.copyto(view, values[name], casting="no")

    def views(self, raw: U8) -> dict[str, Array]:
        """Each where it lies in `raw`, not copied."""
        return {
            name: raw[at : at + int(np.prod(shape)) * np.dtype(dtype).itemsize].view(dtype).reshape(shape)
            for name, dtype, shape, at in zip(self.names, self.dtypes, self.shapes, self.offsets[:-1], strict=True)
        }


@dataclass(frozen=True, slots=True)
class SplitParts:
    """What `framegate models split` wrote of a folded detector."""

    folder: Path
    sha256: str
    """Of split.json, which has those of the parts."""
    card: ModelCard
    """Of the whole."""
    feeds: Mapping[str, tuple[str, ...]]
    """Part -> what it takes; a part that is empty is not there."""
    up: Crossing
    down: Crossing
    sums: Mapping[str, str]
    """Part -> SHA-256 of its file."""
    difference: float
    """Largest absolute difference between chain and whole, when it was split."""

    @property
    def lane_card(self) -> ModelCard:
        """What the worker serves: slots hold what goes up, answers what comes down."""
        return ModelCard(
            name=self.card.name,
            family=FAMILY,
            input_w=self.card.input_w,
            input_h=self.card.input_h,
            classes=self.card.classes,
            top_k=-(-self.down.bytes // (4 * _COLUMNS)),
            sha256=self.sha256,
            licence=self.card.licence,
            tensor_bytes=self.up.bytes,
        )

    def file(self, part: str) -> Path:
        """Raises ModelError: it is not the file that was written with split.json."""
        path = self.folder / f"{part}.onnx"
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != self.sums[part]:
            raise ModelError(f"{path} is not the part that {MANIFEST} describes: split the model again")
        return path

    def to_rows(self, values: Mapping[str, Array]) -> F32:
        """What comes down as the rows of one answer, (k, 6) float32."""
        rows: F32 = np.zeros((self.lane_card.top_k, _COLUMNS), np.float32)
        self.down.pack(values, rows.reshape(-1).view(np.uint8))
        return rows

    def from_rows(self, rows: F32) -> dict[str, Array]:
        """The way back; views of the rows."""
        return self.down.views(np.ascontiguousarray(rows).reshape(-1).view(np.uint8))


def is_split(model: str | Path) -> bool:
    """A folder with the parts of a model."""
    return (Path(model) / MANIFEST).is_file()


def read_parts(folder: Path) -> SplitParts:
    """Read a folder's split.json.

    Raises:
        ModelError: it cannot be read, or the pipe cannot run such parts; says why.
    """
    file = folder / MANIFEST
    try:
        raw = file.read_bytes()
        manifest = json.loads(raw)
        card, edges = manifest["card"], manifest["edges"]
        feeds = {name: tuple(part["inputs"]) for name, part in manifest["parts"].items()}
        gives = tuple(manifest["parts"]["main"]["outputs"])
        sums = {name: str(part["sha256"]) for name, part in manifest["parts"].items()}
        outputs, difference = tuple(manifest["outputs"]), float(manifest["report"]["difference"])
        up, down = _crossing(feeds["main"], edges), _crossing(gives, edges)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{file} cannot be read: {error!r}") from error
    if card is None:
        raise ModelError(f"{folder}: split from a model that is not folded: fold it first, and split the folded file")
    if outputs != (OUTPUT,):
        raise ModelError(f"{folder}: gives {', '.join(outputs)}, not {OUTPUT}: split a folded file")
    if wrong := [
        f"{name} as {dtype}" for name, dtype in zip(down.names, down.dtypes, strict=True) if dtype != "float32"
    ]:
        raise ModelError(
            f"{folder}: {', '.join(wrong)} comes back from the worker, and an answer's rows are float32: cut elsewhere"
        )
    whole = from_json(json.dumps(card))
    return SplitParts(folder, hashlib.sha256(raw).hexdigest(), whole, feeds, up, down, sums, difference)


def _crossing(names: Sequence[str], edges: Mapping[str, Any]) -> Crossing:
    return Crossing(
        tuple(names),
        tuple(str(edges[name]["dtype"]) for name in names),
        tuple(tuple(int(side) for side in edges[name]["shape"]) for name in names),
    )
