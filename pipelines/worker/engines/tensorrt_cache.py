"""Plans that were built before. One file per key; reading one takes milliseconds, building one seconds to minutes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import ModelError
from pipelines.worker.engines import tensorrt_plan as plans
from pipelines.worker.engines.tensorrt_build import Limits, Progress, build
from pipelines.worker.engines.tensorrt_child import Order
from pipelines.worker.engines.tensorrt_library import Library
from pipelines.worker.engines.tensorrt_options import TensorrtOptions


@dataclass(frozen=True, slots=True)
class Target:
    """The device a plan is for. `here`: it is in this machine, so the builder may measure on it."""

    capability: str
    device: str = ""
    here: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A plan, checked."""

    description: plans.Description
    content: bytes
    path: Path
    reused: bool
    rejected: str = ""
    """Why the file that was there could not be used; empty if there was none or it could."""


def default_cache() -> Path:
    """Where plans are kept unless said otherwise."""
    return Path.home() / ".cache" / "framegate" / "plans"


def key_of(model: Path, library: Library, target: Target, profile: plans.Profile) -> plans.Key:
    """Everything the plan depends on. Reads the model file once."""
    return plans.Key(
        model_sha256=hashlib.sha256(model.read_bytes()).hexdigest(),
        flavour=library.flavour,
        version=library.version,
        capability=target.capability,
        device=target.device if library.flavour == "tensorrt" else "",
        profile=profile,
    )


def get(
    model: Path,
    library: Library,
    target: Target,
    options: TensorrtOptions,
    progress: Progress = lambda _: None,
    builder: Callable[[Order, Limits, Progress], None] = build,
) -> Plan:
    """The plan for a model, from the cache or built now. Blocks.

    A file that is corrupt, or was made for another device or version, is built again; the Plan says why.

    Raises:
        ModelError: it cannot be built. The cache is as it was.
    """
    folder = options.cache or default_cache()
    profile = plans.Profile(opt_batch=min(options.opt_batch, options.max_batch), max_batch=options.max_batch)
    key = key_of(model, library, target, profile)
    path = folder / f"{model.stem}-sm{target.capability.replace('.', '')}-{key.digest}.plan"
    rejected = ""
    if path.is_file():
        try:
            return Plan(*load(path, key), path, reused=True)
        except ModelError as error:
            rejected = str(error)
    folder.mkdir(parents=True, exist_ok=True)
    timing = folder / f"timing-{library.flavour}-{library.version}-sm{target.capability.replace('.', '')}.cache"
    by_name = library.flavour == "rtx" and not target.here
    order = Order(str(model), str(path), str(timing), key, options.workspace_mib, by_name)
    builder(order, Limits(options.build_memory_mib, options.build_timeout_s), progress)
    return Plan(*load(path, key), path, reused=False, rejected=rejected)


def load(path: Path, key: plans.Key) -> tuple[plans.Description, bytes]:
    """Read one file and see that it is the plan for `key`.

    Raises:
        ModelError: it is not; names the file and says why.
    """
    try:
        description, content = plans.unpack(path.read_bytes())
        plans.require_key(description.key, key)
    except (OSError, ModelError) as error:
        raise ModelError(f"{path}: this plan cannot be used: {error}") from error
    return description, content
