"""Records to Kafka: idempotent, acks=all, key = camera id.

Each topic has its own backlog and its own producer, so a topic that is missing or not allowed holds up no other. Order
per camera is the order of `alert` calls: the key chooses the partition, and aiokafka keeps one request per partition in
flight. Records are handed over without waiting for the answer (pipelining); the futures settle the backlog.

A broker that is away: aiokafka holds a batch or two per partition and tries again for ever; everything else waits in
the backlog, whose bound says what is dropped. Nothing is written twice within one producer session. The session ends,
and a fresh producer sends what was not acknowledged, when a batch is refused: the sequence numbers after it no longer
fit (OutOfOrderSequenceNumber), and that producer can never recover. Then a record whose acknowledgement was lost may be
written twice: consumers know it by `event_id`, `type` and `time`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from pipelines.contracts import Acked, SinkStatistics
from pipelines.errors import SinkError
from pipelines.sink.backlog import Backlog, drain, total
from pipelines.sink.backoff import Backoff
from pipelines.sink.encoding import Encoder
from pipelines.sink.kafka_options import KafkaOptions as KafkaOptions
from pipelines.sink.outbox import Ticket
from pipelines.sink.tls import client_context
from pipelines.values import Alert, CameraHealth, FrameResult

_REFUSED = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTimestampError)
"""Errors of the record itself: sending it again cannot help. Everything else may heal, and is tried again."""

_CLOSE_S = 1.0
"""How long a producer may take to flush when it is closed."""


@dataclass(frozen=True, slots=True)
class _Record:
    key: bytes
    value: bytes
    alert: Alert | None = None


class _Topic:
    """One topic: its backlog, and the producer sessions that empty it."""

    def __init__(self, topic: str, options: KafkaOptions, acked: Acked | None, clock_ns: Callable[[], int]) -> None:
        self.topic = topic
        self._options = options
        self._acked = acked
        self._clock_ns = clock_ns
        self._backoff = Backoff(0.25, options.retry_max_s)
        self._started = False
        self._progress_ns = 0
        """When the broker last acknowledged, or when the first record after that was handed over."""
        self._error = ""
        self._singly = 0
        """So many records go out one by one: one of them is too large for the broker, and which is to be found out."""
        self.backlog: Backlog[_Record] = Backlog(options.buffer_records, options.buffer_bytes)

    @property
    def connected(self) -> bool:
        """A producer has started, and nothing has waited longer than a request may take."""
        if not self._started:
            return False
        late_ns = self._clock_ns() - self._progress_ns
        return self.backlog.taken == 0 or late_ns < self._options.request_timeout_s * 1e9

    @property
    def error(self) -> str:
        """Why nothing is delivered now, or the last reason why something was not; empty if never."""
        if self._started and not self.connected:
            return f"{self.topic}: no acknowledgement for {self._options.request_timeout_s:g} s"
        return f"{self.topic}: {self._error}" if self._error else ""

    def offer(self, camera_id: str, value: bytes, alert: Alert | None = None) -> None:
        self.backlog.offer(_Record(camera_id.encode(), value, alert), len(value))

    async def run(self) -> None:
        """One producer session after another, until cancelled."""
        while True:
            try:
                await self._session()
            except (KafkaError, SinkError, OSError, TimeoutError) as error:
                self._error = _sentence(error)
            finally:
                self._started = False
                self.backlog.rewind()
            await asyncio.sleep(self._backoff.next_s())

    async def _session(self) -> None:
        """From a fresh producer to its end. Leaves only by an error (or cancellation)."""
        producer = await _producer(self._options)
        broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            await producer.start()
            self._started = True
            feed = asyncio.create_task(self._feed(producer, broken), name=f"kafka-feed[{self.topic}]")
            try:
                await asyncio.gather(feed, broken)
            finally:
                feed.cancel()
                await asyncio.wait((feed,))
        finally:
            broken.cancel()
            await _close(producer)

    async def _feed(self, producer: AIOKafkaProducer, broken: asyncio.Future[None]) -> None:
        while True:
            ticket = await self.backlog.next()
            if self.backlog.taken == 1:
                self._progress_ns = self._clock_ns()
            try:
                sent = await self._hand_over(producer, ticket.item)
            except _REFUSED as error:  # found before anything was sent: the producer is sound
                self._refuse(ticket, error)
                continue
            alone = self._singly > 0
            sent.add_done_callback(partial(self._answered, ticket, broken, alone))
            if alone:
                self._singly -= 1
                await asyncio.wait((sent,))

    async def _hand_over(self, producer: AIOKafkaProducer, record: _Record) -> asyncio.Future[Any]:
        """Give one record to the producer; waits while its buffer is full, however long the broker is away."""
        while True:
            try:
                sent: asyncio.Future[Any] = await producer.send(self.topic, record.value, key=record.key)
                return sent
            except KafkaTimeoutError:  # not taken: the partition's batch is full and not on its way yet
                continue

    def _answered(
        self, ticket: Ticket[_Record], broken: asyncio.Future[None], alone: bool, sent: asyncio.Future[Any]
    ) -> None:
        """In the loop, once per record handed over. A batch falls as a whole, so only a lone record is refused."""
        if sent.cancelled():
            return
        error = sent.exception()
        if error is None:
            self._deliver(ticket)
            return
        if isinstance(error, _REFUSED) and alone:
            self._refuse(ticket, error)
        elif isinstance(error, _REFUSED):
            self._singly = self.backlog.taken
        if not broken.done():
            broken.set_exception(error)

    def _deliver(self, ticket: Ticket[_Record]) -> None:
        self._progress_ns = self._clock_ns()
        self._backoff.reset()
        alert = ticket.item.alert
        if self.backlog.acked(ticket) and alert is not None and self._acked is not None:
            self._acked(alert, self._progress_ns)

    def _refuse(self, ticket: Ticket[_Record], error: BaseException) -> None:
        self.backlog.failed(ticket)
        self._error = _sentence(error)


class KafkaSink:
    """Alerts, and optionally detections and health, to Kafka topics. Start it while the broker is down if need be."""

    def __init__(
        self,
        options: KafkaOptions,
        encoder: Encoder,
        acked: Acked | None = None,
        name: str = "kafka",
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self._encoder = encoder

        def topic(name: str | None) -> _Topic | None:
            return _Topic(name, options, acked, clock_ns) if name else None

        self._alerts = _Topic(options.topic, options, acked, clock_ns)
        self._detections = topic(options.detections_topic)
        self._health = topic(options.health_topic)
        self._topics = [part for part in (self._alerts, self._detections, self._health) if part is not None]

    def alert(self, alert: Alert) -> None:
        self._alerts.offer(alert.camera_id, self._encoder.alert(alert), alert)

    def result(self, result: FrameResult) -> None:
        if self._detections is not None:
            self._detections.offer(result.camera, self._encoder.result(result))

    def health(self, health: CameraHealth) -> None:
        if self._health is not None:
            self._health.offer(health.camera_id, self._encoder.health(health))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for part in self._topics:
                group.create_task(part.run(), name=f"{self.name}[{part.topic}]")

    async def drain(self, deadline_s: float) -> None:
        await drain([part.backlog for part in self._topics], deadline_s)

    def statistics(self) -> SinkStatistics:
        return total(
            [part.backlog.statistics() for part in self._topics],
            connected=all(part.connected for part in self._topics),
            last_error="; ".join(part.error for part in self._topics if part.error),
        )


async def _producer(options: KafkaOptions) -> AIOKafkaProducer:
    """A producer that has not started yet. Reads the TLS files.

    Raises:
        SinkError: a TLS file cannot be used.
    """
    context: ssl.SSLContext | None = None
    if options.tls is not None:
        context = await asyncio.to_thread(client_context, options.tls)
    protocol = ("SASL_" if options.sasl_mechanism else "") + ("SSL" if context else "PLAINTEXT")
    producer = AIOKafkaProducer(
        bootstrap_servers=list(options.servers),
        client_id=options.client_id,
        acks="all",
        enable_idempotence=options.idempotent,
        compression_type=None if options.compression == "none" else options.compression,
        linger_ms=options.linger_ms,
        max_request_size=options.max_record_bytes,
        request_timeout_ms=int(options.request_timeout_s * 1000),
        retry_backoff_ms=250,
        security_protocol=protocol,
        ssl_context=context,
        sasl_mechanism=options.sasl_mechanism or "PLAIN",
        sasl_plain_username=options.username,
        sasl_plain_password=options.password.get_secret_value() if options.password else None,
    )
    if options.idempotent:
        # aiokafka still gives a batch up whose partition has had no leader for a request timeout. It may have been
        # written already, and the next producer's copy of it would be a duplicate.
        producer._message_accumulator._batch_ttl = math.inf
    return producer


async def _close(producer: AIOKafkaProducer) -> None:
    """Flush what can be flushed in _CLOSE_S, then let go of sockets and tasks.

    `stop` alone would wait for an absent broker for ever: an idempotent batch never expires. aiokafka has no call
    to give up, hence the look under its lid.
    """
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(_CLOSE_S):
            await producer.stop()
            return
    sender = producer._sender.sender_task
    while sender is not None and not sender.done():
        sender.cancel()
        await asyncio.wait((sender,), timeout=0.05)
    await producer.client.close()


def _sentence(error: BaseException) -> str:
    """The kind of error, and its text unless that only repeats the kind."""
    kind, text = type(error).__name__, str(error)
    if isinstance(error, SinkError):
        return text
    return text if kind in text else f"{kind}: {text}" if text else kind
