"""One run of the capacity bench: RTSP server, product, worker on this machine, and what was noted of them."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from scripts.bench.cameras_account import Answered, Window, answered
from scripts.bench.cameras_clip import DETECTOR, Clip
from scripts.bench.cameras_machine import Reading, Sampler, children
from scripts.bench.cameras_truth import CameraTruth

ROOT = Path(__file__).parents[2]
_SERVER_START_S = 60.0
_WRITE_S = 15.0
_STOP_S = 30.0
HEARTBEAT_S = 15.0
ANALYSE_FPS = 5
Tell = Callable[[str], None]
During = Callable[["Running"], None]


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What to run."""

    cameras: int
    seconds: float
    """Measured, after the warm-up."""
    clips: tuple[Clip, ...]
    opens_per_s: float = 2.0
    """Cameras that start decode until they know their quiet: all at once would be an overload of its own."""
    settle_s: float = 45.0
    """From the last camera's opening to the measurement: the presence model learns for 30 s."""
    offset_s: float = 1.7
    config: dict[str, Any] = field(default_factory=dict)
    """Laid over the deployment's configuration."""

    @property
    def warm_up_s(self) -> float:
        return self.cameras / self.opens_per_s + self.settle_s

    def clip_of(self, number: int) -> Clip:
        return self.clips[number % len(self.clips)]


@dataclass(frozen=True, slots=True)
class Run:
    """What was noted."""

    spec: RunSpec
    window: Window
    first: dict[str, Any]
    """The product's report at the beginning of the window."""
    last: dict[str, Any]
    """The same at its end."""
    final: dict[str, Any]
    """The same at exit, when everything is settled."""
    truths: dict[str, CameraTruth]
    frames: list[Answered]
    """Answered frames that arrived within the window."""
    readings: list[Reading]
    thread_cpu_s: dict[str, float]
    """CPU seconds of the product's threads in the window: "pumps", "other"."""


@dataclass(frozen=True, slots=True)
class Running:
    """The product at work."""

    process: subprocess.Popen[bytes]
    folder: Path
    server: int
    """Process id."""

    def wait(self, seconds: float) -> None:
        """Let time pass. Raises BenchError where the product ends meanwhile."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        raise BenchError(f"the product ended by itself with {self.process.returncode}:\n{_tail(self.folder)}")

    def report(self) -> tuple[dict[str, Any], int]:
        """The product's report of now, and the monotonic ns at which it was asked for."""
        path = self.folder / "report.json"
        before = path.stat().st_mtime_ns if path.exists() else 0
        asked_ns = time.monotonic_ns()
        self.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + _WRITE_S
        while not path.exists() or path.stat().st_mtime_ns == before:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise BenchError(f"the product wrote no report:\n{_tail(self.folder)}")
            time.sleep(0.01)
        return json.loads(path.read_text()), asked_ns


class BenchError(RuntimeError):
    """The run cannot be had; the text is for people."""


def camera_id(number: int) -> str:
    return f"cam{number:03d}"


@contextmanager
def rtsp_server(clips: Sequence[Clip], cameras: int, offset_s: float) -> Iterator[tuple[list[str], int]]:
    """(URLs, process id) of a server that plays the clips in turn."""
    arguments = ["--port", "0", "--cameras", str(cameras), "--offset-s", str(offset_s), "--fps", str(clips[0].fps)]
    server = [sys.executable, "-m", "scripts.bench.cameras_server"]
    command = [*server, *arguments, *(str(clip.path.absolute()) for clip in clips)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], _SERVER_START_S)
        line = process.stdout.readline() if ready else ""
        if not line:
            raise BenchError("the RTSP server did not start")
        yield json.loads(line)["urls"], process.pid
    finally:
        _end(process)


