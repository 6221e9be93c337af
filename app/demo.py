"""`framegate demo`: simulated cameras through the whole pipe, the worker a process of its own, with a live table."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from app.config.deployment import Config
from app.dpu import Dpu
from app.measure import Measure
from app.observe.log import configure, get_logger
from app.observe.options import LogOptions
from app.observe.report import build_report, write_report
from app.observe.snapshot import ObservedSnapshot
from pipelines.errors import ConfigError, SourceError
from pipelines.values import CameraState, Outcome

_REFRESH_S = 0.5
_PLAIN_S = 5.0
_PLAIN_COLUMNS = 160
_SERVER_START_S = 30.0


@dataclass(frozen=True, slots=True)
class DemoSpec:
    """What `framegate demo` was asked for."""

    cameras: int
    seconds: float
    clips: tuple[Path, ...]
    model: str
    out: Path
    report: Path | None
    rtsp: bool
    kafka: str | None
    mqtt: str | None


def run(spec: DemoSpec) -> int:
    """Run it. Exit code 0 when every account balances and every camera delivered.

    Raises:
        ConfigError: a clip is missing, or the RTSP server cannot be started.
    """
    for clip in spec.clips:
        if not clip.is_file():
            raise ConfigError(f"--clip {clip}: no such file")
    spec.out.mkdir(parents=True, exist_ok=True)
    for old in (*spec.out.glob("*.jsonl"), *spec.out.glob("pictures/*/*.jpg")):
        old.unlink()
    with _urls(spec) as urls, (spec.out / "log.jsonl").open("w") as log:
        configure(LogOptions(), log)
        config = Config.model_validate(deployment(spec, urls))
        return asyncio.run(_run(config, spec, log))


def deployment(spec: DemoSpec, urls: list[str]) -> dict[str, Any]:
    """The demo's configuration, as it would stand in a YAML file."""
    sinks: dict[str, Any] = {"file": {"type": "jsonl", "path": str(spec.out / "alerts.jsonl")}}
    if spec.kafka:
        sinks["kafka"] = {"type": "kafka", "servers": [spec.kafka], "topic": "framegate.alerts"}
    if spec.mqtt:
        host, _, port = spec.mqtt.rpartition(":")
        sinks["mqtt"] = {"type": "mqtt", "host": host or spec.mqtt, "port": port or 1883}
    return {
        "http": {"port": 0},
        "model": {"detector": str(spec.model)},
        "cameras": {
            f"cam-{n:02d}": {
                "url": url,
                "file": {"loop": True, "start_offset_s": round(n * 7.3, 1)},
                "presence": {"warmup_s": 3},
                "snapshot": {"mode": "file", "directory": str(spec.out / "pictures"), "max_width_px": 960},
            }
            for n, url in enumerate(urls, 1)
        },
        "sinks": sinks,
    }


async def _run(config: Config, spec: DemoSpec, log: IO[str]) -> int:
    dpu = Dpu(config, Measure(get_logger("dpu")), worker_log=log)
    running = asyncio.create_task(dpu.run())
    asyncio.get_running_loop().call_later(spec.seconds, dpu.stop)
    console = Console() if sys.stdout.isatty() else Console(width=_PLAIN_COLUMNS)
    async with _shown(dpu, console):
        await running
    snapshot = dpu.observe()
    report = build_report(snapshot)
    for path in filter(None, (spec.out / "report.json", spec.report)):
        write_report(path, report)
    console.print(accounts(snapshot))
    console.print(_summary(snapshot, spec))
    return 0 if _sound(snapshot) else 1


@asynccontextmanager
async def _shown(dpu: Dpu, console: Console) -> AsyncIterator[None]:
    """The live table on a terminal, else a line now and then."""
    task = asyncio.create_task(_show(dpu, console))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _show(dpu: Dpu, console: Console) -> None:
    if not console.is_terminal:
        while True:
            await asyncio.sleep(_PLAIN_S)
            console.print(_line(dpu.observe()))
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(Group(table(dpu.observe()), _line(dpu.observe())), refresh=True)
            await asyncio.sleep(_REFRESH_S)


