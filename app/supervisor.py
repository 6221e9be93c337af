"""Keeps one child process alive: starts it, restarts it with a brake, stops it in two steps.

The child is a fresh interpreter (never a fork: the parent has threads). Whether it still answers is the lane's business
(ping); the supervisor is told to `restart()` a child that hangs, and once that it `answered()`. One that has not within
`start_s` of its start hangs too.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

from pipelines.errors import FramegateError

_HEALTHY_S = 10.0
"""A child that lived this long resets the brake."""


@dataclass(frozen=True, slots=True)
class Brake:
    """How fast a child that keeps dying is started again. Pure."""

    first_s: float = 0.1
    factor: float = 2.0
    most_s: float = 10.0

    def wait_s(self, deaths: int) -> float:
        """Before the restart that follows the `deaths`-th early death in a row (from 1)."""
        return min(self.most_s, self.first_s * self.factor ** (deaths - 1))


class Supervisor:
    """One supervised child. Event-loop only."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        on_state: Callable[[str, str], None],
        brake: Brake | None = None,
        stop_s: float = 5.0,
        stderr: IO[str] | None = None,
        hopeless: Callable[[int], FramegateError | None] = lambda code: None,
        start_s: float | None = None,
    ) -> None:
        """
        Args:
            start_s: From a child's start to its first `answered()`; it is killed if it takes longer. None: for ever.
            stderr: Where the child's log goes; None: to ours.
            hopeless: Told the exit code of a child that died; `run` raises its error instead of starting another.
        """
        self._name = name
        self._command = command
        self._on_state = on_state
        self._brake = brake or Brake()
        self._stop_s = stop_s
        self._stderr = stderr
        self._hopeless = hopeless
        self._start_s = start_s
        self._answered = False
        self._mute = False
        """The child was killed because it did not answer in time."""
        self._process: asyncio.subprocess.Process | None = None
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """Of the running child, else None."""
        return self._process.pid if self._process and self._process.returncode is None else None

    def restart(self) -> None:
        """The child hangs: kill it; `run` starts another."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def answered(self) -> None:
        """The child does what it is there for."""
        self._answered = True

    async def run(self) -> None:
        """Keep the child running until cancelled; then stop it: SIGTERM, and SIGKILL after `stop_s`.

        Raises:
            FramegateError: what `hopeless` made of the child's exit code.
        """
        early_deaths = 0
        try:
            while True:
                began = time.monotonic()
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stderr=self._stderr,
                    start_new_session=True,  # Ctrl-C is for us: we stop the child when we have no more use for it
                )
                self._on_state("started", f"{self._name} pid {self._process.pid}")
                code = await self._outlived(self._process)
                if (error := self._hopeless(code)) is not None:
                    raise error
                healthy = time.monotonic() - began > _HEALTHY_S and not self._mute
                early_deaths = 1 if healthy else early_deaths + 1
                self.restarts += 1
                wait_s = self._brake.wait_s(early_deaths)
                self._on_state("died", f"{self._name} {_death(code)}; starting again in {wait_s:.1f} s")
                await asyncio.sleep(wait_s)
        finally:
            await self._end()

    async def _outlived(self, process: asyncio.subprocess.Process) -> int:
        """Wait for the child's end, and see that it answers. Returns its exit code."""
        self._answered = self._mute = False
        if self._start_s is None:
            return await process.wait()
        late = asyncio.get_running_loop().call_later(self._start_s, self._give_up, process)
        try:
            return await process.wait()
        finally:
            late.cancel()

    def _give_up(self, process: asyncio.subprocess.Process) -> None:
        """The time to start is over."""
        if self._answered or process.returncode is not None:
            return
        self._mute = True
        self._on_state("hangs", f"{self._name} pid {process.pid} has not answered in {self._start_s:g} s: killing it")
        process.kill()

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self._stop_s)
        except TimeoutError:
            self._on_state("killed", f"{self._name} did not stop within {self._stop_s:g} s")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _death(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"exited with {code}"
