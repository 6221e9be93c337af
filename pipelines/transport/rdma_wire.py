"""The TCP connection beside an RDMA lane: sealed messages in an event loop."""

from __future__ import annotations

import asyncio
import secrets
import socket

from pipelines.errors import LaneError
from pipelines.transport.rdma_auth import (
    HELLO_BYTES,
    LENGTH,
    NONCE_BYTES,
    Seal,
    Side,
    body_bytes,
    check_hello,
    pack_hello,
    session_key,
)


class Wire:
    """One connection. Event-loop thread. What waits to be sent is bounded by what the peer asked for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, side: Side) -> None:
        self._reader, self._writer = reader, writer
        self._seal = Seal(b"", side)
        self.proven = False
        """The worker's: the peer has shown that it knows the secret, and may be told what is wrong."""
        self._peer = "worker" if side is Side.DPU else "DPU process"

    @property
    def local_address(self) -> str:
        """The IP address that this end has on the connection."""
        return str(self._writer.get_extra_info("sockname")[0])

    async def greet(self, secret: bytes, timeout_s: float) -> None:
        """Exchange hellos; from here on everything is sealed. The worker speaks first.

        Raises:
            LaneError: the peer is gone, silent, or of another kind or version.
        """
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ours = pack_hello(secrets.token_bytes(NONCE_BYTES))
        if self._seal.side is Side.WORKER:
            self._writer.write(ours)
        theirs = await self._read(HELLO_BYTES, timeout_s)
        check_hello(theirs, self._peer)
        if self._seal.side is Side.DPU:
            self._writer.write(ours)
        pair = (ours, theirs) if self._seal.side is Side.WORKER else (theirs, ours)
        self._seal = Seal(session_key(secret, *pair), self._seal.side)

    def tell(self, body: bytes) -> None:
        """Send soon. A peer that is gone shows in `hear`. Raises LaneError for a message that is too long."""
        if not self._writer.is_closing():
            self._writer.write(self._seal.close(body))

    async def hear(self, timeout_s: float | None = None) -> bytes:
        """The next message.

        Raises:
            LaneError: the peer is gone, silent for so long, or does not know the secret.
        """
        size = body_bytes(await self._read(LENGTH.size, timeout_s))
        return self._seal.open(await self._read(size, timeout_s))

    def close(self) -> None:
        """At once; what was not sent yet is dropped."""
        self._writer.transport.abort()

    async def close_when_sent(self, timeout_s: float) -> None:
        """After what was told has left, at most so much later."""
        try:
            async with asyncio.timeout(timeout_s):
                self._writer.close()
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self.close()

    async def _read(self, size: int, timeout_s: float | None) -> bytes:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._reader.readexactly(size)
        except TimeoutError as error:
            raise LaneError(f"the {self._peer} said nothing for {timeout_s:g} s") from error
        except asyncio.IncompleteReadError as error:
            raise LaneError(f"the {self._peer} closed the connection") from error
        except OSError as error:
            raise LaneError(f"the {self._peer} is gone: {error.strerror or error}") from error


async def connect(host: str, port: int, secret: bytes, timeout_s: float) -> Wire:
    """The DPU's end, sealed, and the secret proven to the worker; what it says next proves the worker's.

    Raises:
        LaneError: no worker there, or none of our kind.
    """
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
    except TimeoutError as error:
        raise LaneError(f"no worker at {host}:{port}: no answer within {timeout_s:g} s") from error
    except OSError as error:
        raise LaneError(f"no worker at {host}:{port}: {error.strerror or error}") from error
    wire = Wire(reader, writer, Side.DPU)
    try:
        await wire.greet(secret, timeout_s)
    except BaseException:
        wire.close()
        raise
    return wire
