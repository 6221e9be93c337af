"""Alerts to an MQTT broker in Frigate's manner, QoS 1, with a last will (topics: mqtt_topic.py).

Events go through a backlog: each must arrive, in order, and is sent again on the next connection until the broker has
acknowledged it (at least once: consumers know a repetition by `event_id`, `type` and `time`). State topics (status,
counts, Home Assistant's configs) are retained, and only their last value matters: it waits in a slot of its own, and
all are published anew on every connection, since a restarted broker may have forgotten them.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiomqtt

from pipelines.contracts import Acked, SinkStatistics
from pipelines.errors import SinkError
from pipelines.sink.backlog import Backlog, total
from pipelines.sink.backoff import Backoff
from pipelines.sink.encoding import Encoder
from pipelines.sink.homeassistant import Discovery
from pipelines.sink.mqtt_options import MqttOptions as MqttOptions
from pipelines.sink.mqtt_state import Episodes, Latest
from pipelines.sink.mqtt_topic import OFFLINE, ONLINE, Topics, status_word
from pipelines.sink.outbox import Ticket
from pipelines.sink.tls import client_context
from pipelines.values import Alert, CameraHealth, FrameResult

_GOODBYE_S = 1.0
"""How long the broker may take to acknowledge that we leave."""


@dataclass(frozen=True, slots=True)
class _Event:
    payload: bytes
    alert: Alert


class MqttSink:
    """Alerts, counts and camera status to MQTT. Frame results are not published. The encoder must give JSON.

    `statistics` counts events; state topics keep no history, so nothing of them can wait or be dropped.
    """

    def __init__(
        self,
        options: MqttOptions,
        encoder: Encoder,
        acked: Acked | None = None,
        name: str = "mqtt",
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self._options = options
        self._encoder = encoder
        self._acked = acked
        self._clock_ns = clock_ns
        self._client_id = options.client_id or f"framegate-{secrets.token_hex(4)}"
        self._topics = Topics(options.prefix)
        self._discovery = Discovery(options.discovery_prefix, options.prefix) if options.discovery else None
        self._episodes = Episodes()
        self._latest = Latest()
        self._news = asyncio.Event()
        self._told = asyncio.Event()
        self._told.set()
        self._backlog: Backlog[_Event] = Backlog(options.buffer_records, options.buffer_bytes)
        self._backoff = Backoff(0.25, options.retry_max_s)
        self._connected = False
        self._error = ""

    def alert(self, alert: Alert) -> None:
        event = self._episodes.event(alert, self._encoder.alert(alert))
        self._backlog.offer(_Event(event, alert), len(event))
        counts = self._episodes.counts(alert.camera_id)
        for name, number in counts.items():
            self._tell(self._topics.count(alert.camera_id, name), b"%d" % number)
        if self._discovery is not None:
            for topic, config in self._discovery.classes(alert.camera_id, counts).items():
                self._tell(topic, config)

    def result(self, result: FrameResult) -> None:
        """Not published: MQTT carries episodes."""

    def health(self, health: CameraHealth) -> None:
        self._tell(self._topics.status(health.camera_id), status_word(health).encode())
        self._tell(self._topics.health(health.camera_id), self._encoder.health(health))
        if self._discovery is not None:
            for topic, config in self._discovery.camera(health.camera_id).items():
                self._tell(topic, config)

    async def run(self) -> None:
        """One connection after another, until cancelled; then says goodbye."""
        while True:
            try:
                await self._session()
            except* (aiomqtt.MqttError, SinkError, OSError) as errors:
                self._error = _sentence(errors)
            finally:
                self._connected = False
                self._backlog.rewind()
            await asyncio.sleep(self._backoff.next_s())

    async def drain(self, deadline_s: float) -> None:
        """Until every event is acknowledged and every state is told, at most `deadline_s` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self._backlog.emptied()
                await self._told.wait()

    def statistics(self) -> SinkStatistics:
        return total([self._backlog.statistics()], self._connected, self._error)

    def _tell(self, topic: str, payload: bytes) -> None:
        self._latest.put(topic, payload)
        if self._latest.has_unsent:
            self._told.clear()
            self._news.set()

    async def _session(self) -> None:
        """One connection, from CONNECT to its end. Leaves by an error or by cancellation."""
        client = await self._client()
        async with self._connection(client):
            await client.publish(self._topics.available, ONLINE, qos=1, retain=True)
            self._connected = True
            self._latest.renew()
            self._news.set()
            async with asyncio.TaskGroup() as group:
                group.create_task(_until_disconnected(client), name=f"{self.name}-watch")
                group.create_task(self._tell_news(client), name=f"{self.name}-state")
                group.create_task(self._feed(client, group), name=f"{self.name}-events")

    @asynccontextmanager
    async def _connection(self, client: aiomqtt.Client) -> AsyncIterator[None]:
        """Connected; at the end the goodbye, which may fail but never replaces the reason why it ended."""
        await client.__aenter__()
        client.pending_calls_threshold = 65536  # the window bounds them; aiomqtt would log a warning above 10
        try:
            yield
        finally:
            client.timeout = _GOODBYE_S
            with contextlib.suppress(aiomqtt.MqttError):
                await client.publish(self._topics.available, OFFLINE, qos=1, retain=True)
            with contextlib.suppress(aiomqtt.MqttError):
                await client.__aexit__(None, None, None)

    async def _client(self) -> aiomqtt.Client:
        """A client that has not connected yet. Reads the TLS files."""
        options = self._options
        return aiomqtt.Client(
            options.host,
            options.port,
            username=options.username,
            password=options.password.get_secret_value() if options.password else None,
            identifier=self._client_id,
            will=aiomqtt.Will(self._topics.available, OFFLINE, qos=1, retain=True),
            keepalive=options.keepalive_s,
            timeout=options.timeout_s,
            max_inflight_messages=options.in_flight,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            tls_context=await asyncio.to_thread(client_context, options.tls) if options.tls else None,
        )

    async def _tell_news(self, client: aiomqtt.Client) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            news = self._latest.take()
            await asyncio.gather(*(client.publish(topic, value, 1, retain=True) for topic, value in news.items()))
            if not self._latest.has_unsent:
                self._told.set()

    async def _feed(self, client: aiomqtt.Client, group: asyncio.TaskGroup) -> None:
        """Send events in order, at most `in_flight` of them unacknowledged."""
        window = asyncio.Semaphore(self._options.in_flight)
        while True:
            await window.acquire()
            ticket = await self._backlog.next()
            if ticket.size_bytes > self._options.max_record_bytes:
                self._backlog.failed(ticket)
                self._error = f"an event of {ticket.size_bytes} bytes is above max_record_bytes"
                window.release()
                continue
            group.create_task(self._send(client, ticket, window), name=f"{self.name}-event")

    async def _send(self, client: aiomqtt.Client, ticket: Ticket[_Event], window: asyncio.Semaphore) -> None:
        """One event to its acknowledgement. Tasks start in the order they were made, and with them the sending."""
        await client.publish(self._topics.events, ticket.item.payload, qos=1)
        window.release()
        self._backoff.reset()
        if self._backlog.acked(ticket) and self._acked is not None:
            self._acked(ticket.item.alert, self._clock_ns())


async def _until_disconnected(client: aiomqtt.Client) -> None:
    """Raises MqttError when the connection ends. (Nothing is subscribed, so no message ever comes.)"""
    async for _ in client.messages:
        pass


def _sentence(errors: BaseExceptionGroup[BaseException]) -> str:
    """The first error of a group, its kind and its text."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) if isinstance(error, SinkError) else f"{type(error).__name__}: {error}"
