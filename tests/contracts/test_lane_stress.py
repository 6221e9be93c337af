"""Many slots with checksums through a shared-memory lane, while either process is killed at random moments."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contracts.stress_peer import OPTIONS, Count, counters

ROOT = Path(__file__).parents[2]
LONG = os.environ.get("FRAMEGATE_LONG") == "1"
PATIENCE_S = 60.0
SMALL_WH, FULL_WH = (64, 42), (640, 640)
"""4,032 bytes, which is a slot of 4 kB, and 614,400."""


class Life:
    """One process from its start to its death, and what it had counted by then."""

    def __init__(self, role: str, directory: Path, number: int, wh: tuple[int, int]) -> None:
        file = directory / f"{role}-{number}"
        self.counts = counters(file)
        command = [sys.executable, "-m", "tests.contracts.stress_peer", role, str(directory / "worker.sock")]
        self.process = subprocess.Popen(
            [*command, str(file), str(wh[0]), str(wh[1])], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __getitem__(self, count: Count) -> int:
        return int(self.counts[count])

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


class Lives:
    """The present process of each role, and all there ever were."""

    def __init__(self, directory: Path, wh: tuple[int, int]) -> None:
        self._directory, self._wh = directory, wh
        self.all: dict[str, list[Life]] = {"worker": [], "dpu": []}

    def start(self, role: str) -> None:
        lives = self.all[role]
        lives.append(Life(role, self._directory, len(lives), self._wh))

    def kill(self, role: str) -> None:
        self.all[role][-1].kill()

    def sum(self, role: str, count: Count) -> int:
        return sum(life[count] for life in self.all[role])

    @property
    def answered(self) -> int:
        return self.sum("dpu", Count.ANSWERED)

    def wait(self, condition: Callable[[], bool]) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < until_s, "no progress"
            assert all(lives[-1].process.poll() is None for lives in self.all.values()), "a process ended by itself"
            time.sleep(0.001)


@pytest.mark.parametrize(
    ("wh", "slots", "kills"),
    [(SMALL_WH, 1_000_000, 60), (FULL_WH, 10_000, 60)] if LONG else [(SMALL_WH, 10_000, 4), (FULL_WH, 400, 4)],
    ids=["4kB", "full"],
)
@pytest.mark.timeout(1800)
def test_every_slot_settles_once_whoever_is_killed(tmp_path: Path, wh: tuple[int, int], slots: int, kills: int) -> None:
    rng, lives = random.Random(slots), Lives(tmp_path, wh)
    moments = sorted(rng.randrange(slots) for _ in range(kills))
    try:
        for role in lives.all:
            lives.start(role)
        for number, moment in enumerate(moments):
            lives.wait(lambda: lives.answered >= moment)  # noqa: B023
            role = ("worker", "dpu")[number % 2]
            lives.kill(role)
            lives.start(role)
        lives.wait(lambda: lives.answered >= slots)
        last = lives.all["dpu"][-1].process
        assert last.stdin
        assert last.stdout
        last.stdin.write(b"\n")
        last.stdin.flush()
        assert last.stdout.readline() == b"settled 0\n"
    finally:
        for role in lives.all:
            lives.kill(role)

    for life in lives.all["dpu"][:-1]:
        out = life[Count.OFFERED] - life[Count.REFUSED] - life[Count.ANSWERED] - life[Count.LOST]
        assert 0 <= out <= OPTIONS.slots + 1, "what a killed process had out is bounded by its slots"
    end = lives.all["dpu"][-1]
    assert end[Count.OFFERED] == end[Count.REFUSED] + end[Count.ANSWERED] + end[Count.LOST]
    assert lives.sum("dpu", Count.WRONG) == 0
    assert lives.sum("worker", Count.TAKEN_TWICE) == lives.sum("worker", Count.CHECKSUM_FAILURES) == 0
    assert lives.sum("worker", Count.TAKEN) >= lives.answered >= slots
    assert lives.sum("dpu", Count.LOSSES) >= kills // 2 - kills // 4, "workers were killed under their lanes"
