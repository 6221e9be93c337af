"""The sd_notify protocol on a real datagram socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.observe.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.bind(str(tmp_path / "notify"))
        out.settimeout(5)
        yield out


def test_states_are_told(manager: socket.socket) -> None:
    notifier = Notifier(manager.getsockname())

    notifier.ready("8 cameras")
    notifier.reloading()
    notifier.status("two\nlines")
    notifier.stopping()
    notifier.alive()

    assert manager.recv(1000) == b"READY=1\nSTATUS=8 cameras"
    key, _, micros = manager.recv(1000).decode().partition("\nMONOTONIC_USEC=")
    assert key == "RELOADING=1"
    assert int(micros) > 0
    assert manager.recv(1000) == b"STATUS=two lines"
    assert manager.recv(1000) == b"STOPPING=1\nSTATUS="
    assert manager.recv(1000) == b"WATCHDOG=1"


def test_abstract_sockets() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.bind("")  # Linux chooses an abstract name
        name = out.getsockname()
        assert isinstance(name, bytes)
        Notifier("@" + name[1:].decode()).alive()
        out.settimeout(5)
        assert out.recv(100) == b"WATCHDOG=1"


def test_nobody_listens() -> None:
    """A service manager that is gone must not hurt."""
    Notifier("/nowhere/notify").ready()
    Notifier().ready()


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_read_from_the_environment(environ: dict[str, str], watchdog_s: float | None) -> None:
    assert Notifier.from_environ(environ).watchdog_s == watchdog_s


async def test_the_watchdog_is_fed_only_while_healthy(manager: socket.socket) -> None:
    asked: list[bool] = []
    sick = asyncio.Event()

    def healthy() -> bool:
        asked.append(len(asked) == 0)
        if len(asked) > 1:
            sick.set()
        return asked[-1]

    task = asyncio.create_task(Notifier(manager.getsockname(), watchdog_s=0.01).watch(healthy))
    await asyncio.wait_for(sick.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert manager.recv(100) == b"WATCHDOG=1"
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(100)


async def test_without_a_watchdog_watching_ends() -> None:
    await asyncio.wait_for(Notifier("/x").watch(lambda: True), 5)
