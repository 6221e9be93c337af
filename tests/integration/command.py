"""The command as people and service managers use it: a process of its own, its log, its signals, its exit code."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from tests.integration.pipe import Config, until

START_S = 60
"""A fresh interpreter, its imports, a worker and its model, on a machine that is busy with other things."""


class Command:
    """One `framegate ...`. Its output goes to files beside the configuration, where a test can look at any time."""

    def __init__(self, process: asyncio.subprocess.Process, stdout: Path, stderr: Path) -> None:
        self._process = process
        self._stdout = stdout
        self._stderr = stderr

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    @property
    def stdout(self) -> str:
        return self._stdout.read_text()

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Records of the log with this event."""
        return [record for record in self._log() if record["event"] == name]

    async def said(self, name: str, times: int = 1, timeout_s: float = START_S, **fields: object) -> dict[str, Any]:
        """Wait for the nth record of an event with these fields; returns it."""

        def matching() -> list[dict[str, Any]]:
            return [record for record in self.events(name) if fields.items() <= record.items()]

        def enough() -> bool:
            assert self.exit_code is None or len(matching()) >= times, f"it ended before it said {name}: {self.stderr}"
            return len(matching()) >= times

        await until(enough, timeout_s, f"the log record {name} {fields}")
        return matching()[times - 1]

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def interrupt(self) -> None:
        """Ctrl-C at a terminal: the signal goes to every process of the foreground group."""
        os.killpg(self.pid, signal.SIGINT)

    async def ended(self, timeout_s: float = 30) -> int:
        """Wait for the end; the exit code."""
        return await asyncio.wait_for(self._process.wait(), timeout_s)

    async def end(self) -> None:
        """However it is: gone afterwards, and its worker with it."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    def _log(self) -> list[dict[str, Any]]:
        lines = [line for line in self.stderr.splitlines() if line.startswith("{")]
        records = []
        for line in lines:
            with suppress(json.JSONDecodeError):  # the last line may not be whole yet
                records.append(json.loads(line))
        return records


@contextmanager
def short_tmp() -> Iterator[Path]:
    """An empty directory whose path leaves room for a Unix socket's; pytest's own may not."""
    with tempfile.TemporaryDirectory(prefix="fg-") as name:
        yield Path(name)


@asynccontextmanager
async def framegate(
    directory: Path, *arguments: str | Path, env: Mapping[str, str] | None = None
) -> AsyncIterator[Command]:
    """`framegate ARGUMENTS`, killed at the end if it still runs."""
    stdout, stderr = directory / "stdout", directory / "stderr"
    with stdout.open("wb") as out, stderr.open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", *map(str, arguments)),
            stdout=out,
            stderr=err,
            env=os.environ | (env or {}),
            start_new_session=True,
        )
    command = Command(process, stdout, stderr)
    try:
        yield command
    finally:
        await command.end()


def deployment(directory: Path, config: Config) -> Path:
    """The configuration as a file. No HTTP server, unless asked for: ports are for those who test them."""
    path = directory / "framegate.yaml"
    quiet: Config = {"http": {"enabled": False}, "worker": {"engine": "null", "threads": 1}}
    path.write_text(yaml.safe_dump(quiet | config))
    return path
