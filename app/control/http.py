"""Probes, metrics, report, states and wake-ups over HTTP, in the process's own event loop.

| path       | answers |
|------------|---------|
| /live      | 200 while the process should be left alone, else 503 |
| /ready     | 200 while it does its work, else 503, with the reasons |
| /startup   | 200 once it has started, else 503 |
| /metrics   | Prometheus' text form |
| /report    | the report so far, JSON |
| /workers   | each worker's state, its lane and the way to it, JSON |
| /cameras   | each camera's state, JSON; /cameras/ID: one |
| POST /cameras/ID/wake?seconds=10 | decode it for so long, whatever its packets say: an external event |

Beyond loopback a token is required, for everything but the bare status of the probes (an orchestrator has none).
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from app.control.options import HttpOptions
from app.observe.metrics import CONTENT_TYPE, render
from app.observe.report import build_report, camera_state, worker_state
from app.observe.snapshot import ObservedSnapshot
from pipelines.errors import ConfigError

_PROBES = ("/live", "/ready", "/startup")
_CLOSE_S = 1.0
_WAKE_S = 10.0
_LONGEST_WAKE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A probe's answer."""

    ok: bool
    reasons: tuple[str, ...] = ()
    """Why not, for people; URLs redacted."""


class ControlTarget(Protocol):
    """What the server asks the application. In the event loop; must not block."""

    def live(self) -> Verdict:
        """Should the process be left alone? False only if a restart would help."""

    def ready(self) -> Verdict:
        """Does it do its work now: cameras pumped, a worker attached, not draining?"""

    def started(self) -> Verdict:
        """Is start-up over?"""

    def observe(self) -> ObservedSnapshot: ...

    def wake(self, camera: str, seconds: float) -> bool:
        """An external event: decode this camera for so long. False: no such camera."""


@asynccontextmanager
async def serve(options: HttpOptions, target: ControlTarget) -> AsyncIterator[int]:
    """Serve while the context is open; gives the port that was bound.

    Raises:
        ConfigError: the address cannot be bound, or has no token though others can reach it.
    """
    if not options.loopback and options.token is None:
        raise ConfigError("http.token is required, as http.host is not loopback: set one, or listen on 127.0.0.1")
    runner = web.AppRunner(application(options, target), access_log=None, shutdown_timeout=_CLOSE_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, options.host, options.port)
        try:
            await site.start()
        except OSError as error:
            where = f"{options.host}:{options.port}"
            raise ConfigError(f"http: cannot listen on {where} ({error.strerror}): choose another port") from error
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def application(options: HttpOptions, target: ControlTarget) -> web.Application:
    """The routes, for `serve` and for tests."""
    door = _Door(options)
    app = web.Application(middlewares=[_guard(door)])
    views = _Views(target, door)
    app.add_routes(
        [
            web.get("/live", views.live),
            web.get("/ready", views.ready),
            web.get("/startup", views.startup),
            web.get("/metrics", views.metrics),
            web.get("/report", views.report),
            web.get("/workers", views.workers),
            web.get("/cameras", views.cameras),
            web.get("/cameras/{camera}", views.camera),
            web.post("/cameras/{camera}/wake", views.wake),
        ]
    )
    return app


class _Views:
    def __init__(self, target: ControlTarget, door: _Door) -> None:
        self._target = target
        self._door = door

    async def live(self, request: web.Request) -> web.Response:
        return self._probe(request, self._target.live())

    async def ready(self, request: web.Request) -> web.Response:
        return self._probe(request, self._target.ready())

    async def startup(self, request: web.Request) -> web.Response:
        return self._probe(request, self._target.started())

    async def metrics(self, request: web.Request) -> web.Response:
        """The snapshot is taken in the loop, so that it is consistent; formatting it must not hold the loop up."""
        body = await asyncio.to_thread(render, self._target.observe())
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def report(self, request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(build_report, self._target.observe()))

    async def workers(self, request: web.Request) -> web.Response:
        workers = self._target.observe().workers
        return web.json_response({"workers": {name: worker_state(worker) for name, worker in workers.items()}})

    async def cameras(self, request: web.Request) -> web.Response:
        cameras = self._target.observe().cameras
        return web.json_response({"cameras": {name: camera_state(camera) for name, camera in cameras.items()}})

    async def camera(self, request: web.Request) -> web.Response:
        observed = self._target.observe().cameras.get(request.match_info["camera"])
        if observed is None:
            return web.json_response({"error": "no such camera"}, status=404)
        return web.json_response(camera_state(observed))

    async def wake(self, request: web.Request) -> web.Response:
        try:
            seconds = float(request.query.get("seconds", _WAKE_S))
        except ValueError:
            seconds = 0.0
        if not 0 < seconds <= _LONGEST_WAKE_S:
            return web.json_response({"error": f"seconds must be above 0, at most {_LONGEST_WAKE_S:g}"}, status=400)
        if not self._target.wake(request.match_info["camera"], seconds):
            return web.json_response({"error": "no such camera"}, status=404)
        return web.json_response({"awake_s": seconds})

    def _probe(self, request: web.Request, verdict: Verdict) -> web.Response:
        """The status is for everybody; the reasons name cameras, and are not."""
        body: dict[str, object] = {"ok": verdict.ok}
        if self._door.admits(request):
            body["reasons"] = list(verdict.reasons)
        return web.json_response(body, status=200 if verdict.ok else 503)


class _Door:
    """Lets in who sent the token; without one configured, everybody."""

    def __init__(self, options: HttpOptions) -> None:
        self._token = options.token.get_secret_value().encode() if options.token else None

    def admits(self, request: web.Request) -> bool:
        sent = request.headers.get("Authorization", "").removeprefix("Bearer ").encode("utf-8", "surrogateescape")
        return self._token is None or hmac.compare_digest(sent, self._token)


def _guard(door: _Door) -> Middleware:
    """Probes are for everybody."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in _PROBES or door.admits(request):
            return await handler(request)
        return web.json_response(
            {"error": "send the token as `Authorization: Bearer TOKEN`"},
            status=401,
            headers={"WWW-Authenticate": "Bearer"},
        )

    return guard
