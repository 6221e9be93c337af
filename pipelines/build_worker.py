"""The one place that chooses implementations, worker side. Imports neither PyAV nor OpenCV."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from socket import gethostbyname
from typing import TYPE_CHECKING, Literal, Protocol

from pipelines.contracts import Engine
from pipelines.errors import LaneError, ModelError
from pipelines.values import ModelCard

if TYPE_CHECKING:
    from pipelines.model.options import FamilyName
    from pipelines.transport.options import LaneOptions
    from pipelines.transport.rdma import RdmaOptions, RdmaServer
    from pipelines.transport.rdma_memory import WorkerMemory
    from pipelines.transport.reader import LaneReader
    from pipelines.transport.region import RegionLayout
    from pipelines.transport.shm_server import ShmServer
    from pipelines.worker.engines.tensorrt_options import TensorrtOptions
    from pipelines.worker.lifecycle_check import CheckReport
    from pipelines.worker.options import BatchOptions
    from pipelines.worker.serve.options import ServeOptions
    from pipelines.worker.serve.repository import Host
    from pipelines.worker.serve.server import InferenceServer


_READ_GPU_MEMORY = ("tensorrt",)
"""Engines that take payloads in the GPU's memory."""


class WorkerSpec(Protocol):
    """What an engine is made from; app/config/worker.py has it."""

    @property
    def engine(self) -> str: ...
    @property
    def tensorrt(self) -> TensorrtOptions: ...
    @property
    def threads(self) -> int: ...
    @property
    def batch(self) -> BatchOptions: ...


class ServingSpec(WorkerSpec, Protocol):
    """A worker that may serve others than DPU processes too; app/config/worker.py has it."""

    @property
    def serve(self) -> ServeOptions: ...


class ModelSpec(Protocol):
    """Which detector; app/config/worker.py has it."""

    @property
    def detector(self) -> str: ...
    @property
    def size_wh(self) -> tuple[int, int] | None: ...
    @property
    def family(self) -> FamilyName | None: ...


def engine(worker: WorkerSpec, model: ModelSpec) -> Engine:
    """The engine with its model, by name or file; an unfolded one is folded first.

    Raises:
        ModelError: the model cannot be found, folded or run.
    """
    from pipelines.model.catalog import resolve
    from pipelines.model.split_parts import is_split

    if is_split(model.detector):
        return _part_engine(worker, Path(model.detector))
    path = resolve(model.detector, size_wh=model.size_wh, family=model.family)
    threads = worker.threads or os.cpu_count() or 1
    kind = chosen_engine(worker)
    if kind == "null":
        from pipelines.worker.engines.null import NullEngine

        return NullEngine(path, worker.batch.max_batch)
    if kind == "tensorrt":
        from pipelines.worker.engines.tensorrt import open_engine

        return open_engine(path, worker.tensorrt, worker.batch.max_batch)
    from pipelines.worker.engines.folded import CPU
    from pipelines.worker.engines.onnx import CUDA, OnnxEngine

    providers = (CUDA,) if kind == "onnx-cuda" else (CPU,)
    return OnnxEngine(path, threads=threads, providers=providers, max_batch=worker.batch.max_batch)


def _part_engine(worker: WorkerSpec, folder: Path) -> Engine:
    """Of the middle part of a split model. Raises ModelError."""
    from pipelines.model.split_parts import read_parts
    from pipelines.worker.engines.folded import CPU
    from pipelines.worker.engines.null import NullEngine
    from pipelines.worker.engines.onnx import CUDA
    from pipelines.worker.engines.part import PartEngine

    parts = read_parts(folder)
    if worker.engine == "null":
        return NullEngine(parts.lane_card, max_batch=1)
    if worker.engine == "tensorrt":
        raise ModelError(f"{folder}: parts of a split model run on engine onnx or onnx-cuda, not tensorrt")
    on_gpu = worker.engine == "onnx-cuda" or (worker.engine == "auto" and chosen_engine(worker) != "onnx")
    return PartEngine(
        parts.file("main"),
        parts.lane_card,
        parts.up.views,
        parts.to_rows,
        threads=worker.threads or os.cpu_count() or 1,
        providers=(CUDA, CPU) if on_gpu else (CPU,),
    )


def chosen_engine(worker: WorkerSpec) -> str:
    """The engine's name; "auto" is settled by what is here: a device, then a library for it, else the CPU."""
    if worker.engine != "auto":
        return worker.engine
    from pipelines.worker.engines.device_open import best_engine

    return best_engine(worker.tensorrt.flavour)


