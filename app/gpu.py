"""The worker process: one model at a time, lanes from any number of DPU processes, stateless.

Stop, first signal: lanes are told to drain, what was taken is answered, then it ends. Second signal, a lost device or a
hanging batch: it ends at once (exit 75: try again); its peers notice the end of file and still have every task.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from pathlib import Path

from structlog.stdlib import BoundLogger

from app.candidate import Candidates
from app.config.worker import WorkerDeployment
from app.control import worker as control
from app.exit_code import ExitCode
from app.lanes import LaneServers, lane_servers
from app.steer import Steering
from pipelines import build_worker
from pipelines.errors import DeviceLost
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
    candidates = Candidates(config)
    first = candidates.first()
    engine = candidates.open(first)
    kind = build_worker.chosen_engine(config.worker)
    server = lane_servers(socket, engine.card, config.lane, kind, lambda lane: models.collect(lane))
    models = Lifecycle(first, engine, config.worker.batch, candidates, lambda: server.lanes, server.set_card)
    models.warm()
    profile_ms = {size: round(ns / 1e6, 2) for size, ns in models.loop_statistics().profile_ns.items()}
    log.info("worker.ready", model=engine.card.name, engine=build_worker.title(engine), batch_ms=profile_ms)
    del engine  # the lifecycle's to free
    try:
        asyncio.run(_serve(models, server, _inference(config, models, log), control.control_path(socket), log))
    except* DeviceLost as lost:
        log.error("worker.device_lost", reason=str(_first(lost)))
        os._exit(ExitCode.TRY_AGAIN)  # the engine's thread may hang for ever: do not wait for it
    models.close()
    log.info("worker.stopped")
    return 0


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


async def _serve(
    models: Lifecycle, server: LaneServers, inference: InferenceServer | None, control_path: Path, log: BoundLogger
) -> None:
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
        inferring = group.create_task(inference.run(), name="inference") if inference is not None else None
        await stopping.wait()
        if inference is not None:
            inference.drain()
        await server.drain(_DRAIN_S)
        if inferring is not None:
            inferring.cancel()
            await asyncio.wait({inferring})  # what it has is still answered
        serving.cancel()
        working.cancel()


def _end_with_parent() -> None:
    """Linux: be told when the parent dies, even of SIGKILL. Ends at once if it is dead already."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, _PARENT_DIED, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(ExitCode.TRY_AGAIN)
