"""The HTTP wire: the protocol's paths under /v2, with the binary tensor extension.

Bounds: a body of at most `max_message_bytes` (413), read only once there is room for the request (429).
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from pipelines.errors import FramegateError
from pipelines.worker.serve import rest_form
from pipelines.worker.serve.options import RestListenOptions, ServeOptions, ServeTlsOptions
from pipelines.worker.serve.regions import RegionStatus
from pipelines.worker.serve.repository import ModelState
from pipelines.worker.serve.service import SERVER, Service, check_no_parameters, check_token
from pipelines.worker.serve.status import Code, RequestError

STOP_GRACE_S = 2.0
_OPEN_TO_ALL = ("/v2/health/live", "/v2/health/ready")
_LONG_JSON = 64 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RestServer:
    """One listening HTTP server. Event loop only."""

    name = "rest"

    def __init__(self, service: Service, options: ServeOptions, listen: RestListenOptions) -> None:
        self._service, self._options, self._listen = service, options, listen
        self._runner: web.AppRunner | None = None
        self.port: int | None = None
        """Where it listens; None while it does not."""

    async def start(self) -> None:
        """Listen.

        Raises:
            FramegateError: the port is taken, or a file of the certificate cannot be used.
        """
        app = web.Application(client_max_size=self._options.max_message_bytes, middlewares=[self._guard])
        app.add_routes(self._routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_GRACE_S, handler_cancellation=True)
        await runner.setup()
        try:
            context = _context(self._listen.tls) if self._listen.tls else None
            site = web.TCPSite(runner, self._listen.host, self._listen.port, ssl_context=context)
            await site.start()
        except (OSError, FramegateError) as error:
            await runner.cleanup()
            raise FramegateError(f"cannot listen on {self._listen.target}: {error}") from error
        self._runner, self.port = runner, runner.addresses[0][1]

    async def stop(self) -> None:
        """Take no more requests, and give those at work a moment."""
        if self._runner is not None:
            self.port = None
            await self._runner.cleanup()

    def _routes(self) -> list[web.RouteDef]:
        model = "/v2/models/{model}"
        routes = [
            web.get("/v2", self._server_metadata),
            web.get("/v2/health/live", self._live),
            web.get("/v2/health/ready", self._ready),
            web.post("/v2/repository/index", self._index),
            web.post("/v2/repository/models/{model}/load", self._load),
            web.post("/v2/repository/models/{model}/unload", self._unload),
            web.get("/v2/systemsharedmemory/status", self._region_status),
            web.get("/v2/systemsharedmemory/region/{region}/status", self._region_status),
            web.post("/v2/systemsharedmemory/region/{region}/register", self._region_register),
            web.post("/v2/systemsharedmemory/region/{region}/unregister", self._region_unregister),
            web.post("/v2/systemsharedmemory/unregister", self._region_unregister),
        ]
        for path in (model, model + "/versions/{version}"):
            routes += [
                web.get(path, self._model_metadata),
                web.get(path + "/config", self._model_config),
                web.get(path + "/ready", self._model_ready),
                web.post(path + "/infer", self._infer),
            ]
        return routes

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The token, and every refusal in the protocol's form."""
        try:
            if request.path not in _OPEN_TO_ALL:
                check_token(self._listen.token, request.headers.get("Authorization", ""))
            return await handler(request)
        except RequestError as error:
            headers = {"WWW-Authenticate": "Bearer"} if error.code is Code.UNAUTHENTICATED else None
            return web.json_response({"error": str(error)}, status=error.code.http, headers=headers)
        except web.HTTPException as error:  # no such path, a wrong method, a body that is too long
            return web.json_response({"error": error.reason}, status=error.status, headers=_kept(error))

    # --- health and metadata ---------------------------------------------------------------------------------------

    async def _live(self, request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, request: web.Request) -> web.Response:
        ready = self._service.ready
        return web.json_response({"ready": ready}, status=200 if ready else Code.UNAVAILABLE.http)

    async def _model_ready(self, request: web.Request) -> web.Response:
        name, version = _model(request)
        ready = self._service.repository.is_ready(name, version)
        return web.json_response({"name": name, "ready": ready}, status=200 if ready else Code.UNAVAILABLE.http)

    async def _server_metadata(self, request: web.Request) -> web.Response:
        service = self._service
        return web.json_response({"name": SERVER, "version": service.version, "extensions": service.extensions})

    async def _model_metadata(self, request: web.Request) -> web.Response:
        name, version = _model(request)
        return web.json_response(rest_form.metadata(name, self._service.card(name, version)[0]))

    async def _model_config(self, request: web.Request) -> web.Response:
        name, version = _model(request)
        return web.json_response(rest_form.config(name, *self._service.card(name, version)))

    # --- inference -------------------------------------------------------------------------------------------------

    async def _infer(self, request: web.Request) -> web.Response:
        with self._service.room():
            now_ns = time.monotonic_ns()
            json_bytes = _json_bytes(request)
            body = await request.read()
            arguments = (*_model(request), body, json_bytes, now_ns, request.remote or "")
            if (len(body) if json_bytes is None else json_bytes) > _LONG_JSON:
                # Long JSON is read beside the loop, where the lanes live.
                parsed = await asyncio.to_thread(rest_form.parse, *arguments)
            else:
                parsed = rest_form.parse(*arguments)
            answer, head_bytes = rest_form.respond(await self._service.infer(parsed.request), parsed.binary)
        if head_bytes is None:
            return web.Response(body=answer, content_type="application/json")
        headers = {rest_form.LENGTH_HEADER: str(head_bytes)}
        return web.Response(body=answer, content_type="application/octet-stream", headers=headers)

    # --- repository ------------------------------------------------------------------------------------------------

    async def _index(self, request: web.Request) -> web.Response:
        only_ready = bool((await _body(request)).get("ready", False))
        entries = [e for e in self._service.repository.index() if not only_ready or e.state is ModelState.READY]
        return web.json_response(
            [{"name": e.name, "version": e.version, "state": e.state.value, "reason": e.reason} for e in entries]
        )

    async def _load(self, request: web.Request) -> web.Response:
        check_no_parameters(tuple((await _body(request)).get("parameters", {})))
        await self._service.repository.load(request.match_info["model"])
        return web.json_response({})

    async def _unload(self, request: web.Request) -> web.Response:
        check_no_parameters(tuple((await _body(request)).get("parameters", {})))
        await self._service.repository.unload(request.match_info["model"])
        return web.json_response({})

    # --- system shared memory --------------------------------------------------------------------------------------

    async def _region_status(self, request: web.Request) -> web.Response:
        regions = self._service.regions.status(request.match_info.get("region", ""))
        return web.json_response(
            [{"name": r.name, "key": r.key, "offset": r.offset, "byte_size": r.byte_size} for r in regions]
        )

    async def _region_register(self, request: web.Request) -> web.Response:
        regions, body = self._service.regions, await _body(request)
        offset, size = body.get("offset", 0), body.get("byte_size", 0)
        if not isinstance(offset, int) or not isinstance(size, int):
            raise RequestError(Code.INVALID_ARGUMENT, "offset and byte_size are whole numbers")
        regions.register(RegionStatus(request.match_info["region"], str(body.get("key", "")), offset, size))
        return web.json_response({})

    async def _region_unregister(self, request: web.Request) -> web.Response:
        self._service.regions.unregister(request.match_info.get("region", ""))
        return web.json_response({})