def deployment(spec: RunSpec, urls: Sequence[str], folder: Path) -> dict[str, Any]:
    """The product's configuration: everything at its default, but for what the bench fixes."""
    base: dict[str, Any] = {
        "http": {"enabled": False},
        "model": {"detector": DETECTOR},
        "worker": {"engine": "onnx", "threads": 1},
        "stagger": {"opens_per_s": spec.opens_per_s},
        "defaults": {
            "analyse_fps": ANALYSE_FPS,
            "heartbeat_s": HEARTBEAT_S,
            "gate": {"heartbeat_s": HEARTBEAT_S},
            "rtsp": {"decoder": {"deblock": "key"}},  # what short groups allow (docs/configuration.md)
        },
        "sinks": {
            "file": {
                "type": "jsonl",
                "path": str(folder / "alerts.jsonl"),
                "detections_path": str(folder / "detections.jsonl"),
                "health_path": str(folder / "health.jsonl"),
            }
        },
        "cameras": {camera_id(n): {"url": url} for n, url in enumerate(urls)},
    }
    return merged(base, spec.config)


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`, mapping by mapping."""
    out = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = merged(out[key], value) if both else value
    return out


def storms(each_s: float, seconds: float) -> During:
    """All connections break at once, again and again."""

    def during(running: Running) -> None:
        left_s = seconds
        while left_s > each_s:
            running.wait(each_s)
            os.kill(running.server, signal.SIGUSR1)
            left_s -= each_s
        running.wait(left_s)

    return during


def run(spec: RunSpec, tell: Tell, during: During | None = None) -> Run:
    """Warm up, measure, stop. Blocks for the warm-up, the measurement and a few seconds.

    Args:
        during: What happens while it is measured; nothing for `spec.seconds`.

    Raises:
        BenchError: the server or the product did not start, or ended by itself.
    """
    with (
        tempfile.TemporaryDirectory(prefix="framegate-bench-") as name,
        rtsp_server(spec.clips, spec.cameras, spec.offset_s) as (urls, server),
    ):
        folder = Path(name)
        (folder / "framegate.yaml").write_text(yaml.safe_dump(deployment(spec, urls, folder)))
        with _product(spec, folder) as product:
            running = Running(product, folder, server)
            running.wait(spec.warm_up_s)
            tell(f"{spec.cameras} cameras, warm after {spec.warm_up_s:.0f} s; measuring for {spec.seconds:g} s")
            pids = {"dpu": [product.pid], "worker": children(product.pid), "server": [server], "bench": [os.getpid()]}
            first, first_ns = running.report()
            threads = _threads(product.pid)
            with Sampler(pids) as sampler:
                during(running) if during else running.wait(spec.seconds)
            used = {thread: cpu_s - threads.get(thread, 0.0) for thread, cpu_s in _threads(product.pid).items()}
            last, last_ns = running.report()
        return _read(spec, folder, (first_ns, last_ns), (first, last), sampler.readings, used)


@contextmanager
def _product(spec: RunSpec, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    truth = ["--truth", str(folder / "truth.json")]
    product = ["run", str(folder / "framegate.yaml"), "--report", str(folder / "report.json")]
    command = [sys.executable, "-m", "scripts.bench.cameras_product", *truth, *product]
    with (folder / "log.jsonl").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            yield process
        finally:
            _end(process)
    if process.returncode != 0:
        raise BenchError(f"the product ended with {process.returncode}:\n{_tail(folder)}")


def _tail(folder: Path) -> str:
    return (folder / "log.jsonl").read_text(errors="replace")[-3000:]


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _threads(pid: int) -> dict[int, float]:
    """CPU seconds of each thread, by native id."""
    out = {}
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            out[int(path.parent.name)] = int(path.read_text().split()[0]) / 1e9
        except (FileNotFoundError, ProcessLookupError):
            continue
    return out


def _read(
    spec: RunSpec,
    folder: Path,
    edges_ns: tuple[int, int],
    reports: tuple[dict[str, Any], dict[str, Any]],
    readings: list[Reading],
    used: dict[int, float],
) -> Run:
    window = Window(*edges_ns, wall_ns=time.time_ns() - time.monotonic_ns())
    notes = json.loads((folder / "truth.json").read_text())
    truths = {
        camera_id(n): CameraTruth(notes[camera_id(n)], spec.clip_of(n).frames, spec.clip_of(n).fps)
        for n in range(spec.cameras)
        if camera_id(n) in notes
    }
    detections = folder / "detections.jsonl"
    lines = detections.read_text().splitlines() if detections.exists() else []
    frames = [answered(json.loads(line), window) for line in lines]
    pumps = {note["thread"] for note in notes.values()}
    return Run(
        spec,
        window,
        *reports,
        json.loads((folder / "report.json").read_text()),
        truths,
        [frame for frame in frames if window.first_ns <= frame.arrival_ns <= window.last_ns],
        readings,
        {
            "pumps": sum(cpu_s for thread, cpu_s in used.items() if thread in pumps),
            "other": sum(cpu_s for thread, cpu_s in used.items() if thread not in pumps),
        },
    )
