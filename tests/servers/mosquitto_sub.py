"""Listening to a broker with mosquitto_sub, a client nobody here wrote."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tests.servers.mosquitto import PASSWORD, USER, MosquittoServer


@dataclass(frozen=True, slots=True)
class MqttMessage:
    """One message as mosquitto_sub saw it."""

    retained: bool
    """Kept by the broker from before the subscription."""
    topic: str
    payload: str


@dataclass(slots=True)
class Heard:
    """Messages in order of arrival; grows while the subscription lasts."""

    messages: list[MqttMessage] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def payloads(self, topic: str) -> list[str]:
        return [message.payload for message in self.messages if message.topic == topic]

    async def until(self, condition: Callable[[], bool], timeout_s: float = 15) -> None:
        """Wait for messages until the condition holds."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def listening(server: MosquittoServer, topic_filter: str, session: str = "") -> AsyncIterator[Heard]:
    """A subscription (QoS 1), in force when entered.

    session: name of a persistent session, which misses nothing while the broker is away (it reconnects by itself).
    """
    if shutil.which("mosquitto_sub") is None:
        pytest.skip("mosquitto_sub is not installed (Debian: mosquitto-clients)")
    marker = f"{topic_filter.split('/', 1)[0]}-subscribed"
    process = await asyncio.create_subprocess_exec(
        *["mosquitto_sub", *access(server), "-q", "1", "-t", topic_filter, "-t", marker, "-F", "%r %t %p"],
        *(["-c", "-i", session] if session else []),
        stdout=asyncio.subprocess.PIPE,
    )
    heard = Heard()
    reading = asyncio.create_task(_read(process, heard))
    try:
        await _publish(server, marker)
        await heard.until(lambda: bool(heard.payloads(marker)))
        heard.messages[:] = [message for message in heard.messages if message.topic != marker]
        yield heard
    finally:
        process.kill()
        await process.wait()
        await reading


def access(server: MosquittoServer) -> Sequence[str]:
    """Command line options of the mosquitto clients to reach a server."""
    options = ["-h", server.host, "-p", str(server.port)]
    if server.certificates is not None:
        options += ["--cafile", str(server.certificates.ca), "-u", USER, "-P", PASSWORD]
    return options


async def _publish(server: MosquittoServer, topic: str) -> None:
    """A retained word that proves the subscription whether it comes before or after it."""
    process = await asyncio.create_subprocess_exec(
        *["mosquitto_pub", *access(server), "-q", "1", "-r", "-t", topic, "-m", "ready"]
    )
    assert await process.wait() == 0


async def _read(process: asyncio.subprocess.Process, heard: Heard) -> None:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        retained, topic, payload = line.decode().rstrip("\n").split(" ", 2)
        heard.messages.append(MqttMessage(retained == "1", topic, payload))
        heard.changed.set()
