"""Steering a running worker: a Unix socket beside its lane's, for its own user alone.

`PATH.ctl` beside the lane socket PATH, mode 0600; the peer's user is checked too (SO_PEERCRED). One connection carries
one request and one reply, a line of JSON each:

| request | does |
|---|---|
| {"do": "load", "model": REFERENCE} | checks, loads, warms and swaps a model in; the old one goes on if that fails |
| {"do": "reload"} | the same for what serves: its directory's current version, or the file as it is now |
| {"do": "rollback"} | the same for what served before |
| {"do": "status"} | what serves and what served before |

Replies are {"ok": true, ...} or {"ok": false, "error": TEXT}. A client that goes away does not stop a load.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from pipelines.errors import FramegateError, LaneError, ModelError

SUFFIX = ".ctl"
_UCRED = struct.Struct("3i")
_REQUEST_S = 5.0
"""A client that connects and says nothing is cut off."""
_BACKLOG = 8


class Request(BaseModel, frozen=True, extra="forbid"):
    """One line from a client."""

    do: Literal["load", "reload", "rollback", "status"]
    model: str = ""


Answer = Callable[[Request], Awaitable[dict[str, Any]]]
"""Does what is asked. Raises ModelError: it was refused."""


def control_path(lane: Path) -> Path:
    """Of the worker whose lane socket that is."""
    return lane.with_name(lane.name + SUFFIX)


@asynccontextmanager
async def serve(path: Path, answer: Answer) -> AsyncIterator[None]:
    """Listen while the context is open; the path is gone afterwards, unless another worker has taken it.

    Raises:
        LaneError: the path cannot be listened on.
    """
    listener = _listen(path)
    inode = path.stat().st_ino

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(_REQUEST_S):
                line = await _line(reader)
            writer.write(json.dumps(await _reply(line, writer, answer)).encode() + b"\n")
            await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_unix_server(converse, sock=listener)
    try:
        yield
    finally:
        server.close()
        with suppress(FileNotFoundError):
            if path.stat().st_ino == inode:
                path.unlink()


async def ask(path: Path, request: Request) -> dict[str, Any]:
    """The client's half: ask the worker and wait for its reply.

    Raises:
        LaneError: no worker listens there, or it went away. ModelError: it refused, with its reason.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    except OSError as error:
        raise LaneError(f"no worker listens at {path}: {error.strerror or error}") from error
    try:
        writer.write(request.model_dump_json().encode() + b"\n")
        line = await reader.readline()
    finally:
        writer.close()
    if not line:
        raise LaneError(f"the worker at {path} went away before it answered")
    reply: dict[str, Any] = json.loads(line)
    if not reply.pop("ok"):
        raise ModelError(str(reply["error"]))
    return reply


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:  # longer than the reader's limit
        return b""


async def _reply(line: bytes, writer: asyncio.StreamWriter, answer: Answer) -> dict[str, Any]:
    peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    if _UCRED.unpack(peer)[1] not in (0, os.getuid()):
        return {"ok": False, "error": "another user's worker"}
    try:
        return {"ok": True} | await answer(Request.model_validate_json(line))
    except ValidationError as error:
        return {"ok": False, "error": f"not a request: {error.errors(include_url=False)[0]['msg']}"}
    except FramegateError as error:
        return {"ok": False, "error": str(error)}


def _listen(path: Path) -> socket.socket:
    """Connections are refused until the mode is set: it listens after that only."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise LaneError(f"cannot listen on {path}: {error.strerror or error}") from error
    return listener
