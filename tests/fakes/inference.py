"""A server of the Open Inference Protocol that does as it is told: Triton's ways, KServe's, and bad ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from pipelines.schema import open_inference_pb2 as pb

Answer = Callable[[Any], Awaitable[Any]]
Context = grpc.aio.ServicerContext[Any, Any]


class Refusal(Exception):
    """What an answer raises to end its call with a status."""

    def __init__(self, code: grpc.StatusCode, details: str = "") -> None:
        super().__init__(details)
        self.code = code


class StubServer:
    """Calls without an answer are UNIMPLEMENTED. `answers` may be changed at any time."""

    def __init__(self, config: pb.ModelConfig | None) -> None:
        self.answers: dict[str, Answer] = {"ServerReady": self._ready, "ModelReady": self._model_ready}
        self.requests: list[pb.ModelInferRequest] = []
        self.port = 0
        if config is not None:
            self.config = config
            self.answers["ModelConfig"] = self._config

    @asynccontextmanager
    async def running(self) -> AsyncIterator[StubServer]:
        names = ("ServerReady", "ModelReady", "ModelConfig", "ModelMetadata", "ModelInfer")
        handlers = {name: self._handler(name) for name in names}
        server = grpc.aio.server()
        service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers)
        server.add_generic_rpc_handlers((service,))
        self.port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield self
        finally:
            await server.stop(None)

    def _handler(self, name: str) -> grpc.RpcMethodHandler[Any, Any]:
        async def handle(request: Any, context: Context) -> Any:
            if isinstance(request, pb.ModelInferRequest):
                self.requests.append(request)
            try:
                return await self.answers.get(name, _unknown)(request)
            except Refusal as error:
                refusal = error
            return await context.abort(refusal.code, str(refusal))

        return grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=getattr(pb, f"{name}Request").FromString,
            response_serializer=getattr(pb, f"{name}Response").SerializeToString,
        )

    async def _ready(self, request: pb.ServerReadyRequest) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=True)

    async def _model_ready(self, request: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
        return pb.ModelReadyResponse(ready=True)

    async def _config(self, request: pb.ModelConfigRequest) -> pb.ModelConfigResponse:
        return pb.ModelConfigResponse(config=self.config)


async def _unknown(request: Any) -> Any:
    raise Refusal(grpc.StatusCode.UNIMPLEMENTED)
