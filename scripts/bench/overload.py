"""Everybody at once: what becomes of 64 cameras when all of them must be decoded, and when that is over.

    python scripts/bench/overload.py [--cameras 64] [--calm 20] [--all 40]

The server, product and clips of the capacity bench (docs/capacity.md). Every eighth camera is of high priority, every
other eighth of low. After a calm time all are woken over HTTP (`POST /cameras/ID/wake`), which asks of the machine four
times what it has; then it is calm again. Told for each time: what was shed, by cause and by priority, how far reading
lagged, how late answers were; and how long after the end next to nothing was shed any more. Exit code 1 where the
account or the rules below do not hold. One line to scripts/bench/results/overload.jsonl.
"""

from __future__ import annotations

import argparse
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from scripts.bench.cameras import PACKAGES, tell
from scripts.bench.cameras_account import difference, latencies, quantiles
from scripts.bench.cameras_clip import RECIPE, clips
from scripts.bench.cameras_run import Run, Running, RunSpec, camera_id, run
from scripts.bench.cameras_scene import timelines
from scripts.bench.record import record
from scripts.bench.scenes.picture import FPS
from tests.servers.process import free_port

LOOK_S = 0.5
MOST_LAG_MS = 1000.0
MOST_RECOVERY_S = 10.0
FEW_SHED = 0.01
"""Of all packets."""
_QUIET_S = 5
_AFTER_S = 20.0
_PRIORITIES = ("high", "normal", "low")


def priority(number: int) -> str:
    return {0: "high", 4: "low"}.get(number % 8, "normal")


@dataclass(slots=True)
class Watch:
    """Calm, all awake, calm again; with a report every half second."""

    urls: Sequence[str]
    """To wake each camera."""
    calm_s: float
    all_s: float
    looks: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    """(monotonic ns, report)."""
    edges_ns: list[int] = field(default_factory=list)
    """Begin of the calm, of the overload, of its end, and the end."""

    def __call__(self, running: Running) -> None:
        self._look_for(running, self.calm_s)
        tell("everybody at once")
        for url in self.urls:
            urllib.request.urlopen(urllib.request.Request(f"{url}?seconds={self.all_s}", method="POST")).close()
        self._look_for(running, self.all_s)
        tell("over")
        self._look_for(running, _AFTER_S)
        self.edges_ns.append(time.monotonic_ns())

    def _look_for(self, running: Running, seconds: float) -> None:
        self.edges_ns.append(time.monotonic_ns())
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            report, at_ns = running.report()
            self.looks.append((at_ns, report))
            running.wait(min(LOOK_S, left_s))

    def recovery_s(self) -> int | None:
        """From the end of the overload until no more than `FEW_SHED` was shed for five seconds; None: that never came.

        Not until the last packet: a busy moment later on is none of it.
        """
        shed = self.shed_after()
        few = FEW_SHED * _QUIET_S * FPS * len(self.urls)
        for second in range(len(shed) - _QUIET_S + 1):
            if sum(shed[second : second + _QUIET_S]) <= few:
                return second
        return None

    def shed_after(self) -> list[int]:
        """Packets shed in each second since the overload's end."""
        shed = [(at_ns, sum(c["outcomes"].get("shed", 0) for c in r["cameras"].values())) for at_ns, r in self.looks]
        by_second: Counter[int] = Counter()
        for (at_ns, n), (_, before) in zip(shed[1:], shed, strict=False):
            by_second[(at_ns - self.edges_ns[2]) // 1_000_000_000] += n - before
        return [by_second[second] for second in range(max(by_second, default=-1) + 1)]


def phase(done: Run, watch: Watch, number: int) -> dict[str, Any]:
    """The figures of one of the three times."""
    first_ns, last_ns = watch.edges_ns[number : number + 2]
    inside = [report for at_ns, report in watch.looks if first_ns <= at_ns <= last_ns]
    begin, end = inside[0]["cameras"], inside[-1]["cameras"]
    causes: Counter[str] = Counter()
    by: dict[str, Counter[str]] = {name: Counter() for name in _PRIORITIES}
    for n in range(done.spec.cameras):
        camera = camera_id(n)
        by[priority(n)] += difference(begin[camera], end[camera])
        causes.update(end[camera]["causes"].get("shed", {}))
        causes.subtract(begin[camera]["causes"].get("shed", {}))
    total = sum(by.values(), Counter[str]())
    frames = [frame for frame in done.frames if first_ns <= frame.arrival_ns <= last_ns]
    lags = [ms for truth in done.truths.values() for ms in truth.lags_ms(first_ns, last_ns)]
    return {
        "seconds": round((last_ns - first_ns) / 1e9, 1),
        "outcomes": dict(sorted(total.items())),
        "shed_causes": {cause: n for cause, n in sorted(causes.items()) if n},
        "shed_share": {name: _share(counts) for name, counts in by.items()},
        "lag_ms": quantiles(lags, 50, 99, 100),
        "result_ms": quantiles(latencies(frames, done.truths).result, 50, 80, 99),
        "budget_cores": round(inside[-1]["budget"]["cores"], 2),
    }


def _share(counts: Counter[str]) -> float | None:
    due = sum(counts.values()) - counts["paced"]
    return round(counts["shed"] / due, 3) if due else None


def broken(out: dict[str, Any]) -> list[str]:
    """The rules that do not hold."""
    all_awake = out["all"]
    shed = [all_awake["shed_share"][name] or 0.0 for name in _PRIORITIES]
    rules = {
        "an account does not balance": out["imbalance"] != 0,
        f"reading lags more than {MOST_LAG_MS:g} ms": all_awake["lag_ms"]["p100"] > MOST_LAG_MS,
        "a packet was shed and nobody said why": sum(all_awake["shed_causes"].values())
        != all_awake["outcomes"].get("shed", 0),
        "nothing was shed: that was no overload": not all_awake["outcomes"].get("shed"),
        "a lower priority was served better": shed != sorted(shed),
        f"not recovered within {MOST_RECOVERY_S:g} s": out["recovery_s"] is None or out["recovery_s"] > MOST_RECOVERY_S,
    }
    return [rule for rule, holds in rules.items() if holds]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=64, metavar="N", help="RTSP cameras, 1080p25 (default 64)")
    parser.add_argument("--calm", type=float, default=20, metavar="S", help="before it (default 20)")
    parser.add_argument("--all", type=float, default=40, metavar="S", help="all are awake (default 40)")
    options = parser.parse_args()
    port = free_port()
    config = {
        "http": {"enabled": True, "port": port},
        "cameras": {camera_id(n): {"priority": priority(n)} for n in range(options.cameras)},
    }
    played = tuple(clips(timelines(8), RECIPE, tell))
    spec = RunSpec(options.cameras, options.calm + options.all + _AFTER_S, played, config=config)
    urls = [f"http://127.0.0.1:{port}/cameras/{camera_id(n)}/wake" for n in range(options.cameras)]
    watch = Watch(urls, options.calm, options.all)
    done = run(spec, tell, watch)
    balances = [camera["imbalance"] for _, report in watch.looks for camera in report["cameras"].values()]
    out = {
        "cameras": options.cameras,
        **{name: phase(done, watch, n) for n, name in enumerate(("calm", "all", "after"))},
        "recovery_s": watch.recovery_s(),
        "shed_after_by_second": watch.shed_after(),
        "imbalance": sum(map(abs, balances)) + sum(abs(c["imbalance"]) for c in done.final["cameras"].values()),
    }
    out["broken"] = broken(out)
    record("overload", options.cameras, out, PACKAGES)
    return 1 if out["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
