"""The far host of the two-host tests: forks the other end of a lane on demand, kills it, cuts the link.

    python -m tests.hardware.peer HOST PORT LINK

One JSON object a line over TCP: {"do": NAME, ...} -> {"ok": ...} or {"error": TEXT}. A fork of this process is an end
of a lane in milliseconds, where a fresh interpreter takes a minute in a guest without hardware acceleration. It does
what it is told by anybody who reaches its port: it is for the network between two test guests and for nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hardware import roles

_LISTENING = "0A"
LOGS = Path(os.environ.get("FRAMEGATE_PEER_LOGS", "/tmp"))


class Peer:
    """What it is asked to do. One thread, blocking: the tests ask one thing at a time."""

    def __init__(self, link: str, *inherited: socket.socket) -> None:
        self._link = link
        self._inherited = inherited
        self._children: set[int] = set()
        self._cut = False

    def start(self, role: str, **arguments: Any) -> int:
        """Fork a role; its process id."""
        pid = os.fork()
        if pid == 0:
            self._be(roles.ROLES[role], arguments)
        self._children.add(pid)
        return pid

    def signal(self, pid: int, number: int) -> None:
        os.kill(pid, number)

    def wait(self, pid: int) -> tuple[int, str]:
        """Exit code (negative: the signal that ended it) and all it wrote."""
        _, status = os.waitpid(pid, 0)
        self._children.discard(pid)
        return os.waitstatus_to_exitcode(status), self.output(pid)

    def output(self, pid: int) -> str:
        return (LOGS / f"peer-{pid}").read_text(errors="replace")

    def link(self, state: str) -> None:
        """up or down."""
        self._cut = state == "down"
        subprocess.run(["ip", "link", "set", self._link, state], check=True)

    def registered(self) -> int:
        """Memory regions that the devices of this host have."""
        return roles.registered()

    def listens(self, port: int) -> bool:
        """Somebody accepts TCP connections there, proc_net(5)."""
        tables = (Path(f"/proc/net/{table}").read_text() for table in ("tcp", "tcp6"))
        rows = (row.split() for table in tables for row in table.splitlines()[1:])
        return any(row[1].endswith(f":{port:04X}") and row[3] == _LISTENING for row in rows)

    def stop_all(self) -> None:
        """As if nothing had been."""
        if self._cut:
            self.link("up")
        for pid in list(self._children):
            os.kill(pid, signal.SIGKILL)
            self.wait(pid)

    def _be(self, role: Callable[..., None], arguments: dict[str, Any]) -> None:
        """The child: never returns."""
        code = 1
        try:
            for one in self._inherited:
                one.close()
            log = os.open(LOGS / f"peer-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            role(**arguments)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)


def answer(peer: Peer, line: bytes) -> bytes:
    """One request."""
    request = json.loads(line)
    name = request.pop("do")
    try:
        reply: dict[str, Any] = {"ok": getattr(peer, name)(**request)}
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    return json.dumps(reply).encode() + b"\n"


def main() -> None:
    host, port, link = sys.argv[1:]
    roles.preload()
    with socket.create_server((host, int(port))) as listener:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            connection, _ = listener.accept()
            peer = Peer(link, listener, connection)
            with connection, connection.makefile("rb") as lines:
                for line in lines:
                    connection.sendall(answer(peer, line))
            peer.stop_all()


if __name__ == "__main__":
    main()