def title(engine: Engine) -> str:
    """What runs where, for the log."""
    return str(getattr(engine, "title", type(engine).__name__))


def find_model(model: ModelSpec) -> tuple[Path, str]:
    """A detector's folded file and its SHA-256. Folds what is not folded yet, once; blocks.

    Raises:
        ModelError: the model cannot be found or folded.
    """
    from pipelines.model.catalog import resolve
    from pipelines.model.directory import sha256_of
    from pipelines.model.split_parts import is_split, read_parts

    if is_split(model.detector):
        return Path(model.detector), read_parts(Path(model.detector)).sha256
    path = resolve(model.detector, size_wh=model.size_wh, family=model.family)
    return path, sha256_of(path)


def check_model(worker: WorkerSpec, model: ModelSpec) -> tuple[Path, str, CheckReport]:
    """Try a model with this engine on its reference pictures, or on drawn ones if it was never prepared; blocks.

    Raises:
        ModelError: it must not be used; says why.
    """
    from pipelines.model import sample
    from pipelines.model.directory import version_of
    from pipelines.worker.lifecycle_check import check_engine

    path, sha256 = find_model(model)
    if path.is_dir():
        raise ModelError(f"{path}: a split model is not loaded into a running worker: each DPU process has parts of it")
    version = version_of(path)
    tried = engine(worker, model)
    asked = sample.read_sample(version.reference, tried.card) if version else sample.synthetic(tried.card)
    expected = None if worker.engine == "null" else asked.rows
    try:
        return path, sha256, check_engine(tried, asked.planes, asked.color, expected)
    finally:
        tried.close()


@dataclass(frozen=True, slots=True)
class _Further:
    """Implements ModelSpec: a model that clients of the inference server load by its name."""

    detector: str
    size_wh: tuple[int, int] | None = None
    family: FamilyName | None = None


def shm_server(
    socket: Path, card: ModelCard, options: LaneOptions, readable: Callable[[LaneReader], None]
) -> ShmServer:
    """The worker's end of lanes over shared memory."""
    from pipelines.transport.shm_server import ShmServer

    return ShmServer(socket, card, options, readable)


def rdma_server(
    rdma: RdmaOptions, card: ModelCard, options: LaneOptions, readable: Callable[[LaneReader], None], engine: str
) -> RdmaServer:
    """The worker's end of lanes over RDMA. `engine` is its kind: one that reads frames in the GPU's memory gets them
    there, if the options say so.

    Raises:
        LaneError: this machine lacks what they need.
    """
    from pipelines.transport.rdma import RdmaServer, device_verbs

    return RdmaServer(rdma, card, options, readable, device_verbs(rdma), _rdma_memory(rdma, engine))


def require_rdma() -> None:
    """Raises LaneError if this machine cannot carry lanes over RDMA."""
    from pipelines.transport.rdma import require_device

    require_device()


def _rdma_memory(rdma: RdmaOptions, engine: str) -> Callable[[RegionLayout, int], WorkerMemory]:
    """What frames land in."""
    from pipelines.transport.rdma import HostMemory, device_trials

    if rdma.memory == "host" or (rdma.memory == "auto" and engine not in _READ_GPU_MEMORY):
        return HostMemory
    if engine not in _READ_GPU_MEMORY:
        raise LaneError(f"lane.rdma.memory: {rdma.memory} needs an engine on the GPU, not {engine}: use host")
    from pipelines.transport.rdma_gpu import CudaMemory, GpuMemory
    from pipelines.transport.rdma_probe import chosen
    from pipelines.worker.engines.device import DeviceBytes

    way: Literal["auto", "dmabuf", "peermem", "host"] = rdma.memory
    if way == "auto":
        way = chosen(device_trials(rdma, gethostbyname(rdma.host_and_port[0]))).kind
    if way == "host":
        return HostMemory
    cuda = CudaMemory()
    return lambda region, epoch: GpuMemory(region, epoch, cuda, way, DeviceBytes)


def inference_server(worker: ServingSpec, own: Host, told: Callable[[str, str], None]) -> InferenceServer | None:
    """The Open Inference Protocol over the worker's own model and those that clients may load; None: not asked for."""
    if not worker.serve.enabled:
        return None
    if own.card.tensor_bytes:
        raise ModelError("worker.serve: the middle part of a split model is of no use to other clients: switch it off")
    from pipelines.worker.serve.server import InferenceServer

    def load(reference: str) -> Engine:
        return engine(worker, _Further(reference))

    return InferenceServer(worker.serve, own, load, worker.batch, _version(), told)


def _version() -> str:
    try:
        return importlib.metadata.version("framegate")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"
