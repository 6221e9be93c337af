"""The DPU process: everything in it that has a lifetime, in one exit stack and one task group.

Start: sinks, worker (if it is ours), lane, HTTP; then, when a worker has attached or `ATTACH_S` have passed, cameras.
Stop, first signal: cameras end, answers are awaited, episodes closed, sinks drained, each within its share of
`drain_s`; then the worker. Second signal: nothing is awaited; everything is settled all the same.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import IO, Any

from app.cameras import Cameras, Changes
from app.config.camera import CameraConfig
from app.config.deployment import Config
from app.control.http import Verdict, serve
from app.degraded import Degraded
from app.fleet import Fleet
from app.measure import Measure
from app.observe.notify import Notifier
from app.observe.snapshot import ObservedSnapshot
from pipelines import build
from pipelines.accounting import Ledger
from pipelines.contracts import Sink
from pipelines.egress import Egress
from pipelines.errors import FramegateError
from pipelines.inflight import InFlight
from pipelines.standby import Standby
from pipelines.values import CameraHealth

ATTACH_S = 30.0
"""Cameras wait this long for a worker at start; then they run without one (standby.py)."""
ATTACH_WITH_DETECTOR_S = 1.0
"""The same where this process has a detector of its own: what moves is seen at once."""
TICK_S = 0.2
AUDIT_NS = 5_000_000_000


class Dpu:
    """One DPU process. Make it, then `await run()` once."""

    def __init__(
        self,
        config: Config,
        measure: Measure,
        *,
        reload: Callable[[], Config] | None = None,
        extra_sinks: Sequence[Sink] = (),
        stop_when_ended: bool = False,
        notifier: Notifier | None = None,
        worker_log: IO[str] | None = None,
    ) -> None:
        """
        Args:
            config: A checked deployment.
            measure: Keeps what is observed: log, latencies, worker state.
            reload: Reads the deployment again (SIGHUP); raises ConfigError and keeps the old one.
            extra_sinks: Sinks beside the configured ones: the demo's table, a test's memory.
            stop_when_ended: Stop by itself when every camera has ended: files that are not looped.
            notifier: Tells the service manager; None: there is none.
            worker_log: Where a spawned worker logs; None: to stderr, as this process does.
        """
        self.config = config
        self.measure = measure
        self._reload = reload
        self._stop_when_ended = stop_when_ended
        self._notifier = notifier or Notifier()
        self.inflight = InFlight()
        self.audit = build.audit(config.audit, config.audit.estimate, config.audit.control)
        self.sinks: tuple[Sink, ...] = (*build.sinks(config.sinks, measure.acked), *extra_sinks)
        self.standby = Standby(config.degraded, self.inflight)
        self.egress = Egress(self.inflight, self.sinks, measure.result, measure.alert, measure.served, self.standby)
        self.makers = build.CameraMaker(
            self.inflight, self._told, config.stagger, config.budget, self.audit, config.model.presence, self.standby
        )
        self._degraded = Degraded(config.degraded, self.standby, self.egress, measure)
        self.cameras: Cameras[CameraConfig] = Cameras(self._make_camera, self.egress, measure.camera_died)
        self._applying = asyncio.Lock()
        self._audit_due_ns = 0
        self._stopping = asyncio.Event()
        self._forced = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.http_port: int | None = None
        self.fleet = Fleet(
            config,
            self.egress,
            measure,
            hopeful=self._started.is_set,
            replacing=lambda: not self._stopping.is_set(),
            worker_log=worker_log,
        )

    # --- steering --------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """First call: drain and end. Second call: end now."""
        if self._stopping.is_set():
            self._forced.set()
        self._stopping.set()

    def live(self) -> Verdict:
        return Verdict(True)

    def ready(self) -> Verdict:
        reasons = []
        if not self._started.is_set():
            reasons.append("starting: waiting for a worker")
        if not self.measure.worker_attached.is_set():
            reasons.append("no worker is attached")
        if self._stopping.is_set():
            reasons.append("stopping")
        return Verdict(not reasons, tuple(reasons))

    def started(self) -> Verdict:
        return Verdict(self._started.is_set(), () if self._started.is_set() else ("waiting for a worker",))

    def observe(self) -> ObservedSnapshot:
        return self.measure.snapshot(self)

    def wake(self, camera: str, seconds: float) -> bool:
        """Decode a camera for so long, whatever its packets say: an external event. False: no such camera."""
        pump = self.cameras.pumps.get(camera)
        if pump is None:
            return False
        pump.wake(time.monotonic_ns() + int(seconds * 1e9))
        return True

    async def reload(self) -> None:
        """Read the configuration again; only cameras that changed restart. A bad file changes nothing."""
        if self._reload is None:
            return
        async with self._applying:  # so that of two reloads the later one's file counts
            self._notifier.reloading()
            try:
                fresh = await asyncio.to_thread(self._reload)
                changes = await self.cameras.apply(_enabled(fresh))
            except FramegateError as error:
                self.measure.log.error("reload.refused", problems=str(error).splitlines())
                self._notifier.ready("the new configuration was refused")
                return
            self._reloaded(fresh, changes)

    def _reloaded(self, fresh: Config, changes: Changes) -> None:
        fixed = [name for name in Config.model_fields if name not in ("cameras", "defaults", "camera_files")]
        needs_restart = [name for name in fixed if getattr(fresh, name) != getattr(self.config, name)]
        self.config = self.config.model_copy(update={"cameras": fresh.cameras, "defaults": fresh.defaults})
        self.measure.log.info(
            "reload.done",
            started=changes.started,
            stopped=changes.stopped,
            replaced=changes.replaced,
            needs_restart=needs_restart,
        )
        self._notifier.ready(f"{len(self.cameras.pumps)} cameras")

    # --- the life of the process -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until stopped. Every packet is settled when this returns, however it returns."""
        self._loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            self._handle_signals(stack)
            if self.config.http.enabled:
                self.http_port = await stack.enter_async_context(serve(self.config.http, self))
            await self._degraded.open(stack)
            workers = self.fleet.services(stack)
            async with asyncio.TaskGroup() as group:
                services = self._services(group, workers)
                try:
                    await self._serve(group)
                finally:
                    await asyncio.shield(self._shut_down())
                    for task in services:
                        task.cancel()

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        wait_s = ATTACH_S if self.standby.lane is None else ATTACH_WITH_DETECTOR_S
        await self._first_of(self.measure.worker_attached.wait(), self._stopping.wait(), timeout_s=wait_s)
        if not self._stopping.is_set():
            async with self._applying:
                await self.cameras.apply(_enabled(self.config))
            self._started.set()
            self._notifier.ready(f"{len(self.cameras.pumps)} cameras")
            self.measure.log.info("ready", cameras=len(self.cameras.pumps))
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), TICK_S)
            self._tick()

    def _tick(self) -> None:
        now_ns = time.monotonic_ns()
        self.cameras.tick(now_ns)
        self.egress.tick(now_ns)
        self.makers.share.rebalance(now_ns)
        self._heed_audit(now_ns)
        if self._stop_when_ended and self.cameras.ended and not len(self.inflight):
            self._stopping.set()

    def _heed_audit(self, now_ns: int) -> None:
        """Every few seconds: judge what was audited, and move thresholds."""
        if self.audit is None or now_ns < self._audit_due_ns:
            return
        self._audit_due_ns = now_ns + AUDIT_NS
        for step in self.audit.tick(now_ns):
            self.measure.log.info("audit.step", camera=step.camera, gate=step.gate.value, reason=step.reason)
            if (pump := self.cameras.pumps.get(step.camera)) is not None:
                pump.tune(self.audit.settings(step.camera))

    def _services(
        self, group: asyncio.TaskGroup, workers: Mapping[str, Coroutine[Any, Any, None]]
    ) -> list[asyncio.Task[None]]:
        services: dict[str, Coroutine[Any, Any, None]] = {
            "egress": self.egress.run(),
            "degraded": self._degraded.run(),
            **workers,
            **{f"sink[{sink.name}]": sink.run() for sink in self.sinks},
            **self.measure.services(),
            "watchdog": self._notifier.watch(lambda: True),
        }
        return [group.create_task(service, name=name) for name, service in services.items()]

    async def _shut_down(self) -> None:
        """The first step of stopping, cut short by the second signal. Always settles every packet."""
        self._notifier.stopping()
        self.measure.stopping = True
        self.measure.log.info("stopping", in_flight=len(self.inflight))
        drain_s = self.config.drain_s
        await self.cameras.stop_pumps()
        await self._first_of(self._answered_all(), self._forced.wait(), timeout_s=drain_s / 2)
        await self.cameras.close()
        await self._first_of(self._drained_all(drain_s / 2), self._forced.wait(), timeout_s=drain_s / 2)
        self.measure.log.info("stopped", stuck=self.cameras.stuck)

    async def _answered_all(self) -> None:
        while len(self.inflight) and (self.inflight.writer is not None or self.standby.busy):
            await asyncio.sleep(0.005)

    async def _drained_all(self, deadline_s: float) -> None:
        await self.egress.drain()
        await asyncio.gather(*(sink.drain(deadline_s) for sink in self.sinks))

    async def _first_of(self, *waits: Coroutine[Any, Any, object], timeout_s: float) -> None:
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        _, waiting = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    # --- pieces ----------------------------------------------------------------------------------------------------

    def _make_camera(self, camera: str, options: CameraConfig, ledger: Ledger) -> build.BuiltCamera:
        return self.makers.make(camera, options, ledger)

    def _told(self, health: CameraHealth) -> None:
        """A pump's word, in the pump's thread."""
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop has closed: a pump that was set aside ends late
            self._loop.call_soon_threadsafe(self._heard, health)

    def _heard(self, health: CameraHealth) -> None:
        self.measure.camera(health)
        self.egress.health(health)

    def _handle_signals(self, stack: AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        handlers: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGINT: self.stop,
            signal.SIGTERM: self.stop,
            signal.SIGHUP: lambda: self._spawn(self.reload()),
        }
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                loop.add_signal_handler(number, handler)
                stack.callback(loop.remove_signal_handler, number)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside everything else; the set keeps it from being collected."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _enabled(config: Config) -> Mapping[str, CameraConfig]:
    return {camera: options for camera, options in config.cameras.items() if options.enabled}
