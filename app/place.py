"""What a worker process is made of: for each model a lifecycle, the lanes to it, and a socket to steer it by.

Further models (`model.further`) share the process, the device and its turns; each has a lane socket of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from structlog.stdlib import BoundLogger

from app.candidate import Candidates
from app.config.worker import WorkerDeployment
from app.control.worker import control_path
from app.lanes import LaneServers, lane_servers
from pipelines import build_worker
from pipelines.errors import ModelError
from pipelines.transport.options import LaneOptions
from pipelines.worker.backup import Backup
from pipelines.worker.lifecycle import Lifecycle
from pipelines.worker.share import Share


@dataclass(frozen=True, slots=True)
class Place:
    """One model's."""

    models: Lifecycle
    lanes: LaneServers
    control_path: Path
    backup: Backup | None = None
    replaced: str = ""
    """The configured model, if its backup serves from the start."""


def open_places(config: WorkerDeployment, socket: Path, log: BoundLogger) -> list[Place]:
    """The detector's place and those of further models, each warm.

    Raises:
        ModelError: a model, or both the detector and its backup, cannot be used. LaneError: RDMA cannot be had.
        DeviceLost.
    """
    share = Share()
    places = [_with_backup(config, socket, share, log)]
    for name, reference in config.model.further.items():
        places.append(_opened(config, socket_of(socket, name), reference, _own_host_only(config.lane), share, log))
    return places


def socket_of(socket: Path, model: str) -> Path:
    """Where lanes for a further model attach."""
    return socket.with_name(f"{socket.name}-{model}")


def _with_backup(config: WorkerDeployment, socket: Path, share: Share, log: BoundLogger) -> Place:
    own, backup = config.model.detector, config.model.backup
    try:
        return _opened(config, socket, own, config.lane, share, log, backup)
    except ModelError as error:
        if backup is None:
            raise
        log.error("model.unusable", model=own, reason=str(error), backup=backup)
        return _opened(config, socket, backup, config.lane, share, log, backup, replaced=own)


def _opened(
    config: WorkerDeployment,
    socket: Path,
    model: str,
    lane: LaneOptions,
    share: Share,
    log: BoundLogger,
    backup: str | None = None,
    replaced: str = "",
) -> Place:
    candidates = Candidates(config)
    first = candidates.first(model)
    engine = candidates.open(first)
    card, title = engine.card, build_worker.title(engine)
    lanes = lane_servers(
        socket,
        card,
        lane,
        build_worker.chosen_engine(config.worker),
        lambda lane: models.collect(lane),
        lambda reason: log.warning("worker.no_rdma", reason=reason),
    )

    def turned_bad() -> None:
        log.error("model.bad", model=models.model.reference)
        if standing_by is not None:
            standing_by.turned_bad()

    def told(what: str, text: str) -> None:
        (log.info if what == "loaded" else log.error)(f"model.backup.{what}", text=text)

    batch = config.worker.batch
    models = Lifecycle(
        first, engine, batch, candidates, lambda: lanes.lanes, lanes.set_card, on_bad=turned_bad, share=share
    )
    standing_by = Backup(models, backup, config.model.backup_again_s, told) if backup is not None else None
    try:
        models.warm()
    except ModelError:
        models.close()
        raise
    lanes.watch(models.lanes_changed)
    profile_ms = {size: round(ns / 1e6, 2) for size, ns in models.loop_statistics().profile_ns.items()}
    log.info("worker.ready", model=card.name, engine=title, batch_ms=profile_ms)
    return Place(models, lanes, control_path(socket), standing_by, replaced)


def _own_host_only(lane: LaneOptions) -> LaneOptions:
    """There is one address for lanes over RDMA, and that is the detector's."""
    return lane.model_copy(update={"carrier": "shm", "rdma": None, "grpc": None})
