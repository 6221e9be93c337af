"""A server process of the tests: its ports, its start until it answers, its stop by process id."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """One command that serves until it is told to stop. May be started again after a stop."""

    def __init__(self, command: Sequence[str], log: Path, answers: Callable[[], bool], start_s: float = 60) -> None:
        """answers: asks the server something in its own protocol; False (or OSError) while it is not up."""
        self._command = list(command)
        self._log = log
        self._answers = answers
        self._start_s = start_s
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers. Nothing happens when it runs already."""
        if self._process is not None:
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        deadline = time.monotonic() + self._start_s
        while not self._up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop(kill=True)
                raise RuntimeError(f"{self._command[0]} did not start:\n{self._log.read_text()[-3000:]}")
            time.sleep(0.05)

    def stop(self, kill: bool = False) -> None:
        """End it: politely, or with SIGKILL. Nothing happens when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        else:
            process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def pid(self) -> int:
        """While it runs."""
        assert self._process is not None, "not running"
        return self._process.pid

    def signal(self, number: int) -> None:
        assert self._process is not None, "not running"
        self._process.send_signal(number)

    def _up(self) -> bool:
        try:
            return self._answers()
        except OSError:
            return False
