"""The cameras of a DPU process: which pumps run, started, replaced and stopped as the configuration says.

Event loop only. A pump that does not end in time (a camera library that hangs) is set aside and reported; it can no
longer reach the ring or the sinks of a camera that has taken its name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipelines.accounting import Ledger, LedgerSnapshot
from pipelines.build import BuiltCamera
from pipelines.egress import Egress
from pipelines.ingest import Pump
from pipelines.values import CameraState

Options = TypeVar("Options")

STOP_S = 2.0
"""A pump that is asked to stop ends within this, even while its camera hangs."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What an `apply` did, by camera id."""

    started: tuple[str, ...]
    stopped: tuple[str, ...]
    replaced: tuple[str, ...]


class Cameras(Generic[Options]):
    """Running cameras by id. `Options` is whatever the configuration holds for one; equal options mean no change."""

    def __init__(self, make: Callable[[str, Options, Ledger], BuiltCamera], egress: Egress) -> None:
        self._make = make
        self._egress = egress
        self._options: dict[str, Options] = {}
        self._built: dict[str, BuiltCamera] = {}
        # One small ledger per camera id ever configured: an account goes on when its camera is replaced or comes back.
        self._ledgers: dict[str, Ledger] = {}
        self._stuck: list[Pump] = []
        self._changing = asyncio.Lock()
        self._closed = False

    @property
    def pumps(self) -> Mapping[str, Pump]:
        return {camera: built.pump for camera, built in self._built.items()}

    @property
    def stuck(self) -> tuple[str, ...]:
        """Cameras whose threads were asked to end and have not."""
        self._stuck = [pump for pump in self._stuck if pump.alive]
        return tuple(pump.camera for pump in self._stuck)

    def ledgers(self) -> dict[str, LedgerSnapshot]:
        """Accounts of all cameras, removed ones too."""
        return {camera: ledger.snapshot() for camera, ledger in self._ledgers.items()}

    @property
    def ended(self) -> bool:
        """Every camera has ended by itself: files that were read to their end."""
        return all(built.pump.state is CameraState.ENDED for built in self._built.values())

    async def apply(self, wanted: Mapping[str, Options]) -> Changes:
        """Make the running cameras those. Only cameras that differ are touched; after `close` none are.

        Raises:
            ModelError: a camera cannot be made. Nothing was changed.
        """
        async with self._changing:
            if self._closed:
                return Changes((), (), ())
            old = set(self._options)
            replaced = {c for c in old & set(wanted) if self._options[c] != wanted[c]}
            stopped = old - set(wanted)
            started = set(wanted) - old
            built = {c: self._build(c, wanted[c]) for c in wanted if c in started | replaced}
            await self._stop(replaced | stopped)
            for camera, parts in built.items():
                self._start(camera, wanted[camera], parts)
            return Changes(tuple(sorted(started)), tuple(sorted(stopped)), tuple(sorted(replaced)))

    async def stop_pumps(self) -> None:
        """End all pumps; tasks in flight may still be answered."""
        async with self._changing:
            await self._end_pumps([built.pump for built in self._built.values()])

    async def close(self) -> None:
        """End all pumps that still run and settle everything. Accounts and last states stay readable."""
        async with self._changing:
            self._closed = True
            await self._end_pumps([built.pump for built in self._built.values()])
            for camera in self._built:
                self._egress.remove(camera, forget=False)

    def tick(self, now_ns: int) -> None:
        for built in self._built.values():
            built.pump.tick(now_ns)

    def _build(self, camera: str, options: Options) -> BuiltCamera:
        return self._make(camera, options, self._ledgers.setdefault(camera, Ledger()))

    def _start(self, camera: str, options: Options, built: BuiltCamera) -> None:
        self._options[camera] = options
        self._built[camera] = built
        self._egress.add(camera, built.out)
        built.pump.start()

    async def _stop(self, cameras: Iterable[str]) -> None:
        cameras = sorted(cameras)
        await self._end_pumps([self._built[camera].pump for camera in cameras])
        for camera in cameras:
            del self._built[camera], self._options[camera]
            self._egress.remove(camera)

    async def _end_pumps(self, pumps: list[Pump]) -> None:
        pumps = [pump for pump in pumps if pump.alive and pump not in self._stuck]
        for pump in pumps:
            pump.stop()
        if pumps:
            stuck = await asyncio.to_thread(_join, pumps)
            for pump in stuck:
                pump.disown()
            self._stuck += stuck


def _join(pumps: list[Pump]) -> list[Pump]:
    """Wait for pumps that were all told to stop; those that did not."""
    deadline = time.monotonic() + STOP_S
    return [pump for pump in pumps if not pump.join(deadline - time.monotonic())]
