"""The process that builds one plan: `python -m pipelines.worker.engines.tensorrt_child`.

A builder takes all the memory it likes, cannot be interrupted from Python, and may crash: so it has its own process.
In: one line of JSON on stdin, an Order. Out: lines of JSON on stdout, {"progress": ...} while it works and one
{"built": ...} or {"error": ...} at the end; the packed plan is in the file that the order names.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx

from pipelines.card import METADATA_KEY, from_json
from pipelines.errors import ModelError
from pipelines.values import ModelCard
from pipelines.worker.engines import tensorrt_plan as plans
from pipelines.worker.engines.tensorrt_assert import (
    check_precision,
    check_tensors,
    network_precision,
    network_tensors,
    promised_precision,
)
from pipelines.worker.engines.tensorrt_form import for_tensorrt
from pipelines.worker.engines.tensorrt_library import Library, capability_member, require


@dataclass(frozen=True, slots=True)
class Order:
    """What to build. Paths as text: it travels as JSON."""

    model: str
    target: str
    timing_cache: str
    key: plans.Key
    workspace_mib: int
    by_name: bool
    """Build for the key's capability without such a device; else for the device that is here."""


def main() -> int:
    """Build what stdin orders. 0: built; 1: told why not."""
    text = json.loads(sys.stdin.readline())
    key = plans.Key(**{**text.pop("key"), "profile": plans.Profile(**text["profile"])})
    del text["profile"]
    order = Order(key=key, **text)
    try:
        built = build(order)
    except ModelError as error:
        _say({"error": str(error)})
        return 1
    _say({"built": {"build_s": built.build_s, "peak_mib": built.peak_mib}})
    return 0


def build(order: Order) -> plans.Description:
    """Parse, build, assert, write. Blocks for seconds to minutes.

    Raises:
        ModelError: the library is not here, refuses the model (with its words), or the tensors are not the card's.
    """
    started = time.monotonic()
    library = require("rtx" if order.key.flavour == "rtx" else "tensorrt")
    messages: list[str] = []
    logger = _logger(library, messages)
    trt = library.trt
    builder = trt.Builder(logger)
    network = builder.create_network(_creation_flags(library))
    parser = trt.OnnxParser(network, logger)
    model = for_tensorrt(Path(order.model))
    if not parser.parse(model.SerializeToString()):
        raise ModelError(f"{order.model}: {library.title} cannot read it: {_errors(parser)}")
    tensors, precision = network_tensors(network), network_precision(network)
    check_tensors(tensors, _card(model, order.model))
    check_precision(precision, promised_precision(model))
    config = _configure(library, builder, network, order)
    cache = _timing_cache(library, config, Path(order.timing_cache))
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ModelError(f"{order.model}: {library.title} builds no engine: {'; '.join(messages[-3:]) or 'no reason'}")
    if cache:
        Path(order.timing_cache).write_bytes(bytes(config.get_timing_cache().serialize()))
    content = bytes(plan)
    description = plans.Description(
        key=order.key,
        tensors=tensors,
        precision=precision,
        plan_sha256=hashlib.sha256(content).hexdigest(),
        build_s=round(time.monotonic() - started, 2),
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    )
    Path(order.target).write_bytes(plans.pack(description, content))
    return description


def _creation_flags(library: Library) -> int:
    """Strongly typed; TensorRT 11 knows nothing else, and may not name the flag."""
    flag = getattr(library.trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _configure(library: Library, builder: Any, network: Any, order: Order) -> Any:
    trt, profile = library.trt, order.key.profile
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, order.workspace_mib << 20)
    if order.by_name:
        config.num_compute_capabilities = 1
        config.set_compute_capability(capability_member(library, order.key.capability), 0)
    shapes = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        sides = list(tensor.shape)[1:]
        shapes.set_shape(tensor.name, *([n, *sides] for n in (profile.min_batch, profile.opt_batch, profile.max_batch)))
    config.add_optimization_profile(shapes)
    config.progress_monitor = _monitor(library)
    return config


def _timing_cache(library: Library, config: Any, path: Path) -> bool:
    """Give the builder what it measured before. TensorRT-RTX does not measure when it builds: it has no such cache."""
    if library.flavour == "rtx":
        return False
    known = path.read_bytes() if path.is_file() else b""
    return bool(config.set_timing_cache(config.create_timing_cache(known), False))


def _card(model: onnx.ModelProto, path: str) -> ModelCard:
    text = next((p.value for p in model.metadata_props if p.key == METADATA_KEY), None)
    if text is None:
        raise ModelError(f"{path}: not a folded model (no {METADATA_KEY}): fold it with `framegate models fold`")
    return from_json(text)


def _errors(parser: Any) -> str:
    return "; ".join(str(parser.get_error(i).desc()) for i in range(parser.num_errors))[:600]


def _logger(library: Library, messages: list[str]) -> Any:
    """Keeps what the library says of errors; nothing reaches our stdout."""

    class Logger(library.trt.ILogger):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            library.trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= library.trt.ILogger.Severity.ERROR:
                messages.append(message[:400])

    return Logger()


def _monitor(library: Library) -> Any:
    """Tells of phases as they start, with their steps."""

    class Monitor(library.trt.IProgressMonitor):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            library.trt.IProgressMonitor.__init__(self)

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            del parent
            _say({"progress": name, "steps": steps})

        def step_complete(self, name: str, step: int) -> bool:
            del name, step
            return True

        def phase_finish(self, name: str) -> None:
            del name

    return Monitor()


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def order_json(order: Order) -> str:
    """The line that `main` reads."""
    data = asdict(order)
    data["profile"] = data["key"].pop("profile")
    return json.dumps(data)


if __name__ == "__main__":
    sys.exit(main())
