"""The worker process: its models, lanes from any number of DPU processes to each, stateless.

Stop, first signal: lanes are told to drain, what was taken is answered, then it ends. Second signal, a lost device or a
hanging batch: it ends at once (exit 75: try again); its peers notice the end of file and still have every task.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from structlog.stdlib import BoundLogger

from app.config.worker import WorkerDeployment
from app.control import worker as control
from app.exit_code import ExitCode
from app.place import Place, open_places
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
    try:
        places = open_places(config, socket, log)
        asyncio.run(_serve(config, places, log))
    except* DeviceLost as lost:
        log.error("worker.device_lost", reason=str(_first(lost)))
        os._exit(ExitCode.TRY_AGAIN)  # the engine's thread may hang for ever: do not wait for it
    for place in places:
        place.models.close()
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


async def _serve(config: WorkerDeployment, places: Sequence[Place], log: BoundLogger) -> None:
    inference = _inference(config, places[0].models, log)
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            os._exit(ExitCode.TRY_AGAIN)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    asyncio.get_running_loop().add_signal_handler(_PARENT_DIED, stopping.set)
    async with AsyncExitStack() as steered, asyncio.TaskGroup() as group:
        for place in places:
            answer = Steering(place.models, log).answer
            await steered.enter_async_context(control.serve(place.control_path, answer))
        serving = [group.create_task(work, name=name) for place in places for name, work in _services(place)]
        inferring = group.create_task(inference.run(), name="inference") if inference is not None else None
        await stopping.wait()
        if inference is not None:
            inference.drain()
        await asyncio.gather(*(place.lanes.drain(_DRAIN_S) for place in places))
        if inferring is not None:
            inferring.cancel()
            await asyncio.wait({inferring})  # what it has is still answered
        for task in serving:
            task.cancel()


def _services(place: Place) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
    yield "lanes", place.lanes.run()
    yield "models", place.models.run()
    if place.backup is not None:
        yield "backup", place.backup.run(place.replaced)


def _end_with_parent() -> None:
    """Linux: be told when the parent dies, even of SIGKILL. Ends at once if it is dead already."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, _PARENT_DIED, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(ExitCode.TRY_AGAIN)
