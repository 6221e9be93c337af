"""A worker process that serves the Open Inference Protocol, for clients nobody here wrote."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.servers.process import ServerProcess


@dataclass(frozen=True, slots=True)
class InferenceWorker:
    """`framegate worker` at work. `ports` by wire, "grpc" and "rest"."""

    pid: int
    ports: Mapping[str, int]
    log: Path

    def kill(self) -> None:
        """As the kernel does when memory is short."""
        os.kill(self.pid, signal.SIGKILL)

    def memory_kb(self, key: str = "VmHWM") -> int:
        """Of the process: VmHWM is the most it ever had resident, VmRSS what it has now."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(key))


@contextmanager
def inference_worker(directory: Path, worker: Mapping[str, Any], socket: Path) -> Iterator[InferenceWorker]:
    """Start it with this `worker:` section, and stop it."""
    config, log = directory / "worker.yaml", directory / "worker.log"
    config.write_text(yaml.safe_dump({"worker": dict(worker)}))
    log.touch()
    wires = sum(name in worker["serve"] for name in ("grpc", "rest"))
    command = [sys.executable, "-m", "app", "worker", str(config), "--socket", str(socket)]
    process = ServerProcess(command, log, lambda: len(_ports(log)) == wires)
    process.start()
    try:
        yield InferenceWorker(process.pid, _ports(log), log)
    finally:
        process.stop()


def _ports(log: Path) -> dict[str, int]:
    ports = {}
    for line in log.read_text().splitlines():
        if line.startswith("{") and line.endswith("}") and (record := json.loads(line))["event"] == _LISTENING:
            wire, _, port = record["text"].split()
            ports[wire] = int(port)
    return ports


_LISTENING = "worker.serve.listening"
