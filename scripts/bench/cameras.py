"""How many cameras one machine carries: real RTSP streams, the real product, the shipped detector, and its peers.

    python scripts/bench/cameras.py cameras  [--cameras 64] [--seconds 120] [--repeats 1] [--no-peers] [--report FILE]
    python scripts/bench/cameras.py capacity [--low 32] [--high 128] [--report FILE]

The same as `framegate bench cameras` and `framegate bench capacity`. Definitions and how to read it: docs/capacity.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[2]))

from app.bench.cameras import add_cameras, add_capacity
from pipelines.worker.engines.folded import read_card
from scripts.bench.cameras_clip import CACHE, RECIPE, Clip, clips, detector
from scripts.bench.cameras_figures import Figures, figures, worst
from scripts.bench.cameras_run import During, RunSpec, rtsp_server, run, storms
from scripts.bench.cameras_scene import timelines
from scripts.bench.cameras_search import largest
from scripts.bench.peers.run import PEERS, carried
from scripts.bench.record import record

PACKAGES = ("av", "numpy", "opencv-python-headless", "onnxruntime")
PEER_CAMERAS = 64
STEP = 4
LIMITS: dict[str, tuple[str, str, float]] = {
    "result p80": ("result_ms", "p80", 87.0),
    "result p99": ("result_ms", "p99", 250.0),
    "wake p95": ("wake_ms", "p95", 400.0),
}
"""What a number of cameras must keep beside being carried: (figure, quantile, most ms)."""


def tell(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def run_cameras(arguments: argparse.Namespace) -> int:
    """`bench cameras`. 0: every camera was carried and every account balances."""
    played = _timelines(arguments)
    runs, found = [], []
    for repeat in range(arguments.repeats):
        tell(f"run {repeat + 1} of {arguments.repeats}: {arguments.cameras} cameras")
        during = storms(arguments.storm, arguments.seconds) if arguments.storm else None
        one, seen = _measured(_spec(arguments, played, arguments.cameras, arguments.seconds), during)
        runs.append(one)
        found += seen
    out = worst(runs, found) | _fixed(played) | {"codec": arguments.codec, "storm_s": arguments.storm}
    out["peers"] = _peers(played) if arguments.peers else {}
    if arguments.storm:  # a camera goes on at another picture than where it broke off: its events cannot be told
        out = {name: value for name, value in out.items() if not name.startswith(("event", "found", "missed"))}
    if arguments.repeats > 1:
        out["runs"] = runs
    _finish("cameras", arguments, out)
    return 0 if out["carried"] == out["cameras"] and not out["imbalance"] else 1


def run_capacity(arguments: argparse.Namespace) -> int:
    """`bench capacity`. 0: a number was found and confirmed at length."""
    played = _timelines(arguments)
    tries: dict[int, Figures] = {}

    def fits(n: int) -> bool:
        tries[n], _ = _measured(_spec(arguments, played, n, arguments.seconds))
        return not broken(tries[n])

    most = largest(fits, arguments.low, arguments.high, arguments.guess, STEP)
    confirmed: Figures | None = None
    while most >= arguments.low and confirmed is None:
        tell(f"confirming {most} cameras for {arguments.confirm:g} s")
        confirmed, _ = _measured(_spec(arguments, played, most, arguments.confirm))
        if broken(confirmed):
            confirmed = None
            most -= STEP
    out: Figures = (confirmed or {"cameras": 0, "carried": 0}) | _fixed(played)
    out["capacity"] = max(0, most)
    out["tries"] = {str(n): {"broken": broken(one), **_short(one)} for n, one in sorted(tries.items())}
    if arguments.overload > most > 0:
        beyond, _ = _measured(_spec(arguments, played, arguments.overload, arguments.seconds))
        out["overload"] = {**_short(beyond), "of_capacity": round(beyond["carried"] / most, 3)}
    out["peers"] = _peers(played) if arguments.peers else {}
    _finish("capacity", arguments, out)
    return 0 if confirmed else 1


def broken(one: Figures) -> list[str]:
    """Which rules a run did not keep; empty if it kept all."""
    out = []
    if one["carried"] < one["cameras"]:
        out.append(f"carried {one['carried']} of {one['cameras']}")
    if one["imbalance"]:
        out.append(f"imbalance {one['imbalance']}")
    for name, (figure, quantile, most) in LIMITS.items():
        value = one[figure].get(quantile)
        if value is not None and value > most:
            out.append(f"{name} {value:.0f} > {most:.0f} ms")
    return out


def _measured(spec: RunSpec, during: During | None = None) -> tuple[Figures, list[Any]]:
    path, _ = detector()
    one, found = figures(run(spec, tell, during), read_card(path).score_threshold)
    tell(f"{spec.cameras} cameras: {json.dumps(_short(one))}")
    return one, found


def _short(one: Figures) -> Figures:
    names = (
        "cameras",
        "carried",
        "result_ms",
        "wake_ms",
        "event_recall",
        "cores",
        "server_cpu",
        "other_cores",
        "headroom",
    )
    return {name: one[name] for name in names}


def _timelines(arguments: argparse.Namespace) -> list[Clip]:
    recipe = replace(RECIPE, codec=arguments.codec)
    return clips(timelines(arguments.timelines, arguments.timeline_seconds), recipe, tell, arguments.cache or CACHE)


def _spec(arguments: argparse.Namespace, played: Sequence[Clip], cameras: int, seconds: float) -> RunSpec:
    config = yaml.safe_load(arguments.config.read_text()) if arguments.config else {}
    return RunSpec(
        cameras,
        seconds,
        tuple(played),
        opens_per_s=arguments.opens_per_s,
        settle_s=arguments.settle,
        config=config,
    )


def _fixed(played: Sequence[Clip]) -> Figures:
    """What was the same in all runs."""
    frames = sum(clip.frames for clip in played)
    size = sum(clip.path.stat().st_size for clip in played)
    return {
        "timelines": [clip.path.name for clip in played],
        "activity": round(sum(clip.active for clip in played) / frames, 4),
        "bits_per_s": round(size * 8 / frames * played[0].fps),
        "detector_sha256": detector()[1],
        "host_cores": os.cpu_count(),
    }


def _peers(played: Sequence[Clip]) -> Figures:
    """What each peer carries: of the same server, clips and cores."""
    out = {}
    with rtsp_server(played, PEER_CAMERAS, RunSpec(0, 0, ()).offset_s) as (urls, server):
        for peer in PEERS:
            out[peer.name] = carried(peer, urls, server, played[0].fps, tell)
            record("peers", len(out[peer.name].get("tries", ())), {"peer": peer.name, **out[peer.name]}, PACKAGES)
    return {name: one["carried"] if one["carried"] is not None else one["skipped"] for name, one in out.items()}


def _finish(name: str, arguments: argparse.Namespace, out: Figures) -> None:
    if arguments.report is not None:
        arguments.report.write_text(json.dumps(out, indent=2) + "\n")
    record(name, out.get("result_ms", {}).get("n", 0), {k: v for k, v in out.items() if k != "runs"}, PACKAGES)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_cameras(commands.add_parser("cameras"))
    add_capacity(commands.add_parser("capacity"))
    arguments = parser.parse_args()
    command: Callable[[argparse.Namespace], int] = arguments.command
    return command(arguments)


if __name__ == "__main__":
    sys.exit(main())
