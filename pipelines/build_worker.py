"""The one place that chooses implementations, worker side. Imports neither PyAV nor OpenCV."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipelines.contracts import Engine

if TYPE_CHECKING:
    from pipelines.model.options import FamilyName
    from pipelines.worker.lifecycle_check import CheckReport
    from pipelines.worker.options import BatchOptions


class WorkerSpec(Protocol):
    """What an engine is made from; app/config/worker.py has it."""

    @property
    def engine(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def batch(self) -> BatchOptions: ...


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

    path = resolve(model.detector, size_wh=model.size_wh, family=model.family)
    threads = worker.threads or os.cpu_count() or 1
    if worker.engine == "null":
        from pipelines.worker.engines.null import NullEngine

        return NullEngine(path, worker.batch.max_batch)
    from pipelines.worker.engines.onnx import OnnxEngine

    return OnnxEngine(path, threads=threads, max_batch=worker.batch.max_batch)


def find_model(model: ModelSpec) -> tuple[Path, str]:
    """A detector's folded file and its SHA-256. Folds what is not folded yet, once; blocks.

    Raises:
        ModelError: the model cannot be found or folded.
    """
    from pipelines.model.catalog import resolve
    from pipelines.model.directory import sha256_of

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
    version = version_of(path)
    tried = engine(worker, model)
    asked = sample.read_sample(version.reference, tried.card) if version else sample.synthetic(tried.card)
    expected = None if worker.engine == "null" else asked.rows
    try:
        return path, sha256, check_engine(tried, asked.planes, asked.color, expected)
    finally:
        tried.close()
