"""`framegate worker` with an engine that fails on request: FAULT_FILE ENGINE worker ... (the command's own arguments).

ENGINE: `own`, as the configuration says; `device`, the engine for devices over the fake one, whose statistics are
written to FAULT_FILE.seen whenever they change.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
from pathlib import Path

from app.cli import main
from pipelines import build_worker
from pipelines.build_worker import ModelSpec, WorkerSpec
from pipelines.contracts import Engine
from tests.fakes.faulty_engine import FaultyEngine

_TELLING = threading.Lock()


def command(fault: Path, arguments: list[str], engine: str = "own") -> list[str]:
    """What starts it, from what starts the product's: [python, -m, app, worker, ...]."""
    return [sys.executable, "-m", "tests.fakes.faulty_worker", str(fault), engine, *arguments[3:]]


def run(fault: Path, engine: str, arguments: list[str]) -> int:
    own = build_worker.engine

    def faulty(worker: WorkerSpec, model: ModelSpec) -> Engine:
        inner = own(worker, model) if engine == "own" else _on_fake_device(worker, model, fault)
        return FaultyEngine(inner, fault)

    build_worker.engine = faulty
    return main(arguments)


def _on_fake_device(worker: WorkerSpec, model: ModelSpec, fault: Path) -> Engine:
    from pipelines.values import F32, U8
    from pipelines.worker.engines.device_engine import DeviceEngine, RunOptions
    from pipelines.worker.engines.device_fake import FakeDevice
    from pipelines.worker.engines.device_fake_program import FakeProgram

    seen = fault.with_suffix(".seen")

    class Seen(DeviceEngine):
        def infer(self, payloads: object, color: F32) -> F32:
            rows = super().infer(payloads, color)  # type: ignore[arg-type]
            self._tell()
            return rows

        def pin(self, region: U8) -> bool:
            done = super().pin(region)
            self._tell()
            return done

        def unpin(self, region: U8) -> None:
            super().unpin(region)
            self._tell()

        def _tell(self) -> None:
            with _TELLING:
                fresh = seen.with_suffix(".new")
                fresh.write_text(json.dumps(dataclasses.asdict(self.statistics())))
                fresh.rename(seen)

    path, _ = build_worker.find_model(model)
    device = FakeDevice()
    program = FakeProgram(path, device)
    return Seen(program, device, program.card, RunOptions(worker.batch.max_batch))


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
