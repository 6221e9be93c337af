"""Alerts to whoever subscribes: a gRPC server with one streaming call (configs/schema/framegate.proto).

Nobody has to be there: with no subscriber an alert is only remembered, for those who ask for the past. Alerts that must
not be lost go to Kafka; gRPC has no acknowledgement, and `acked` here means that the transport took the record.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Callable

import grpc

from pipelines.contracts import SinkStatistics
from pipelines.errors import SinkError
from pipelines.schema import framegate_pb2 as pb
from pipelines.sink.encoding import Encoder
from pipelines.sink.grpc_feed import Entry, Feed, Subscription, Wants
from pipelines.sink.grpc_options import GrpcOptions, ServerTlsOptions
from pipelines.values import Alert, CameraHealth, FrameResult

_SERVICE = pb.DESCRIPTOR.services_by_name["Alerts"].full_name
_CHANNEL_OPTIONS = (
    ("grpc.so_reuseport", 0),  # or two processes would share the port without a word
    ("grpc.keepalive_time_ms", 30_000),  # a subscriber whose machine vanished is noticed
    ("grpc.keepalive_timeout_ms", 10_000),
)
_STOP_GRACE_S = 1.0

Context = grpc.aio.ServicerContext[pb.SubscribeRequest, bytes]


class GrpcSink:
    """Implements contracts.Sink. Event loop only. Never calls back with an acknowledgement: there is none."""

    def __init__(self, options: GrpcOptions, encoder: Encoder, name: str = "grpc") -> None:
        """`encoder` must make the .proto's messages: event/protobuf.py."""
        self.name = name
        self._options = options
        self._encoder = encoder
        self._feed = Feed(
            options.max_subscribers, options.queue_records, options.remember_records, options.remember_bytes
        )
        self._changed = asyncio.Event()
        self._stopping = False
        self._port: int | None = None
        self._last_error = ""

    @property
    def port(self) -> int | None:
        """Where it listens; None while it does not."""
        return self._port

    def alert(self, alert: Alert) -> None:
        self._feed.offer(Entry(alert, self._encoder.alert(alert)))

    def result(self, result: FrameResult) -> None:
        """Not streamed."""

    def health(self, health: CameraHealth) -> None:
        """Not streamed."""

    def statistics(self) -> SinkStatistics:
        """In deliveries: one alert to one subscriber. `failed`: the subscriber left before it took them."""
        feed = self._feed
        return SinkStatistics(
            offered=feed.offered,
            acked=feed.acked,
            dropped=feed.dropped,
            failed=feed.failed,
            waiting=feed.waiting,
            connected=self._port is not None,
            last_error=self._last_error,
        )

    async def run(self) -> None:
        """Listen until cancelled; tries again for ever when the port is taken or a certificate cannot be read."""
        while True:
            server = _server(self._subscribe)
            try:
                port = _listen(server, self._options)
            except SinkError as error:
                self._last_error = str(error)
                await asyncio.sleep(self._options.retry_s)
                continue
            await self._serve(server, port)

    async def drain(self, deadline_s: float) -> None:
        """Wait until every subscriber was sent what waits for it, at most this long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                while self._feed.waiting:
                    self._changed.clear()
                    await self._changed.wait()

    async def _serve(self, server: grpc.aio.Server, port: int) -> None:
        self._stopping = False
        try:
            await server.start()
            self._port, self._last_error = port, ""
            await server.wait_for_termination()
        finally:
            self._port = None
            self._stopping = True
            self._tell()
            await server.stop(_STOP_GRACE_S)

    async def _subscribe(self, request: pb.SubscribeRequest, context: Context) -> AsyncIterator[bytes]:
        """The call itself: one per subscriber, cancelled by gRPC when it hangs up."""
        if not self._allowed(context):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "send the token as metadata `authorization: Bearer …`")
        subscription = self._feed.subscribe(_wants(request), context.peer(), self._tell)
        if subscription is None:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many subscribers")
        try:
            # Without this a client learns that it is subscribed only from its first alert.
            await context.send_initial_metadata(())
            while (entry := await self._next(subscription)) is not None:
                yield entry.data
                subscription.sent()
        finally:
            self._feed.leave(subscription)
            self._tell()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "framegate is stopping: subscribe again later")

    async def _next(self, subscription: Subscription) -> Entry | None:
        """The subscriber's next alert; waits for one. None when the server stops."""
        while not self._stopping:
            if (entry := subscription.take()) is not None:
                return entry
            self._changed.clear()
            await self._changed.wait()
        return None

    def _tell(self) -> None:
        """Wake all who wait: few, and cheap to look."""
        self._changed.set()

    def _allowed(self, context: Context) -> bool:
        if self._options.token is None:
            return True
        given = dict(context.invocation_metadata() or ()).get("authorization", "")
        wanted = f"Bearer {self._options.token.get_secret_value()}"
        return hmac.compare_digest(given if isinstance(given, bytes) else given.encode(), wanted.encode())


def _server(subscribe: Callable[[pb.SubscribeRequest, Context], AsyncIterator[bytes]]) -> grpc.aio.Server:
    """A server with our one call, not listening yet. Responses are bytes already."""
    handler = grpc.unary_stream_rpc_method_handler(
        subscribe, request_deserializer=pb.SubscribeRequest.FromString, response_serializer=None
    )
    server = grpc.aio.server(options=_CHANNEL_OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Subscribe": handler}),))
    return server


def _listen(server: grpc.aio.Server, options: GrpcOptions) -> int:
    """Bind, and return the port.

    Raises:
        SinkError: the port is taken, or a file of the certificate cannot be used.
    """
    try:
        if options.tls is None:
            return server.add_insecure_port(options.target)
        return server.add_secure_port(options.target, _credentials(options.tls))
    except RuntimeError as error:
        raise SinkError(f"cannot listen on {options.target}: {error}") from error


def _credentials(tls: ServerTlsOptions) -> grpc.ServerCredentials:
    """Read the files. Blocks on the disk for a moment."""
    try:
        pair = (tls.key_file.read_bytes(), tls.cert_file.read_bytes())
        client_ca = tls.client_ca_file.read_bytes() if tls.client_ca_file else None
    except OSError as error:
        raise SinkError(f"TLS file {error.filename}: {error.strerror}") from error
    return grpc.ssl_server_credentials([pair], client_ca, require_client_auth=client_ca is not None)


def _wants(request: pb.SubscribeRequest) -> Wants:
    return Wants(frozenset(request.cameras), frozenset(request.classes), request.since_ms or None)


__all__ = ["GrpcOptions", "GrpcSink", "ServerTlsOptions"]
