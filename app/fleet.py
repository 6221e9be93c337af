"""All workers of one DPU process: a link to each, and a supervisor for each that is ours to start. Event loop only."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO, Any

from app.config.deployment import Config
from app.config.worker import WorkerConfig, WorkerDeployment
from app.exit_code import ExitCode
from app.measure import Measure
from app.observe.snapshot import WorkerObserved
from app.supervisor import Supervisor
from pipelines import build, build_link
from pipelines.errors import ConfigError, FramegateError, LaneError, ModelError
from pipelines.transport.link import Link
from pipelines.transport.place import PlaceOptions
from pipelines.transport.tensor_lane import TensorEvents, misfit
from pipelines.transport.workers import FrontEvents, Workers

GPU_DRIVER = Path("/dev/nvidiactl")
"""There where the driver of a GPU is loaded; asked without any library."""
SOCKET_PATH_BYTES = 96
"""unix(7) has room for 107; a worker that takes over binds beside the path first, with its process id as suffix."""


class Fleet:
    """The workers, whatever carries their lanes. The lanes' events go to `events`, as those of one lane."""

    def __init__(
        self,
        config: Config,
        events: FrontEvents,
        measure: Measure,
        *,
        hopeful: Callable[[], bool],
        replacing: Callable[[], bool],
        worker_log: IO[str] | None = None,
    ) -> None:
        """
        Args:
            hopeful: Asked when a spawned worker cannot use its model: true lets it be tried again, false ends all.
            replacing: May a worker that hangs be killed? Not while the process stops.
            worker_log: Where spawned workers log; None: to stderr.
        """
        self._config, self._measure = config, measure
        self._hopeful, self._replacing, self._worker_log = hopeful, replacing, worker_log
        self._places = config.places()
        self._ends = build.split_ends(config.model.detector)
        self._tensors = TensorEvents(self._ends, events) if self._ends else None
        self.workers = Workers(
            list(self._places),
            config.lane,
            self._tensors or events,
            self._changed,
            misfit=lambda card: misfit(self._ends, card),
        )
        self._members = {member.name: member for member in self.workers.members}
        self.links: dict[str, Link[Any]] = {}
        self.supervisors: dict[str, Supervisor] = {}

    def services(self, stack: AsyncExitStack) -> dict[str, Coroutine[Any, Any, None]]:
        """What must run, each until cancelled, by name. `stack` keeps the folder of sockets that nobody named.

        Raises:
            ConfigError: a socket's path is too long. LaneError: a lane is not possible on this machine. ModelError:
                this process's parts of a split model cannot be used.
        """
        if self._ends is not None and self._tensors is not None:
            self._ends.load()
            stack.callback(self._tensors.close)
        services: dict[str, Coroutine[Any, Any, None]] = {}
        sockets = self._sockets(stack)
        for member in self.workers.members:
            name, place = member.name, self._places[member.name]
            reached = place.model_copy(update={"socket": sockets.get(name)})
            try:
                self.links[name] = build_link.link(reached, self._config.lane, member)
            except LaneError as error:
                raise LaneError(f"worker {name}: {error}") from error
            if place.spawned:
                self.supervisors[name] = self._supervisor(name, sockets[name])
        for name, link in self.links.items():  # made when nothing can fail any more: a coroutine wants to be awaited
            services[f"lane[{name}]"] = link.run()
        for name, supervisor in self.supervisors.items():
            services[f"worker[{name}]"] = supervisor.run()
        return services

    def observe(self) -> dict[str, WorkerObserved]:
        """Each worker now."""
        observed, out = self.workers.observe(), {}
        for member in self.workers.members:
            name, writer, link = member.name, member.writer, self.links.get(member.name)
            state, reason = self._measure.worker_state(name)
            supervisor = self.supervisors.get(name)
            out[name] = WorkerObserved(
                state=state,
                reason=observed.refused.get(name, reason),
                restarts=supervisor.restarts if supervisor else 0,
                model=writer.card.name if writer else "",
                lane=writer.statistics() if writer else None,
                link=link.statistics() if link else None,
                flow=observed.flows.get(name),
            )
        return out

    # --- pieces ----------------------------------------------------------------------------------------------------

    def _changed(self, name: str, attached: bool, reason: str) -> None:
        link, supervisor = self.links[name].statistics(), self.supervisors.get(name)
        if attached:
            self._members[name].way = f"{name}/{link.carrier}"
        self._measure.worker_changed(name, attached, reason, link.carrier, link.choice)
        if supervisor is None:
            return
        if attached:
            supervisor.answered()
        elif self._replacing():
            # One that lives and has only lost its lane is back after one handshake; twice its time is a hang.
            grace_s = 2 * self._config.lane.attach_timeout_s
            asyncio.get_running_loop().call_later(grace_s, self._replace_if_hung, name, supervisor.pid)

    def _replace_if_hung(self, name: str, pid: int | None) -> None:
        """Kill the worker that lost its lane, if it still runs and has not come back."""
        supervisor = self.supervisors[name]
        if pid is not None and supervisor.pid == pid and self.links[name].writer is None:
            self._measure.worker_process("hangs", f"{name} pid {pid} lives, but has not come back: killing it")
            supervisor.restart()

    def _supervisor(self, name: str, socket: Path) -> Supervisor:
        return Supervisor(
            name,
            self._command(socket),
            self._measure.worker_process,
            stderr=self._worker_log,
            hopeless=self._hopeless,
            start_s=_start_limit_s(self._config.worker),
        )

    def _hopeless(self, code: int) -> FramegateError | None:
        """Before the start, a model that cannot be used ends the process; later, the cameras go on without a worker."""
        if code != ExitCode.MODEL or self._hopeful():
            return None
        return ModelError(f"the worker cannot use its model, {self._config.model.detector}; its own message says why")

    def _command(self, socket: Path) -> list[str]:
        """A fresh interpreter; what it needs to know travels as one JSON argument, which holds no secret."""
        lane = self._config.lane.model_copy(update={"carrier": "shm", "rdma": None, "grpc": None})
        own = self._config.model_copy(update={"lane": lane}).model_dump_json(include=set(WorkerDeployment.model_fields))
        return [sys.executable, "-m", "app", "worker", "--socket", str(socket), "--spec", own]

    def _sockets(self, stack: AsyncExitStack) -> Mapping[str, Path]:
        """Of every worker that shares memory: the one that is named, or one in a folder of our own."""
        named = {name: place for name, place in self._places.items() if place.may_share_memory}
        if all(place.socket for place in named.values()):
            folder = Path()
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="framegate-")))
        return {name: _checked(place, folder / f"{name}.sock") for name, place in named.items()}


def _checked(place: PlaceOptions, chosen: Path) -> Path:
    path = place.socket or chosen
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        raise ConfigError(f"worker.socket: {path} is too long for a Unix socket: name a shorter one, or set TMPDIR")
    return path


def _start_limit_s(worker: WorkerConfig) -> float:
    """A worker that has not attached by then hangs. Building a plan takes minutes, and only a GPU's worker does it."""
    builds = worker.engine == "tensorrt" or (worker.engine == "auto" and GPU_DRIVER.exists())
    return worker.start_timeout_s + (worker.tensorrt.build_timeout_s if builds else 0.0)
