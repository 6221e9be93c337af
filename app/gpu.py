"""The worker process: one model at a time, lanes from any number of DPU processes, stateless.

Stop, first signal: lanes are told to drain, what was taken is answered, then it ends. Second signal, a lost device or a
hanging batch: it ends at once (exit 75: try again); its peers notice the end of file and still have every task.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from structlog.stdlib import BoundLogger

from app.candidate import Candidates
from app.config.worker import WorkerDeployment
from app.control import worker as control
from app.exit_code import ExitCode
from app.lanes import LaneServers, lane_servers
from app.steer import Steering
from pipelines import build_worker
from pipelines.errors import DeviceLost, ModelError
from pipelines.worker.backup import Backup
from pipelines.worker.lifecycle import Lifecycle
from pipelines.worker.serve.host import OwnHost
from pipelines.worker.serve.server import InferenceServer

_DRAIN_S = 5.0
_PR_SET_PDEATHSIG = 1
_PARENT_DIED = signal.SIGUSR2
"""Not SIGTERM: the kernel sends it once for each thread of the parent that ends, and the second would force."""


def run(config: WorkerDeployment, socket: Path, *, with_parent: bool, log: BoundLogger) -> int:
    """The process. Returns its exit code.

    Args:
        with_parent: End when the process that started this one ends, however it ends.

    Raises:
        ModelError: the model cannot be used. LaneError: the socket, or the RDMA address, cannot be listened on.
    """
    if with_parent:
        _end_with_parent()
    try:
        worker, own = _open(config, socket, log)
        asyncio.run(_serve(config, worker, own, control.control_path(socket), log))
    except* DeviceLost as lost:
        log.error("worker.device_lost", reason=str(_first(lost)))
        os._exit(ExitCode.TRY_AGAIN)  # the engine's thread may hang for ever: do not wait for it
    worker.models.close()
    log.info("worker.stopped")
    return 0


@dataclass(frozen=True, slots=True)
class _Worker:
    """What a worker is made of."""

    models: Lifecycle
    lanes: LaneServers
    backup: Backup | None


def _open(config: WorkerDeployment, socket: Path, log: BoundLogger) -> tuple[_Worker, str]:
    """A worker with its model warm; and the configured model's reference, if its backup serves in its place.

    Raises:
        ModelError: neither the model nor its backup can be used.
    """
    own = config.model.detector
    try:
        return _made(config, socket, own, log), ""
    except ModelError as error:
        if config.model.backup is None:
            raise
        log.error("model.unusable", model=own, reason=str(error), backup=config.model.backup)
        return _made(config, socket, config.model.backup, log), own


def _made(config: WorkerDeployment, socket: Path, model: str, log: BoundLogger) -> _Worker:
    candidates = Candidates(config)
    first = candidates.first(model)
    engine = candidates.open(first)
    card, title = engine.card, build_worker.title(engine)
    kind = build_worker.chosen_engine(config.worker)
    lanes = lane_servers(
        socket,
        card,
        config.lane,
        kind,
        lambda lane: models.collect(lane),
        lambda reason: log.warning("worker.no_rdma", reason=reason),
    )

    def turned_bad() -> None:
        log.error("model.bad", model=models.model.reference)
        if backup is not None:
            backup.turned_bad()

    models = Lifecycle(
        first, engine, config.worker.batch, candidates, lambda: lanes.lanes, lanes.set_card, on_bad=turned_bad
    )
    backup = _backup(config, models, log)
    try:
        models.warm()
    except ModelError:
        models.close()
        raise
    lanes.watch(models.lanes_changed)
    profile_ms = {size: round(ns / 1e6, 2) for size, ns in models.loop_statistics().profile_ns.items()}
    log.info("worker.ready", model=card.name, engine=title, batch_ms=profile_ms)
    return _Worker(models, lanes, backup)


def _backup(config: WorkerDeployment, models: Lifecycle, log: BoundLogger) -> Backup | None:
    if config.model.backup is None:
        return None

    def told(what: str, text: str) -> None:
        (log.info if what == "loaded" else log.error)(f"model.backup.{what}", text=text)

    return Backup(models, config.model.backup, config.model.backup_again_s, told)


def _first(group: BaseException) -> BaseException:
    """The error inside the groups that task groups put it in."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


def _inference(config: WorkerDeployment, models: Lifecycle, log: BoundLogger) -> InferenceServer | None:
    """The server for clients that are no DPU process; None: not asked for."""

    def told(state: str, text: str) -> None:
        (log.info if state == "listening" else log.error)(f"worker.serve.{state}", text=text)

    own = OwnHost(lambda: models.card, config.worker.batch.max_batch, models.collect)
    return build_worker.inference_server(config.worker, own, told)


async def _serve(config: WorkerDeployment, worker: _Worker, own: str, control_path: Path, log: BoundLogger) -> None:
    """`own`: see Backup.run."""
    models, server, inference = worker.models, worker.lanes, _inference(config, worker.models, log)
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            os._exit(ExitCode.TRY_AGAIN)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    asyncio.get_running_loop().add_signal_handler(_PARENT_DIED, stopping.set)
    async with control.serve(control_path, Steering(models, log).answer), asyncio.TaskGroup() as group:
        serving = group.create_task(server.run(), name="lanes")
        working = group.create_task(models.run(), name="models")
        standing_by = group.create_task(worker.backup.run(own), name="backup") if worker.backup is not None else None
        inferring = group.create_task(inference.run(), name="inference") if inference is not None else None
        await stopping.wait()
        if inference is not None:
            inference.drain()
        await server.drain(_DRAIN_S)
        if inferring is not None:
            inferring.cancel()
            await asyncio.wait({inferring})  # what it has is still answered
        for task in (serving, working, standing_by):
            if task is not None:
                task.cancel()


def _end_with_parent() -> None:
    """Linux: be told when the parent dies, even of SIGKILL. Ends at once if it is dead already."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, _PARENT_DIED, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(ExitCode.TRY_AGAIN)
