"""All lanes of one worker, whatever carries them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pipelines import build_worker
from pipelines.errors import LaneError
from pipelines.transport.options import LaneOptions
from pipelines.transport.reader import LaneReader
from pipelines.values import ModelCard


class LaneServer(Protocol):
    """The worker's end of one carrier: ShmServer, RdmaServer."""

    on_lanes: Callable[[], None]

    @property
    def lanes(self) -> tuple[LaneReader, ...]: ...
    async def run(self) -> None: ...
    def set_card(self, card: ModelCard) -> None: ...
    async def drain(self, deadline_s: float) -> int: ...


class LaneServers:
    """Itself a LaneServer. Event-loop thread."""

    def __init__(self, servers: Sequence[LaneServer]) -> None:
        self._servers = servers

    @property
    def lanes(self) -> tuple[LaneReader, ...]:
        """Attached now."""
        return tuple(lane for server in self._servers for lane in server.lanes)

    def watch(self, on_lanes: Callable[[], None]) -> None:
        """From now on it is called when a lane was attached, and when one has ended."""
        for server in self._servers:
            server.on_lanes = on_lanes

    async def run(self) -> None:
        """Serve until cancelled. Raises LaneError if one of them cannot; then none serves."""
        async with asyncio.TaskGroup() as group:
            for server in self._servers:
                group.create_task(server.run())

    def set_card(self, card: ModelCard) -> None:
        """The model was replaced. Raises LaneError for a card that cannot travel; they all judge it the same way."""
        for server in self._servers:
            server.set_card(card)

    async def drain(self, deadline_s: float) -> int:
        """Side by side, each as its own. Returns the lanes that are still there."""
        return sum(await asyncio.gather(*(server.drain(deadline_s) for server in self._servers)))


def lane_servers(
    socket: Path,
    card: ModelCard,
    options: LaneOptions,
    engine: str,
    readable: Callable[[LaneReader], None],
    without: Callable[[str], None] = lambda reason: None,
) -> LaneServers:
    """The servers that the configuration asks for: the Unix socket always, RDMA where the lane's carrier is that.

    Carrier auto: RDMA where this machine has it; else `without(reason)` is told.

    Raises:
        LaneError: RDMA is asked for on a machine without what it needs.
    """
    servers: list[LaneServer] = [build_worker.shm_server(socket, card, options, readable)]
    if options.carrier in ("rdma", "auto") and options.rdma is not None:
        try:
            if options.carrier == "auto":
                build_worker.require_rdma()
            servers.append(build_worker.rdma_server(options.rdma, card, options, readable, engine))
        except LaneError as error:
            if options.carrier == "rdma":
                raise
            without(str(error))
    return LaneServers(servers)
