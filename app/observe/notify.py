"""Tells systemd how the service is: the sd_notify(3) protocol, datagrams to $NOTIFY_SOCKET.

Nothing here can fail: without a service manager, or when it does not listen, the messages go nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping


class Notifier:
    """The connection to the service manager. Cheap, never blocks, any thread."""

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = watchdog_s
        """Silence after which systemd kills the service; None: it does not watch."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Notifier:
        """As systemd tells it: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID (another process's watchdog is not ours)."""
        micros = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog_s = int(micros) / 1e6 if ours and micros.isdigit() and int(micros) > 0 else None
        return cls(environ.get("NOTIFY_SOCKET", ""), watchdog_s)

    def ready(self, status: str = "") -> None:
        """Start-up, or a reload, is complete."""
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str = "") -> None:
        self._send(f"STOPPING=1\nSTATUS={_line(status)}")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={_line(text)}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    async def watch(self, healthy: Callable[[], bool]) -> None:
        """Feed the watchdog while `healthy`, until cancelled; ends at once where there is none.

        Runs in the event loop on purpose: a loop that hangs stops feeding.
        """
        if self.watchdog_s is None:
            return
        while True:
            if healthy():
                self.alive()
            await asyncio.sleep(self.watchdog_s / 3)

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            out.sendto(message.encode(), self._address)


def _line(text: str) -> str:
    """A line break would begin another assignment."""
    return " ".join(text.split())
