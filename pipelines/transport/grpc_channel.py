"""The few calls that a lane makes, over one fresh connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from pipelines.card import METADATA_KEY
from pipelines.errors import LaneError
from pipelines.schema import open_inference_pb2 as pb
from pipelines.transport import grpc_form
from pipelines.transport.grpc_options import GrpcLaneOptions, GrpcTlsOptions
from pipelines.values import ModelCard

Call = grpc.aio.UnaryUnaryMultiCallable[Any, Any]

_SERVICE = "/inference.GRPCInferenceService/"
_CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # a new attach is a new connection, without the old one's back-off
    ("grpc.enable_retries", 0),  # a task that failed is the pipe's to decide about
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", 1024 * 1024),  # answers are small
    ("grpc.keepalive_time_ms", 30_000),
)


class InferenceChannel:
    """One connection to one model of one server. Event loop only; `close` when done."""

    def __init__(self, options: GrpcLaneOptions) -> None:
        """
        Raises:
            LaneError: a TLS file cannot be read.
        """
        self._options = options
        self._channel = _open(options)
        token = options.token
        self._metadata = () if token is None else (("authorization", f"Bearer {token.get_secret_value()}"),)
        self._infer = self._call("ModelInfer", None)  # requests are bytes already
        self._ready = self._call("ServerReady", pb.ServerReadyRequest.SerializeToString)
        self._model_ready = self._call("ModelReady", pb.ModelReadyRequest.SerializeToString)
        self._config = self._call("ModelConfig", pb.ModelConfigRequest.SerializeToString)
        self._model_metadata = self._call("ModelMetadata", pb.ModelMetadataRequest.SerializeToString)

    async def ready(self, timeout_s: float) -> bool:
        """The server takes work. Raises grpc.aio.AioRpcError."""
        return bool((await self._ask(self._ready, pb.ServerReadyRequest(), timeout_s)).ready)

    async def card(self, timeout_s: float) -> ModelCard:
        """The model's card: from Triton's configuration, or where that call is unknown from KServe's properties.

        Raises:
            LaneError: the model is not ready, or not one that a lane can use. grpc.aio.AioRpcError: no server there.
        """
        model, version = self._options.model, self._options.version
        is_ready = pb.ModelReadyRequest(name=model, version=version)
        if not (await self._ask(self._model_ready, is_ready, timeout_s)).ready:
            raise LaneError(f"model {model} is not ready on {self._options.address}")
        try:
            configured = await self._ask(self._config, pb.ModelConfigRequest(name=model, version=version), timeout_s)
            return grpc_form.card_of_config(configured.config)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
        described = pb.ModelMetadataRequest(name=model, version=version)
        properties = (await self._ask(self._model_metadata, described, timeout_s)).properties
        return grpc_form.card_of_text(properties.get(METADATA_KEY, ""), model)

    async def infer(self, request: bytes, timeout_s: float) -> pb.ModelInferResponse:
        """One task. Raises grpc.aio.AioRpcError with what became of it."""
        response: pb.ModelInferResponse = await self._ask(self._infer, request, timeout_s)
        return response

    async def close(self) -> None:
        await self._channel.close(None)

    async def _ask(self, call: Call, request: object, timeout_s: float) -> Any:
        return await call(request, timeout=timeout_s, metadata=self._metadata)

    def _call(self, name: str, serializer: Callable[[Any], bytes] | None) -> Call:
        response = getattr(pb, f"{name}Response")
        return self._channel.unary_unary(
            _SERVICE + name, request_serializer=serializer, response_deserializer=response.FromString
        )


def _open(options: GrpcLaneOptions) -> grpc.aio.Channel:
    if options.tls is None:
        return grpc.aio.insecure_channel(options.address, _CHANNEL_OPTIONS)
    name = (("grpc.ssl_target_name_override", options.tls.server_name),) if options.tls.server_name else ()
    return grpc.aio.secure_channel(options.address, _credentials(options.tls), (*_CHANNEL_OPTIONS, *name))


def _credentials(tls: GrpcTlsOptions) -> grpc.ChannelCredentials:
    """Read the files. Blocks on the disk for a moment."""
    try:
        ca, key, cert = (file.read_bytes() if file else None for file in (tls.ca_file, tls.key_file, tls.cert_file))
    except OSError as error:
        raise LaneError(f"TLS file {error.filename}: {error.strerror}") from error
    return grpc.ssl_channel_credentials(ca, key, cert)
