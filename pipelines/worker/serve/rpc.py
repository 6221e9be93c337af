"""The gRPC wire: `inference.GRPCInferenceService`, its health, model, repository and system shared memory calls.

Bounds: a message of at most `max_message_bytes` (gRPC refuses a longer one unread: RESOURCE_EXHAUSTED), and
`max_requests` + 32 calls at once. So requests hold at most their product in memory, beside the batcher's queue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from pipelines.errors import FramegateError
from pipelines.schema import open_inference_pb2 as pb
from pipelines.worker.serve import rpc_form
from pipelines.worker.serve.options import GrpcListenOptions, ServeOptions, ServeTlsOptions
from pipelines.worker.serve.regions import RegionStatus
from pipelines.worker.serve.repository import ModelState
from pipelines.worker.serve.service import SERVER, Service, check_no_parameters, check_token
from pipelines.worker.serve.status import RequestError

SERVICE = "inference.GRPCInferenceService"
STOP_GRACE_S = 2.0
_OPEN_TO_ALL = ("ServerLive", "ServerReady")
"""Probes need no token."""
_OTHER_CALLS = 32
_LONG_CONTENTS = 4096

Context = grpc.aio.ServicerContext[Any, Any]
Call = Callable[[Any, Context], Awaitable[Any]]


class RpcServer:
    """One listening gRPC server. Event loop only."""

    name = "grpc"

    def __init__(self, service: Service, options: ServeOptions, listen: GrpcListenOptions) -> None:
        self._service, self._options, self._listen = service, options, listen
        self._server: grpc.aio.Server | None = None
        self.port: int | None = None
        """Where it listens; None while it does not."""

    async def start(self) -> None:
        """Listen.

        Raises:
            FramegateError: the port is taken, or a file of the certificate cannot be used.
        """
        most = self._options.max_message_bytes
        server = grpc.aio.server(
            options=(
                ("grpc.so_reuseport", 0),  # or two processes would share the port without a word
                ("grpc.max_receive_message_length", most),
                ("grpc.max_send_message_length", -1),
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_timeout_ms", 10_000),
            ),
            maximum_concurrent_rpcs=self._options.max_requests + _OTHER_CALLS,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, self._handlers()),))
        try:
            if self._listen.tls is None:
                port = server.add_insecure_port(self._listen.target)
            else:
                port = server.add_secure_port(self._listen.target, _credentials(self._listen.tls))
        except RuntimeError as error:
            raise FramegateError(f"cannot listen on {self._listen.target}: {error}") from error
        await server.start()
        self._server, self.port = server, port

    async def stop(self) -> None:
        """Take no more calls, and give those at work a moment."""
        if self._server is not None:
            self.port = None
            await self._server.stop(STOP_GRACE_S)

    def _handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        calls: dict[str, Call] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelInfer": self._infer,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
            "SystemSharedMemoryStatus": self._region_status,
            "SystemSharedMemoryRegister": self._region_register,
            "SystemSharedMemoryUnregister": self._region_unregister,
        }
        return {name: self._handler(name, call) for name, call in calls.items()}

    def _handler(self, name: str, call: Call) -> grpc.RpcMethodHandler[Any, Any]:
        async def guarded(request: Any, context: Context) -> Any:
            try:
                if name not in _OPEN_TO_ALL:
                    check_token(self._listen.token, dict(context.invocation_metadata() or ()).get("authorization", ""))
                return await call(request, context)
            except RequestError as error:
                refusal = error
            return await context.abort(grpc.StatusCode[refusal.code.name], str(refusal))

        return grpc.unary_unary_rpc_method_handler(
            guarded,
            request_deserializer=getattr(pb, f"{name}Request").FromString,
            response_serializer=getattr(pb, f"{name}Response").SerializeToString,
        )

    # --- health and metadata ---------------------------------------------------------------------------------------

    async def _live(self, request: pb.ServerLiveRequest, context: Context) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def _ready(self, request: pb.ServerReadyRequest, context: Context) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._service.ready)

    async def _model_ready(self, request: pb.ModelReadyRequest, context: Context) -> pb.ModelReadyResponse:
        return pb.ModelReadyResponse(ready=self._service.repository.is_ready(request.name, request.version))

    async def _server_metadata(self, request: pb.ServerMetadataRequest, context: Context) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(
            name=SERVER, version=self._service.version, extensions=self._service.extensions
        )

    async def _model_metadata(self, request: pb.ModelMetadataRequest, context: Context) -> pb.ModelMetadataResponse:
        return rpc_form.metadata(request.name, self._service.card(request.name, request.version)[0])

    async def _model_config(self, request: pb.ModelConfigRequest, context: Context) -> pb.ModelConfigResponse:
        card, max_batch = self._service.card(request.name, request.version)
        return pb.ModelConfigResponse(config=rpc_form.config(request.name, card, max_batch))

    # --- inference -------------------------------------------------------------------------------------------------

    async def _infer(self, request: pb.ModelInferRequest, context: Context) -> pb.ModelInferResponse:
        with self._service.room():
            now_ns = time.monotonic_ns()
            left_s = context.time_remaining()
            deadline_ns = None if left_s is None else now_ns + int(left_s * 1e9)
            peer = context.peer()
            if request.ByteSize() > _LONG_CONTENTS and not request.raw_input_contents:
                # Numbers one by one: slow enough to be kept from the loop, where the lanes live.
                parsed = await asyncio.to_thread(rpc_form.parse, request, deadline_ns, now_ns, peer)
            else:
                parsed = rpc_form.parse(request, deadline_ns, now_ns, peer)
            return rpc_form.respond(await self._service.infer(parsed))

    # --- repository ------------------------------------------------------------------------------------------------

    async def _index(self, request: pb.RepositoryIndexRequest, context: Context) -> pb.RepositoryIndexResponse:
        kind = pb.RepositoryIndexResponse.ModelIndex
        entries = [e for e in self._service.repository.index() if not request.ready or e.state is ModelState.READY]
        return pb.RepositoryIndexResponse(
            models=[kind(name=e.name, version=e.version, state=e.state.value, reason=e.reason) for e in entries]
        )

    async def _load(self, request: pb.RepositoryModelLoadRequest, context: Context) -> pb.RepositoryModelLoadResponse:
        check_no_parameters(tuple(request.parameters))
        await self._service.repository.load(request.model_name)
        return pb.RepositoryModelLoadResponse()

    async def _unload(
        self, request: pb.RepositoryModelUnloadRequest, context: Context
    ) -> pb.RepositoryModelUnloadResponse:
        check_no_parameters(tuple(request.parameters))
        await self._service.repository.unload(request.model_name)
        return pb.RepositoryModelUnloadResponse()

    # --- system shared memory --------------------------------------------------------------------------------------

    async def _region_status(
        self, request: pb.SystemSharedMemoryStatusRequest, context: Context
    ) -> pb.SystemSharedMemoryStatusResponse:
        kind = pb.SystemSharedMemoryStatusResponse.RegionStatus
        regions = self._service.regions.status(request.name)
        return pb.SystemSharedMemoryStatusResponse(
            regions={r.name: kind(name=r.name, key=r.key, offset=r.offset, byte_size=r.byte_size) for r in regions}
        )

    async def _region_register(
        self, request: pb.SystemSharedMemoryRegisterRequest, context: Context
    ) -> pb.SystemSharedMemoryRegisterResponse:
        region = RegionStatus(request.name, request.key, request.offset, request.byte_size)
        self._service.regions.register(region)
        return pb.SystemSharedMemoryRegisterResponse()

    async def _region_unregister(
        self, request: pb.SystemSharedMemoryUnregisterRequest, context: Context
    ) -> pb.SystemSharedMemoryUnregisterResponse:
        self._service.regions.unregister(request.name)
        return pb.SystemSharedMemoryUnregisterResponse()


def _credentials(tls: ServeTlsOptions) -> grpc.ServerCredentials:
    """Read the files. Blocks on the disk for a moment."""
    try:
        pair = (tls.key_file.read_bytes(), tls.cert_file.read_bytes())
        client_ca = tls.client_ca_file.read_bytes() if tls.client_ca_file else None
    except OSError as error:
        raise FramegateError(f"TLS file {error.filename}: {error.strerror}") from error
    return grpc.ssl_server_credentials([pair], client_ca, require_client_auth=client_ca is not None)
