"""A real worker process with an engine that fails on request, supervised as the product does it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from app.control.worker import control_path
from app.supervisor import Brake, Supervisor
from pipelines.values import AnswerCode
from tests.fakes import faulty_worker
from tests.fakes.faulty_engine import inject
from tests.integration.command import START_S, short_tmp
from tests.integration.pipe import Config, until
from tests.integration.traffic import Traffic

BRAKE = Brake(first_s=0.05, most_s=0.2)


@dataclass(slots=True)
class Faulty:
    """One worker's place: the process in it may be another after a fault."""

    supervisor: Supervisor
    socket: Path
    fault: Path
    log: Path
    states: list[tuple[str, str]] = field(default_factory=list)

    def inject(self, fault: str) -> None:
        """See tests/fakes/faulty_engine.py."""
        inject(self.fault, fault)

    def mend(self) -> None:
        self.fault.unlink(missing_ok=True)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Records of its log, of all processes."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
        return [record for record in map(json.loads, lines) if record["event"] == name]

    async def said(self, name: str, times: int = 1) -> dict[str, Any]:
        await until(lambda: len(self.events(name)) >= times, START_S, f"{times} records {name}")
        return self.events(name)[times - 1]

    @property
    def seen(self) -> dict[str, Any]:
        """Statistics of the engine over the fake device; empty before the first."""
        file = self.fault.with_suffix(".seen")
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        return found


@asynccontextmanager
async def faulty(directory: Path, config: Config, engine: str = "own", first_fault: str = "") -> AsyncIterator[Faulty]:
    """A worker with this configuration. `engine`: see tests/fakes/faulty_worker.py. `first_fault`: from its start."""
    path = directory / "worker.yaml"
    path.write_text(yaml.safe_dump({"worker": {"threads": 1}} | config))
    with short_tmp() as scratch, (directory / "worker.log").open("w") as log:
        socket, fault = scratch / "worker.sock", scratch / "fault"
        if first_fault:
            inject(fault, first_fault)
        plain = [sys.executable, "-m", "app", "worker", str(path), "--socket", str(socket)]
        states: list[tuple[str, str]] = []
        supervisor = Supervisor(
            "worker",
            faulty_worker.command(fault, plain, engine),
            lambda state, text: states.append((state, text)),
            BRAKE,
            stderr=log,
        )
        running = asyncio.create_task(supervisor.run())
        try:
            place = Faulty(supervisor, socket, fault, directory / "worker.log", states)
            await place.said("worker.ready")
            await until(lambda: control_path(socket).exists(), what="the control socket")
            yield place
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def answered(traffic: Traffic, code: AnswerCode, more: int = 1) -> None:
    """Wait for so many more answers of this kind."""
    goal = traffic.answers[code] + more
    await until(lambda: traffic.answers[code] >= goal, START_S, f"{more} more answers {code.name}")


async def well_again(traffic: Traffic) -> None:
    """Wait until nothing but sound answers comes."""

    async def sound() -> bool:
        before = traffic.answers.copy()
        await answered(traffic, AnswerCode.OK, 40)
        return traffic.answers - before == {AnswerCode.OK: traffic.answers[AnswerCode.OK] - before[AnswerCode.OK]}

    async with asyncio.timeout(START_S):
        while not await sound():
            pass