def _model(request: web.Request) -> tuple[str, str]:
    return request.match_info["model"], request.match_info.get("version", "")


def _json_bytes(request: web.Request) -> int | None:
    """What the binary extension's header says. Raises RequestError."""
    text = request.headers.get(rest_form.LENGTH_HEADER)
    if text is None:
        return None
    if not text.isdecimal():
        raise RequestError(Code.INVALID_ARGUMENT, f"{rest_form.LENGTH_HEADER} is {text!r}, not a number")
    return int(text)


async def _body(request: web.Request) -> Mapping[str, Any]:
    """A small JSON object; nothing at all is an empty one."""
    text = await request.read()
    try:
        value = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise RequestError(Code.INVALID_ARGUMENT, f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RequestError(Code.INVALID_ARGUMENT, "the body is not a JSON object")
    return value


def _kept(error: web.HTTPException) -> Mapping[str, str]:
    return {key: value for key, value in error.headers.items() if key == "Allow"}


def _context(tls: ServeTlsOptions) -> ssl.SSLContext:
    """Read the files. Blocks on the disk for a moment."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    reading = tls.cert_file
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file)
        if tls.client_ca_file is not None:
            reading = tls.client_ca_file
            context.load_verify_locations(tls.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # ssl.SSLError is one
        raise FramegateError(f"TLS file {reading}: {error.strerror or error}") from error
    return context
