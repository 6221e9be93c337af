"""The near host's view of the far one; and where both are named."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

START_S = 240.0
VARIABLE = "FRAMEGATE_RDMA_PAIR"
"""NEAR_ADDRESS,FAR_ADDRESS,PEER_HOST:PORT"""
REASON = "needs a second host with RDMA: scripts/rdma_vm has one (docs/rdma.md)"


@dataclass(frozen=True, slots=True)
class Hosts:
    """Addresses of the two RDMA devices, and where the far host's peer listens."""

    near: str
    far: str
    peer: tuple[str, int]


def hosts() -> Hosts | None:
    """None: not told of any."""
    value = os.environ.get(VARIABLE)
    if not value:
        return None
    near, far, peer = value.split(",")
    host, port = peer.rsplit(":", 1)
    return Hosts(near, far, (host, int(port)))


class Far:
    """Asks the peer; blocks until it answers."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = _connected(address)
        self._lines = self._socket.makefile("rb")

    def start(self, role: str, **arguments: Any) -> int:
        return int(self._ask("start", role=role, **arguments))

    def kill(self, pid: int, number: int = 9) -> None:
        """Send the signal; a process that it ends is waited for."""
        self._ask("signal", pid=pid, number=number)
        if number == 9:
            self.wait(pid)

    def wait(self, pid: int) -> tuple[int, str]:
        code, text = self._ask("wait", pid=pid)
        return int(code), str(text)

    def output(self, pid: int) -> str:
        return str(self._ask("output", pid=pid))

    def link(self, state: str) -> None:
        self._ask("link", state=state)

    def registered(self) -> int:
        return int(self._ask("registered"))

    def listens(self, port: int) -> bool:
        return bool(self._ask("listens", port=port))

    def close(self) -> None:
        """The peer then stops everything that it started."""
        self._lines.close()
        self._socket.close()

    def _ask(self, what: str, **arguments: Any) -> Any:
        self._socket.sendall(json.dumps({"do": what, **arguments}).encode() + b"\n")
        reply = json.loads(self._lines.readline())
        if "error" in reply:
            pytest.fail(f"the far host cannot {what}: {reply['error']}")
        return reply["ok"]


def _connected(address: tuple[str, int]) -> socket.socket:
    """Patient: the far host may still be starting."""
    until_s = time.monotonic() + START_S
    while True:
        try:
            return socket.create_connection(address, timeout=START_S)
        except OSError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.5)


def note(**figures: Any) -> None:
    """Keep figures for the report, where one is asked for: FRAMEGATE_RDMA_RESULTS names a file of JSON lines."""
    path = os.environ.get("FRAMEGATE_RDMA_RESULTS")
    if path:
        with Path(path).open("a") as out:
            out.write(json.dumps(figures) + "\n")
