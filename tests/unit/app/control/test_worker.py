"""The control socket: one request, one reply, for its own user, and never in the way of the lanes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from app.control.worker import Request, ask, control_path, serve
from pipelines.errors import LaneError, ModelError
from tests.integration.command import short_tmp


async def answer(request: Request) -> dict[str, Any]:
    if request.model == "bad":
        raise ModelError("it is bad")
    return {"did": request.do, "model": request.model}


async def send(path: Path, line: bytes) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line)
    writer.write_eof()
    reply: dict[str, Any] = json.loads(await reader.readline())
    writer.close()
    return reply


async def test_a_request_and_its_reply() -> None:
    with short_tmp() as folder:
        path = control_path(folder / "worker.sock")
        async with serve(path, answer):
            assert await ask(path, Request(do="load", model="m")) == {"did": "load", "model": "m"}
            with pytest.raises(ModelError, match=r"^it is bad$"):
                await ask(path, Request(do="load", model="bad"))
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [b"\n", b"nonsense\n", b'{"do": "format"}\n', b'{"do": "load", "more": 1}\n', b"x" * 100_000 + b"\n", b""],
)
async def test_what_is_no_request_gets_a_reason(line: bytes) -> None:
    with short_tmp() as folder:
        path = folder / "w.ctl"
        async with serve(path, answer):
            reply = await send(path, line)
            assert not reply["ok"]
            assert "not a request" in reply["error"]
            assert (await ask(path, Request(do="status")))["did"] == "status", "it listens on"


async def test_a_client_that_goes_away_does_not_stop_what_it_asked_for() -> None:
    begun, done = asyncio.Event(), asyncio.Event()
    go_on = asyncio.Event()

    async def slow(request: Request) -> dict[str, Any]:
        begun.set()
        await go_on.wait()
        done.set()
        return {}

    with short_tmp() as folder:
        path = folder / "w.ctl"
        async with serve(path, slow), asyncio.timeout(5):
            _, writer = await asyncio.open_unix_connection(path)
            writer.write(b'{"do": "reload"}\n')
            await begun.wait()
            writer.close()
            await writer.wait_closed()
            go_on.set()
            await done.wait()


async def test_a_stale_path_is_taken_and_a_taken_one_is_left() -> None:
    with short_tmp() as folder:
        path = folder / "w.ctl"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        async with serve(path, answer):
            assert (await ask(path, Request(do="status")))["did"] == "status"
            async with serve(path, answer):
                pass
            assert not path.exists()
            path.write_text("somebody else's")
        assert path.exists()


async def test_nobody_there() -> None:
    with short_tmp() as folder:
        with pytest.raises(LaneError, match="no worker listens at"):
            await ask(folder / "w.ctl", Request(do="status"))
        with pytest.raises(LaneError, match="cannot listen on"):
            async with serve(folder / "no" / "w.ctl", answer):
                pass
