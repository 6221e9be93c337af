"""What a worker process needs to know: `framegate worker` reads these sections of the same file and no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from app.config.document import Node
from app.config.load import Finding, document, validated
from app.config.problem import ConfigProblems, Problem
from app.observe.options import LogOptions
from pipelines.errors import ConfigError
from pipelines.model.options import FamilyName
from pipelines.transport.options import LaneOptions
from pipelines.worker.engines.tensorrt_options import TensorrtOptions
from pipelines.worker.options import BatchOptions
from pipelines.worker.serve.options import ServeOptions

FurtherName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,15}$")]


class ModelConfig(BaseModel, frozen=True, extra="forbid"):
    """The models: a shipped or pulled one by its name, or a file of your own."""

    detector: str = Field("detector", min_length=1, description="Finds the boxes, in the worker: name, or ONNX file.")
    backup: str | None = Field(
        None,
        min_length=1,
        description="Serves in the worker while the detector fails or cannot be loaded: name, or ONNX file.",
    )
    backup_again_s: float = Field(
        60.0, gt=0, description="The detector is tried again after this long, and ever less often, s."
    )
    further: dict[FurtherName, str] = Field(
        {},
        description="More detectors on the same device, each with a lane socket of its own, `worker.socket` with -NAME "
        "behind it: a name of yours to a shipped model or an ONNX file.",
    )
    presence: str = Field(
        "presence", min_length=1, description="Says whether anything is there, before the worker: name, or ONNX file."
    )
    size: str | None = Field(
        None,
        pattern=r"^[1-9]\d{1,3}x[1-9]\d{1,3}$",
        description='Input of a detector that is not folded yet, "WxH" in px; unset: its own size.',
    )
    family: FamilyName | None = Field(
        None, description="Head of a detector that is not folded yet; unset: recognised from names and shapes."
    )

    @property
    def size_wh(self) -> tuple[int, int] | None:
        """(width, height) in px."""
        if self.size is None:
            return None
        width, height = self.size.split("x")
        return int(width), int(height)


class WorkerConfig(BaseModel, frozen=True, extra="forbid"):
    """The process that runs the detector."""

    spawn: bool = Field(
        True, description="Start and supervise it beside this process; false: it is a service of its own."
    )
    socket: Path | None = Field(
        None, description="Unix socket where DPU and worker meet; required when it is not spawned, else chosen."
    )
    engine: Literal["auto", "tensorrt", "onnx-cuda", "onnx", "null"] = Field(
        "auto",
        description="tensorrt: TensorRT or TensorRT-RTX; onnx-cuda, onnx: ONNX Runtime on a GPU, on the CPU; "
        "auto: the first of these that is here; null: finds nothing, for measuring.",
    )
    start_timeout_s: float = Field(
        120.0,
        gt=0,
        description="From the start of a spawned worker to its first lane; one that takes longer is replaced. "
        "Where a TensorRT plan may have to be built, tensorrt.build_timeout_s is added (seconds).",
    )
    tensorrt: TensorrtOptions = Field(TensorrtOptions(), description="How TensorRT plans are built and run.")
    threads: int = Field(0, ge=0, le=256, description="Threads of the engine; 0: one per core.")
    batch: BatchOptions = Field(BatchOptions(), description="How tasks become batches.")
    serve: ServeOptions = Field(ServeOptions(), description="The Open Inference Protocol, for clients that are no DPU.")


class WorkerDeployment(BaseModel, frozen=True, extra="forbid"):
    """The worker's view of a configuration file."""

    model: ModelConfig = Field(ModelConfig(), description="The models.")
    worker: WorkerConfig = Field(WorkerConfig(), description="The process that runs the detector.")
    lane: LaneOptions = Field(LaneOptions(), description="The ring between DPU and worker.")
    log: LogOptions = Field(LogOptions(), description="The structured log.")


def load_worker(path: Path, environ: Mapping[str, str]) -> WorkerDeployment:
    """As deployment.load, for a worker that runs alone. Sections that are not the worker's are not looked at."""
    problems: list[Problem] = []
    tree = document(path, environ, WorkerDeployment, problems)
    if tree is None or not isinstance(tree.value, dict):
        raise ConfigProblems(problems)
    own = {key: node for key, node in tree.value.items() if key in WorkerDeployment.model_fields}
    return validated(WorkerDeployment, Node(own, tree.place), problems, check_model)


def check_model(config: WorkerDeployment) -> Iterator[Finding]:
    """Model files that are not there. A name without a directory and suffix is one of ours, and looked up later."""
    for key in ("detector", "backup", "presence"):
        name = getattr(config.model, key)
        if name is not None and is_file_name(name) and not is_there(name):
            yield ("model", key), f"the model file {name} does not exist: check the path, or name a shipped model"
    for key, name in config.model.further.items():
        if is_file_name(name) and not is_there(name):
            yield ("model", "further", key), f"the model file {name} does not exist: check the path"
    for key, name in config.worker.serve.models.items():
        if is_file_name(name) and not is_there(name):
            yield ("worker", "serve", "models", key), f"the model file {name} does not exist: check the path"


def with_detector(model: ModelConfig, detector: str) -> ModelConfig:
    """The same with another detector, as `--model` asks for.

    Raises:
        ConfigError: there is no such file.
    """
    if is_file_name(detector) and not is_there(detector):
        raise ConfigError(f"--model {detector}: the file does not exist: check the path, or name a shipped model")
    return model.model_copy(update={"detector": detector})


def is_file_name(name: str) -> bool:
    """True for `./x.onnx`, `models/x`, `x.onnx`; false for the name of a model we know."""
    return "/" in name or name.endswith(".onnx")


def is_there(name: str) -> bool:
    """A file, or a model directory with or without @VERSION. Whether it can be used is seen later."""
    return Path(name).exists() or Path(name.rpartition("@")[0] or name).is_dir()
