"""One line of JSON for each measurement: what was measured, on what, with what command.

The lines in scripts/bench/results/ are what claims of speed rest on; they are appended, never edited.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "scripts" / "bench" / "results"


def record(name: str, n: int, figures: Mapping[str, object], packages: Sequence[str] = ("numpy",)) -> None:
    """Append one line to results/<name>.jsonl and show it.

    Args:
        n: How often the thing measured was done.
        figures: The measurement; units in the names (`_us`, `_ms`, `_bytes`, `_fps`).
        packages: Distributions whose version matters here.
    """
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "host": {"cpu": _cpu(), "cores": os.cpu_count(), "machine": platform.machine(), "kernel": platform.release()},
        "load_1m": round(os.getloadavg()[0], 1),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
        "command": " ".join(["python", os.path.relpath(sys.argv[0], ROOT), *sys.argv[1:]]),
        "n": n,
        "figures": figures,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(line)
    with (RESULTS / f"{name}.jsonl").open("a") as file:
        file.write(text + "\n")
    sys.stdout.write(text + "\n")


def percentiles(values: Sequence[float], digits: int = 1) -> dict[str, float]:
    """{"p50", "p95", "p99"} by rank."""
    ordered = sorted(values)
    return {f"p{p}": round(ordered[min(len(ordered) - 1, len(ordered) * p // 100)], digits) for p in (50, 95, 99)}


def _commit() -> str:
    """Of the checkout, with + if it differs from that; "unknown" outside git."""
    try:
        text = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"], cwd=ROOT, capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return text.stdout.decode().strip()


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
