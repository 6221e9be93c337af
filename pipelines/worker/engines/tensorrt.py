"""TensorRT and TensorRT-RTX as a program of a device, and the engine made of it.

Each context has its own device memory and stream. TensorRT-RTX compiles kernels on the device when a batch size is
first run; what it compiled is kept beside the plan, so that the next start need not.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipelines.errors import EngineError, ModelError
from pipelines.values import ModelCard
from pipelines.worker.engines import tensorrt_cache as cache
from pipelines.worker.engines.device import Buffers, Device, OutOfDeviceMemory, Stream
from pipelines.worker.engines.device_engine import DeviceEngine, RunOptions
from pipelines.worker.engines.device_open import open_device
from pipelines.worker.engines.folded import COLOR, DETECTIONS, PLANES, read_card
from pipelines.worker.engines.tensorrt_assert import check_tensors, engine_tensors
from pipelines.worker.engines.tensorrt_build import Progress
from pipelines.worker.engines.tensorrt_library import Library, require
from pipelines.worker.engines.tensorrt_options import TensorrtOptions


def open_engine(
    model: Path,
    options: TensorrtOptions,
    max_batch: int,
    progress: Progress = lambda _: None,
    opener: Callable[[], Device] = open_device,
    library: Library | None = None,
) -> DeviceEngine:
    """The engine for a folded model on this machine's device. Builds the plan if need be: seconds to minutes.

    A plan that the library refuses to load is built once more (a driver may have changed under it).

    Raises:
        ModelError: no library, no device, or no engine can be built; says which and why.
    """
    library = library or require(None if options.flavour == "any" else options.flavour)
    card, device = read_card(model), opener()
    target = cache.Target(device.info.capability, device.info.name, here=True)
    plan = cache.get(model, library, target, options, progress)
    try:
        with device.active():
            try:
                program = TensorrtProgram(library, plan, card)
            except ModelError as error:
                if not plan.reused:
                    raise
                progress(f"built again: {error}")
                plan.path.unlink(missing_ok=True)
                program = TensorrtProgram(library, cache.get(model, library, target, options, progress), card)
        run = RunOptions(min(max_batch, options.max_batch), options.contexts, options.graphs)
        return DeviceEngine(program, device, card, run)
    except ModelError:
        device.close()
        raise


class TensorrtProgram:
    """Implements device.Program. Made inside `device.active()`."""

    def __init__(self, library: Library, plan: cache.Plan, card: ModelCard) -> None:
        """Load a plan on the device that is active.

        Raises:
            ModelError: the library refuses it, or its tensors are not the card's.
        """
        self._messages: list[str] = []
        self._library, self._card = library, card
        self._runtime = library.trt.Runtime(_logger(library, self._messages))
        self._engine = self._runtime.deserialize_cuda_engine(plan.content)
        if self._engine is None:
            said = "; ".join(self._messages[-3:]) or "no reason"
            raise ModelError(f"{plan.path}: {library.title} refuses this plan: {said}")
        check_tensors(engine_tensors(library, self._engine), card)
        self._precision = "+".join(sorted(plan.description.precision))
        self._compiled = plan.path.with_suffix(".compiled")
        self._runtime_cache: Any = None
        self._config = self._runtime_config()

    @property
    def title(self) -> str:
        return f"{self._library.title} {self._precision}"

    @property
    def capturable(self) -> bool:
        return True

    def context(self, buffers: Buffers, stream: Stream) -> TensorrtContext:
        self._messages.clear()
        context = self._engine.create_execution_context(*([] if self._config is None else [self._config]))
        if context is None:
            raise OutOfDeviceMemory(f"no context: {'; '.join(self._messages[-2:])}")
        return TensorrtContext(context, self._card, buffers, stream, self._messages)

    def close(self) -> None:
        """Keep what was compiled, free the engine. The contexts are closed."""
        if self._runtime_cache is not None:
            with suppress(OSError):  # the next start compiles again
                self._compiled.write_bytes(bytes(self._runtime_cache.serialize()))
        self._runtime_cache = self._config = self._engine = self._runtime = None

    def _runtime_config(self) -> Any:
        """TensorRT-RTX: kernels for the exact shapes, compiled before the first camera, kept from the last run."""
        trt = self._library.trt
        if not hasattr(trt, "DynamicShapesKernelSpecializationStrategy"):
            return None
        config = self._engine.create_runtime_config()
        config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        self._runtime_cache = config.create_runtime_cache()
        if self._compiled.is_file():
            self._runtime_cache.deserialize(self._compiled.read_bytes())  # false for another device's: compiled anew
        config.set_runtime_cache(self._runtime_cache)
        return config


class TensorrtContext:
    """Implements device.Context."""

    def __init__(self, context: Any, card: ModelCard, buffers: Buffers, stream: Stream, messages: list[str]) -> None:
        self._context, self._stream, self._messages = context, stream, messages
        self._sides = {PLANES: (card.input_h * 3 // 2, card.input_w), COLOR: (3, 4)}
        self._batch = 0
        addresses = {PLANES: buffers.planes, COLOR: buffers.color, DETECTIONS: buffers.detections}
        for name, address in addresses.items():
            if not context.set_tensor_address(name, address):
                raise EngineError(f"tensor {name} refuses its address")

    def enqueue(self, batch: int) -> None:
        self._messages.clear()
        if batch != self._batch:
            for name, sides in self._sides.items():
                if not self._context.set_input_shape(name, (batch, *sides)):
                    raise EngineError(f"batch of {batch}: {self._said()}")
            self._batch = batch
        if not self._context.execute_async_v3(self._stream.handle):
            self._batch = 0
            said = self._said()
            raise (OutOfDeviceMemory if "out of memory" in said.lower() else EngineError)(f"batch of {batch}: {said}")

    def close(self) -> None:
        self._context = None

    def _said(self) -> str:
        return "; ".join(self._messages[-2:]) or "refused"


def _logger(library: Library, messages: list[str]) -> Any:
    """Keeps the library's errors; the last 32 of them."""

    class Logger(library.trt.ILogger):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            library.trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= library.trt.ILogger.Severity.ERROR:
                messages.append(message[:300])
                del messages[:-32]

    return Logger()