def table(snapshot: ObservedSnapshot) -> Table:
    """One row per camera, as things stand."""
    out = Table(title="Framegate")
    for name in ("camera", "state", "packets", "paced", "still", "empty", "to worker", "other", "alerts"):
        out.add_column(name, justify="left" if name in ("camera", "state") else "right")
    for name, camera in snapshot.cameras.items():
        count = camera.ledger.outcomes
        shown = (Outcome.PACED, Outcome.STILL, Outcome.EMPTY, Outcome.INFERRED)
        other = sum(n for outcome, n in count.items() if outcome not in shown)
        cells = [count.get(outcome, 0) for outcome in shown]
        style = "green" if camera.state is CameraState.LIVE else "yellow"
        numbers = [camera.ledger.packets, *cells, other, camera.alerts]
        out.add_row(name, Text(camera.state.value, style), *(f"{n:,}" for n in numbers))
    return out


def accounts(snapshot: ObservedSnapshot) -> Table:
    """The law, camera by camera: packets == sum of outcomes + in flight."""
    used = [o for o in Outcome if any(c.ledger.outcomes.get(o) for c in snapshot.cameras.values())]
    out = Table(title="Every packet accounted for", caption="packets = the outcomes + in flight")
    out.add_column("camera")
    for name in ("packets", *(o.value for o in used), "in flight", "imbalance"):
        out.add_column(name, justify="right")
    for name, camera in snapshot.cameras.items():
        ledger = camera.ledger
        numbers = [ledger.packets, *(ledger.outcomes.get(o, 0) for o in used), ledger.in_flight, ledger.imbalance]
        out.add_row(name, *(f"{n:,}" for n in numbers))
    return out


def _line(snapshot: ObservedSnapshot) -> str:
    packets = sum(c.ledger.packets for c in snapshot.cameras.values())
    due = sum(c.ledger.due for c in snapshot.cameras.values())
    inferred = sum(c.ledger.outcomes.get(Outcome.INFERRED, 0) for c in snapshot.cameras.values())
    latency = snapshot.latencies.get("arrival_to_result")
    wait = f", arrival to result p50 {latency.quantile_ms(0.5):.0f} ms" if latency and latency.count else ""
    share = f" ({inferred / due:.0%} of due frames)" if due else ""
    worker = next(iter(snapshot.workers.values()))
    return (
        f"{snapshot.uptime_s:4.0f} s: {packets:,} packets, {inferred:,} frames to the worker{share}, "
        f"{snapshot.alerts} alerts{wait}; worker {worker.state.value}"
    )


def _summary(snapshot: ObservedSnapshot, spec: DemoSpec) -> str:
    pictures = sorted((spec.out / "pictures").rglob("*.jpg"))
    lines = [
        _line(snapshot),
        f"CPU {snapshot.cpu_s / max(snapshot.uptime_s, 1e-9):.2f} cores, worker included",
        f"alerts    {spec.out / 'alerts.jsonl'}",
        f"pictures  {len(pictures)} in {spec.out / 'pictures'}",
        f"report    {spec.out / 'report.json'}",
        f"log       {spec.out / 'log.jsonl'}",
    ]
    return "\n".join(lines)


def _sound(snapshot: ObservedSnapshot) -> bool:
    cameras = snapshot.cameras.values()
    return bool(cameras) and all(c.ledger.imbalance == 0 and c.ledger.packets > 0 for c in cameras)


@contextmanager
def _urls(spec: DemoSpec) -> Iterator[list[str]]:
    """One address per camera: the clips in turn, or an RTSP server that plays them."""
    if not spec.rtsp:
        yield [str(spec.clips[n % len(spec.clips)].absolute()) for n in range(spec.cameras)]
        return
    script = Path(__file__).parents[1] / "scripts" / "rtsp_cameras"
    if not script.is_file():
        raise ConfigError(f"--rtsp needs {script}, which comes with the source tree")
    command = [str(script), "--port", "0", "--cameras", str(spec.cameras), *map(str, spec.clips)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield _announced(server)
    finally:
        server.terminate()
        server.wait(10)


def _announced(server: subprocess.Popen[str]) -> list[str]:
    """The URLs that the server prints, as one JSON line, once it plays."""
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line:
        raise SourceError(f"the RTSP server ended with {server.wait(_SERVER_START_S)}: see its message above")
    urls: list[str] = json.loads(line)["urls"]
    return urls
