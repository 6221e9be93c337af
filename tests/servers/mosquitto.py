"""A mosquitto broker for the tests: plain, or with TLS and a password."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.certificate import Certificates, make_certificates
from tests.servers.process import ServerProcess, free_port

USER, PASSWORD = "framegate", "mqtt-canary-password"
_CONNECT = bytes.fromhex("101000044d5154540402000a000470726f62")
"""MQTT 3.1.1 CONNECT, clean session, client id "prob"."""


@dataclass(frozen=True, slots=True)
class MosquittoServer:
    """A broker that is up when it is handed out. `stop` and `start` again keep port, sessions and retained messages."""

    host: str
    port: int
    process: ServerProcess
    database: Path
    certificates: Certificates | None = None
    """Given: TLS, and a login with USER and PASSWORD."""

    def stop(self, kill: bool = False) -> None:
        self.process.stop(kill)

    def start(self) -> None:
        self.process.start()

    def save(self) -> None:
        """Write sessions and retained messages to the disk now, so that they survive a kill."""
        before = _modified_ns(self.database)
        self.process.signal(signal.SIGUSR1)
        deadline = time.monotonic() + 10
        while _modified_ns(self.database) == before:
            assert time.monotonic() < deadline, "mosquitto did not save its database"
            time.sleep(0.01)


@contextmanager
def mosquitto_server(directory: Path, secure: bool = False) -> Iterator[MosquittoServer]:
    """A running broker with its data under `directory`; skips where mosquitto is not installed."""
    binary = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if binary is None:
        pytest.skip("mosquitto is not installed (Debian: mosquitto, mosquitto-clients)")
    directory.mkdir(parents=True, exist_ok=True)
    certificates = make_certificates(directory / "tls") if secure else None
    port = free_port()
    config = directory / "mosquitto.conf"
    config.write_text(_config(directory, port, certificates))
    process = ServerProcess(
        [binary, "-c", str(config)],
        log=directory / "mosquitto.log",
        answers=lambda: _listens(port) if secure else _answers(port),
    )
    server = MosquittoServer("localhost", port, process, directory / "mosquitto.db", certificates)
    server.start()
    try:
        yield server
    finally:
        server.stop(kill=True)


def _config(directory: Path, port: int, certificates: Certificates | None) -> str:
    text = f"""
listener {port} 127.0.0.1
persistence true
persistence_location {directory}/
autosave_interval 3600
"""
    if _is_root():
        text += "user root\n"
    if certificates is None:
        return text + "allow_anonymous true\n"
    passwords = directory / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), USER, PASSWORD], check=True, capture_output=True)
    return (
        text
        + f"""
allow_anonymous false
password_file {passwords}
cafile {certificates.ca}
certfile {certificates.server_cert}
keyfile {certificates.server_key}
"""
    )


def _modified_ns(file: Path) -> int:
    return file.stat().st_mtime_ns if file.exists() else 0


def _is_root() -> bool:
    return Path("/proc/self").stat().st_uid == 0


def _answers(port: int) -> bool:
    """Does it answer CONNECT with CONNACK "accepted"?"""
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(_CONNECT)
        return connection.recv(4) == b"\x20\x02\x00\x00"


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
