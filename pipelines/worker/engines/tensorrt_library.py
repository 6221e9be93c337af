"""Which TensorRT is here: the data-centre library, 10 or 11, or TensorRT-RTX. Their Python faces are nearly the same.

| module                                | flavour  | builds without a GPU | timing cache | precision flags |
|---------------------------------------|----------|----------------------|--------------|-----------------|
| tensorrt                              | tensorrt | no                   | yes          | 10 yes, 11 no   |
| tensorrt_rtx (or its bare bindings)   | rtx      | for a named device   | no effect    | no              |

Precision flags are never used: networks are strongly typed, and precision is what the ONNX file says.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.errors import ModelError

Flavour = Literal["tensorrt", "rtx"]
MODULES: tuple[tuple[Flavour, str], ...] = (
    ("tensorrt", "tensorrt"),
    ("rtx", "tensorrt_rtx"),
    ("rtx", "tensorrt_rtx_bindings"),
)
"""In order of preference. The last is what the registry's `tensorrt-rtx-cu13-bindings` installs by itself."""


@dataclass(frozen=True, slots=True)
class Library:
    """One TensorRT, imported. `trt` is its Python module."""

    flavour: Flavour
    version: str
    trt: Any

    @property
    def title(self) -> str:
        return f"{'TensorRT' if self.flavour == 'tensorrt' else 'TensorRT-RTX'} {self.version}"


def find(flavour: Flavour | None = None) -> Library | None:
    """The TensorRT that can be imported here, or None. `flavour` None: either, the data-centre one first."""
    for kind, name in MODULES:
        if flavour not in (None, kind):
            continue
        try:
            module = importlib.import_module(name)
            if hasattr(module, "Builder"):  # the registry's data-centre package may be an empty front
                return Library(kind, str(module.__version__), module)
        except (ImportError, OSError, RuntimeError):  # RuntimeError: the stub says that its libraries are missing
            continue
    return None


def require(flavour: Flavour | None = None) -> Library:
    """As find, but not finding it is an error.

    Raises:
        ModelError: there is no TensorRT here; says what to install.
    """
    library = find(flavour)
    if library is None:
        wanted = {"tensorrt": "TensorRT", "rtx": "TensorRT-RTX", None: "TensorRT"}[flavour]
        raise ModelError(f"{wanted} is not installed here: pip install 'framegate[gpu]', or choose worker.engine: onnx")
    return library


def named_capabilities(library: Library) -> tuple[str, ...]:
    """Compute capabilities, as "8.9", that this library can build for without such a device; empty: only its own."""
    enum = getattr(library.trt, "ComputeCapability", None)
    numbers = (name[2:] for name in getattr(enum, "__members__", ()) if name[2:].isdigit())
    return tuple(f"{n[:-1]}.{n[-1]}" for n in sorted(numbers, key=int))


def capability_member(library: Library, capability: str) -> Any:
    """The library's own constant for "8.9".

    Raises:
        ModelError: it cannot build for such a device without having it.
    """
    if capability not in named_capabilities(library):
        known = ", ".join(named_capabilities(library)) or "none: it builds for the device it runs on"
        raise ModelError(f"{library.title} cannot build for compute capability {capability} by name; it knows {known}")
    return getattr(library.trt.ComputeCapability, "SM" + capability.replace(".", ""))
