"""A built engine on disk: what it was built from and for, and the bytes TensorRT calls a plan. Pure.

    magic     8 bytes   b"FGPLAN1\\n"
    length    8 bytes   little endian, of the description
    description         JSON, one object: a Description
    plan                the rest; its SHA-256 is in the description

A file is checked before TensorRT sees it: TensorRT trusts a plan as it trusts a program.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from pipelines.errors import ModelError

MAGIC = b"FGPLAN1\n"
FORM = 1
"""Of our rewriting and building: raise it when the same file builds another plan."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The batches one engine takes: least, most, and the one it is tuned for."""

    min_batch: int = 1
    opt_batch: int = 8
    max_batch: int = 32


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output. `shape` has -1 for the batch; `dtype` is numpy's name."""

    name: str
    mode: str
    """"input" or "output"."""
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """Everything a plan depends on. Two plans with the same key may take each other's place."""

    model_sha256: str
    flavour: str
    version: str
    capability: str
    """Compute capability of the device, "8.9"."""
    device: str
    """Its name for plans built on it; "" for TensorRT-RTX, whose plans fit every device of the capability."""
    profile: Profile
    form: int = FORM

    @property
    def digest(self) -> str:
        """Names the file."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Description:
    """What is written beside the plan."""

    key: Key
    tensors: tuple[Tensor, ...]
    """Asserted against the model card when the plan was built, and against the engine when it is loaded."""
    precision: dict[str, int]
    """{element type: layers of convolution and matrix product that compute in it}"""
    plan_sha256: str
    build_s: float
    peak_mib: int
    """Memory of the building process, at most."""


def pack(description: Description, plan: bytes) -> bytes:
    """The file."""
    text = json.dumps(asdict(description), sort_keys=True).encode()
    return MAGIC + len(text).to_bytes(8, "little") + text + plan


def unpack(content: bytes) -> tuple[Description, bytes]:
    """The description and the plan.

    Raises:
        ModelError: not such a file, cut short, or changed since it was written. Says which.
    """
    start = len(MAGIC) + 8
    if content[: len(MAGIC)] != MAGIC:
        raise ModelError("not a plan of ours")
    length = int.from_bytes(content[len(MAGIC) : start], "little")
    try:
        description = _description(json.loads(content[start : start + length]))
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"its description cannot be read: {error}") from error
    plan = content[start + length :]
    if hashlib.sha256(plan).hexdigest() != description.plan_sha256:
        raise ModelError(f"its {len(plan)} bytes are not those that were written: corrupt or cut short")
    return description, plan


def require_key(found: Key, wanted: Key) -> None:
    """See that a plan is for this model, library and device.

    Raises:
        ModelError: it is for something else; says what.
    """
    if found == wanted:
        return
    have, want = asdict(found), asdict(wanted)
    differences = (f"{name}: built for {have[name]}, here {want[name]}" for name in want if have[name] != want[name])
    raise ModelError("; ".join(differences))


def _description(data: dict[str, object]) -> Description:
    """From JSON. Wrong keys raise TypeError or KeyError."""
    key, tensors = data.pop("key"), data.pop("tensors")
    if not isinstance(key, dict) or not isinstance(tensors, list):
        raise TypeError("key or tensors have the wrong type")
    return Description(
        key=Key(**{**key, "profile": Profile(**key["profile"])}),
        tensors=tuple(Tensor(**{**t, "shape": tuple(t["shape"])}) for t in tensors),
        **data,  # type: ignore[arg-type]
    )
