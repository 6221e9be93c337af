"""One deployment: everything `framegate run` needs to know, from one YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from app.config.camera import CameraConfig, CameraDefaults, Name
from app.config.check import check
from app.config.compose import apply_defaults, join_cameras, require_camera
from app.config.load import document, validated
from app.config.problem import ConfigProblems, Problem
from app.config.sinks import SinkConfig
from app.config.worker import WorkerDeployment
from app.control.options import HttpOptions
from pipelines.gate.audit_control import ControlOptions
from pipelines.gate.audit_estimate import EstimateOptions
from pipelines.gate.audit_window import AuditOptions
from pipelines.gate.budget_terms import BudgetOptions
from pipelines.source.stagger import StaggerOptions
from pipelines.standin.options import DegradedOptions
from pipelines.transport.place import PlaceOptions

_CAMERA = CameraDefaults()


class AuditConfig(AuditOptions, frozen=True, extra="forbid"):
    """How the gates are audited, and what is done about what is found."""

    estimate: EstimateOptions = Field(EstimateOptions(), description="When an estimate is worth acting upon.")
    control: ControlOptions = Field(ControlOptions(), description="Where the thresholds are to go, and how fast.")


class Config(WorkerDeployment, frozen=True, extra="forbid"):
    """A whole deployment. Frozen; a reload makes another, and whoever holds this one compares."""

    defaults: CameraDefaults = Field(_CAMERA, description="Options of every camera that does not say otherwise.")
    cameras: Mapping[Name, CameraConfig] = Field({}, description="The cameras, each under its id.")
    camera_files: tuple[str, ...] = Field(
        (), description="Further files with a `cameras:` mapping, relative to this one; * and ? are allowed."
    )
    workers: Mapping[Name, PlaceOptions] = Field(
        {},
        description="Several workers behind this process, each under a name: tasks go to the one that should be done "
        "first. Empty: one, as `worker` and `lane` say.",
    )
    sinks: Mapping[Name, SinkConfig] = Field({}, description="Where alerts go, each under a name.")
    http: HttpOptions = Field(HttpOptions(), description="Probes, metrics and states over HTTP.")
    stagger: StaggerOptions = Field(StaggerOptions(), description="How quickly cameras are opened.")
    audit: AuditConfig = Field(AuditConfig(), description="A sample of what the gates dropped is looked at anyway.")
    budget: BudgetOptions = Field(BudgetOptions(), description="What decoding may cost, and who goes first.")
    degraded: DegradedOptions = Field(DegradedOptions(), description="What answers while no worker does.")
    drain_s: float = Field(
        5.0, ge=0, le=300, description="How long the first stop signal waits for answers and sinks, s."
    )

    def places(self) -> dict[str, PlaceOptions]:
        """All workers by name, also where there is only one."""
        if self.workers:
            return dict(self.workers)
        lane, worker = self.lane, self.worker
        return {
            "worker": PlaceOptions(
                carrier=lane.carrier, spawn=worker.spawn, socket=worker.socket, rdma=lane.rdma, grpc=lane.grpc
            )
        }


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Read, fill in, validate and check one deployment. Blocks: reads files.

    Raises:
        ConfigError: one line `file:line: key: sentence` per mistake, all of them.
    """
    problems: list[Problem] = []

    def read_file(file: Path) -> Any:
        return document(file, environ, Config, problems)

    tree = read_file(path)
    if tree is None:
        raise ConfigProblems(problems)
    tree = apply_defaults(join_cameras(tree, path, read_file, problems))
    require_camera(tree, problems)
    return validated(Config, tree, problems, check)
