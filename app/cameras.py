"""The cameras of a DPU process: which pumps run, started, replaced and stopped as the configuration says.

Event loop only. A pump that does not end in time (a camera library that hangs) is set aside and reported; it can no
longer reach the ring or the sinks of a camera that has taken its name. A pump that dies of a bug is reported, and its
camera made anew with a brake, from nothing that the bug may have spoilt.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.revival import Revival
from pipelines.accounting import Ledger, LedgerSnapshot
from pipelines.build import BuiltCamera
from pipelines.egress import Egress
from pipelines.errors import FramegateError
from pipelines.ingest import Pump
from pipelines.values import CameraState, Cause, Outcome

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

    def __init__(
        self,
        make: Callable[[str, Options, Ledger], BuiltCamera],
        egress: Egress,
        died: Callable[[str, BaseException, float], None] = lambda camera, error, wait_s: None,
    ) -> None:
        """
        Args:
            make: Assembles one camera.
            died: Told of a pump that died of a bug, and in how many seconds its camera is started anew.
        """
        self._make = make
        self._egress = egress
        self._died = died
        self._revivals: dict[str, Revival] = {}
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

    def deaths(self, camera: str) -> int:
        """How often its pump died of a bug."""
        return self._revivals[camera].deaths if camera in self._revivals else 0

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
            for camera, built in self._built.items():
                self._leave(camera, built, forget=False)

    def tick(self, now_ns: int) -> None:
        """A few times a second: break what hangs, start anew what died."""
        for built in self._built.values():
            built.pump.tick(now_ns)
        if not self._changing.locked():
            for camera in [camera for camera, built in self._built.items() if _is_dead(built.pump)]:
                self._revive(camera, now_ns)

    def _revive(self, camera: str, now_ns: int) -> None:
        """Its pump is dead: report it, and after a while make the camera anew."""
        revival, dead = self._revivals.setdefault(camera, Revival()), self._built[camera]
        if not revival.waiting:
            assert dead.pump.error is not None
            self._died(camera, dead.pump.error, revival.died(now_ns))
        elif revival.due(now_ns):
            try:
                built = self._build(camera, self._options[camera])
            except FramegateError as error:  # a model that was there at the start
                self._died(camera, error, revival.died(now_ns))
                return
            self._leave(camera, dead, forget=False)
            self._start(camera, self._options[camera], built)

    def _leave(self, camera: str, built: BuiltCamera, forget: bool = True) -> None:
        """Settle all that is left of a camera whose pump has ended."""
        self._egress.remove(camera, forget)
        if _is_dead(built.pump):
            self._ledgers[camera].settle_open(Outcome.FAILED, Cause.INTERNAL)

    def _build(self, camera: str, options: Options) -> BuiltCamera:
        return self._make(camera, options, self._ledgers.setdefault(camera, Ledger()))

    def _start(self, camera: str, options: Options, built: BuiltCamera) -> None:
        self._options[camera] = options
        self._built[camera] = built
        self._egress.add(camera, built.out)
        self._revivals.setdefault(camera, Revival()).began(time.monotonic_ns())
        built.pump.start()

    async def _stop(self, cameras: Iterable[str]) -> None:
        cameras = sorted(cameras)
        await self._end_pumps([self._built[camera].pump for camera in cameras])
        for camera in cameras:
            self._leave(camera, self._built.pop(camera))
            del self._options[camera]

    async def _end_pumps(self, pumps: list[Pump]) -> None:
        pumps = [pump for pump in pumps if pump.alive and pump not in self._stuck]
        for pump in pumps:
            pump.stop()
        if pumps:
            stuck = await asyncio.to_thread(_join, pumps)
            for pump in stuck:
                pump.disown()
            self._stuck += stuck


def _is_dead(pump: Pump) -> bool:
    """A bug ended it. What it had not settled, nobody will."""
    return pump.error is not None and not pump.alive


def _join(pumps: list[Pump]) -> list[Pump]:
    """Wait for pumps that were all told to stop; those that did not."""
    deadline = time.monotonic() + STOP_S
    return [pump for pump in pumps if not pump.join(deadline - time.monotonic())]
