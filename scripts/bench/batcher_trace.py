"""Arrivals at the worker: when each task comes, from which camera, and until when its answer is worth anything.

A deadline counts from the frame's arrival at the DPU, so a task has less left the longer decoding, gates and the ring
took (its lag). Lags are drawn from those recorded; the first frame after a wake-up has a catch-up decode behind it.

scripts/bench/traces/arrivals.json is what the worker of `framegate run` got from 20 cameras (drawn clips, looped, all
gates on, null engine), made from the timelines that a file sink notes with `detections_path`:

    python -m scripts.bench.batcher_trace DETECTIONS.jsonl
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "traces" / "arrivals.json"
MS = 1_000_000
S = 1_000_000_000
SECONDS = 40
DEADLINE_MS = 1000
"""The product's default."""
MIXED_MS = (500, 1000, 2000, 4000)


@dataclass(frozen=True, slots=True)
class Task:
    at_ns: int
    camera: int
    deadline_ns: int


Tasks = list[Task]
Deadline = Callable[[int], int]
"""camera -> ms from a frame's arrival."""


@cache
def recorded_arrivals() -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads(FILE.read_text())
    return recorded


def same(camera: int) -> int:
    del camera
    return DEADLINE_MS


def mixed(camera: int) -> int:
    """A quarter of the cameras each: `deadline_ms` is an option of a camera."""
    return MIXED_MS[camera * 7 % len(MIXED_MS)]


def poisson(rng: random.Random, per_s: float, cameras: int = 64) -> Tasks:
    """Independent arrivals."""
    times = _until_end(lambda: rng.expovariate(per_s))
    return _sorted(_frame(rng, s, rng.randrange(cameras), same) for s in times)


def in_phase(rng: random.Random, per_s: float, cameras: int = 64) -> Tasks:
    """All cameras deliver together, as far as lags let them."""
    period_s = cameras / per_s
    return _sorted(
        _frame(rng, round_ * period_s, camera, same)
        for round_ in range(int(SECONDS / period_s))
        for camera in range(cameras)
    )


def waves(
    rng: random.Random, per_s: float, cameras: int = 128, every_s: float = 6.0, deadline: Deadline = same
) -> Tasks:
    """Something wakes nearly all cameras at once (light, rain, a train), for about two seconds; little in between.

    Args:
        per_s: while all are awake.
    """
    fps = per_s / cameras
    frames = [_frame(rng, s, rng.randrange(cameras), deadline) for s in _until_end(lambda: rng.expovariate(40))]
    for start_s in _until_end(lambda: every_s * rng.uniform(0.5, 1.5)):
        for camera in rng.sample(range(cameras), rng.randint(cameras * 7 // 8, cameras)):
            woken_s = start_s + rng.uniform(0, 0.2)
            frames.append(_frame(rng, woken_s, camera, deadline, lag_ms=rng.uniform(60, 250)))
            frames += [
                _frame(rng, woken_s + number / fps, camera, deadline)
                for number in range(1, int(rng.uniform(1.5, 2.5) * fps))
            ]
    return _sorted(frames)


def recorded(rng: random.Random, speed: float = 1.0) -> Tasks:
    """What a pipe delivered, from a place that the seed chooses on, at `speed`."""
    rows = recorded_arrivals()
    length_ms = rows["at_ms"][-1]
    offset_ms = rng.uniform(0, length_ms)
    tasks = []
    for at_ms, camera, lag_ms in zip(rows["at_ms"], rows["camera"], rows["lag_ms"], strict=True):
        at_ns = int((at_ms - offset_ms) % length_ms / speed * MS)
        tasks.append(Task(at_ns, camera, at_ns + int((DEADLINE_MS - lag_ms) * MS)))
    return _sorted(tasks)


def _frame(rng: random.Random, arrival_s: float, camera: int, deadline: Deadline, lag_ms: float = -1) -> Task:
    arrival_ns = int(arrival_s * S)
    lag_ms = lag_ms if lag_ms >= 0 else rng.choice(recorded_arrivals()["lag_ms"])
    return Task(arrival_ns + int(lag_ms * MS), camera, arrival_ns + deadline(camera) * MS)


def _until_end(gap: Callable[[], float]) -> Iterator[float]:
    """Times in s, a gap apart."""
    at_s = gap()
    while at_s < SECONDS:
        yield at_s
        at_s += gap()


def _sorted(tasks: Iterable[Task]) -> Tasks:
    return sorted(tasks, key=lambda task: task.at_ns)


def convert(lines: Sequence[str]) -> dict[str, Any]:
    """Lines of a detections file to the form of arrivals.json."""
    rows = []
    for record in map(json.loads, lines):
        lag_ms = record["timeline_ms"]["taken"]
        rows.append((record["time"] + lag_ms, record["camera_id"], lag_ms))
    rows.sort()
    numbers = {camera: number for number, camera in enumerate(sorted({row[1] for row in rows}))}
    return {
        "at_ms": [round(at_ms - rows[0][0], 1) for at_ms, _, _ in rows],
        "camera": [numbers[camera] for _, camera, _ in rows],
        "lag_ms": [round(lag_ms, 1) for _, _, lag_ms in rows],
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(convert(Path(sys.argv[1]).read_text().splitlines()), separators=(",", ":")) + "\n")
