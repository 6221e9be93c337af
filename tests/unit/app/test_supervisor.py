"""A child process is kept alive with a brake and stopped in two steps."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from app.supervisor import Brake, Supervisor
from pipelines.errors import ModelError


class States:
    """What a supervisor said, to wait for."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self._news = asyncio.Event()

    def __call__(self, state: str, text: str) -> None:
        self.said.append((state, text))
        self._news.set()

    async def count(self, state: str, times: int) -> None:
        async with asyncio.timeout(10):
            while sum(s == state for s, _ in self.said) < times:
                self._news.clear()
                await self._news.wait()


def test_brake_doubles_up_to_its_most() -> None:
    brake = Brake(first_s=0.1, factor=2, most_s=1)
    assert [brake.wait_s(n) for n in (1, 2, 3, 10)] == [0.1, 0.2, 0.4, 1]


async def test_a_child_that_dies_is_started_again_and_says_how_it_died() -> None:
    states = States()
    supervisor = Supervisor("w", [sys.executable, "-c", "import sys; sys.exit(3)"], states, Brake(first_s=0.01))
    task = asyncio.create_task(supervisor.run())
    await states.count("started", 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert supervisor.restarts >= 2
    assert any("exited with 3; starting again" in text for _, text in states.said)


async def test_a_killed_child_is_replaced() -> None:
    states = States()
    supervisor = Supervisor("w", [sys.executable, "-c", "import time; time.sleep(60)"], states, Brake(first_s=0.01))
    task = asyncio.create_task(supervisor.run())
    await states.count("started", 1)
    first = supervisor.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await states.count("started", 2)
    assert supervisor.pid not in (None, first)
    assert ("died", "w was ended by SIGKILL; starting again in 0.0 s") in states.said
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert supervisor.pid is None


async def test_a_child_that_ignores_the_first_step_gets_the_second(tmp_path: Path) -> None:
    states = States()
    ready = tmp_path / "ready"
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    code = f"import signal, time, pathlib; {ignore}; pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    supervisor = Supervisor("w", [sys.executable, "-c", code], states, stop_s=0.1)
    task = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(10):
        while not ready.exists():
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert supervisor.pid is None
    assert states.said[-1] == ("killed", "w did not stop within 0.1 s")


async def test_a_child_that_cannot_be_helped_is_not_started_again() -> None:
    states = States()
    hopeless = ModelError("no such model")
    supervisor = Supervisor("w", [sys.executable, "-c", "import sys; sys.exit(3)"], states, hopeless={3: hopeless}.get)
    with pytest.raises(ModelError, match="no such model"):
        await supervisor.run()
    assert [state for state, _ in states.said] == ["started"]


SLEEPS = [sys.executable, "-c", "import time; time.sleep(60)"]


async def test_a_child_that_hangs_before_it_ever_answered_is_replaced_and_the_brake_holds() -> None:
    states = States()
    supervisor = Supervisor("w", SLEEPS, states, Brake(first_s=0.01), start_s=0.05)
    task = asyncio.create_task(supervisor.run())
    await states.count("started", 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    deaths = [text for state, text in states.said if state == "died"]
    assert [text.rpartition("again")[2] for text in deaths[:2]] == [" in 0.0 s", " in 0.0 s"]
    assert any("has not answered in 0.05 s: killing it" in text for state, text in states.said if state == "hangs")


async def test_a_child_that_was_given_up_is_no_long_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start limit beyond what counts as healthy must not release the brake."""
    monkeypatch.setattr("app.supervisor._HEALTHY_S", 0.0)
    states = States()
    supervisor = Supervisor("w", SLEEPS, states, Brake(first_s=0.1, factor=2), start_s=0.02)
    task = asyncio.create_task(supervisor.run())
    await states.count("died", 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    waits = [text.rpartition(" in ")[2] for state, text in states.said if state == "died"]
    assert waits[:2] == ["0.1 s", "0.2 s"]


async def test_a_child_that_answered_is_left_alone() -> None:
    states = States()
    supervisor = Supervisor("w", SLEEPS, states, start_s=0.05)
    task = asyncio.create_task(supervisor.run())
    await states.count("started", 1)
    supervisor.answered()
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.1, done.set_result, None)  # after the limit, which stands before it in line
    await done
    assert [state for state, _ in states.said] == ["started"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
