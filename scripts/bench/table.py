"""The README's table of measurements, from the newest line of each bench in scripts/bench/results/.

python -m scripts.bench.table [--write]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "scripts" / "bench" / "results"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
Figures = dict[str, Any]


def steps(figures: Figures) -> Iterator[tuple[str, str]]:
    """scripts/bench/steps.py"""
    mean = {name: step["mean"] for name, step in figures["steps_us"].items()}
    shown = ", ".join(f"{name} {us / 1000:.2f}" for name, us in mean.items() if name != "decode")
    yield f"work per accepted frame, 1080p to {figures['input']}, ms of one core", shown
    yield f"the same, of the decode of that frame ({mean['decode'] / 1000:.2f} ms)", f"{figures['ratio']:.0%}"


def lane(figures: Figures) -> Iterator[tuple[str, str]]:
    """scripts/bench/lane.py"""
    if "doorbell_asleep_us" in figures:
        bell, wake = figures["doorbell_asleep_us"], figures["bare_wake_us"]
        yield (
            f"doorbell to a sleeping worker, {figures['payload_bytes'] / 1000:.0f} kB, p50 / p99; bare wake-up",
            f"{bell['p50']:.0f} / {bell['p99']:.0f} µs; {wake['p50']:.0f} / {wake['p99']:.0f} µs",
        )
        return
    if figures["in_flight"] != 8:
        return
    size = f"{figures['payload_bytes'] / 1000:.0f} kB, {figures['in_flight']} in flight"
    if (pump := figures.get("pump")) is not None:
        size += ", pump in a thread" if pump == "thread" else ", pump in the loop"
    yield (
        f"shared-memory lane, {size}, round trip p50 / p99",
        f"{figures['round_trip_us']['p50']:.0f} / {figures['round_trip_us']['p99']:.0f} µs",
    )
    yield f"the same, against bare write + read copies of the bytes ({size})", f"{figures['per_task_over_bare']:.1f}x"
    apart_us = sorted(figures.get("bare_two_processes_us", ()))
    if apart_us and apart_us[len(apart_us) // 2] < 2 * figures["bare_mean_us"]:  # else one of them had no core
        ratios = figures["rounds_over_two_processes"]
        yield f"the same, against such copies from one process to another ({size})", f"{ratios[len(ratios) // 2]:.1f}x"


def carriers(figures: Figures) -> Iterator[tuple[str, str]]:
    """scripts/bench/carriers.py"""
    if figures["in_flight"] == 8:
        both = figures["dpu_cpu_per_task_us"] + figures["worker_cpu_per_task_us"]
        what = {"shm": "shared memory", "grpc": "gRPC over loopback"}.get(figures["carrier"], figures["carrier"])
        yield (
            f"one task over {what}, {figures['payload_bytes'] / 1000:.0f} kB, 8 in flight: CPU of both ends, round "
            "trip p50 / p99",
            f"{both:.0f} µs, {figures['round_trip_us']['p50']:.0f} / {figures['round_trip_us']['p99']:.0f} µs",
        )


def gate(figures: Figures) -> Iterator[tuple[str, str]]:
    """scripts/bench/gate.py"""
    read, score = figures["read_us"]["mean"], figures["score_us"]["mean"]
    what = f"{figures['codec']}, {figures['framing']}, {figures['packet_bytes'] / 1000:.1f} kB"
    yield f"packet gate per packet, {what}: read + score", f"{read:.1f} + {score:.1f} µs"


def recall(figures: Figures) -> Iterator[tuple[str, str]]:
    """framegate bench recall"""
    for name in ("sparse", "hard"):
        if (suite := figures["suites"].get(name)) is not None:
            saved = " / ".join(f"{suite['decode_saved_at'][level]:.0%}" for level in ("90", "95", "99"))
            what = f"held-out scenes, {name}, {suite['activity']:.0%} activity, {suite['events']} events"
            yield f"decode saved at 90 / 95 / 99 % event recall, {what}", saved
            at = suite["shipped"]
            yield (
                f"the same as shipped ({name}): decode saved, event recall",
                f"{at['decode_saved']:.0%}, {at['recall']:.0%}",
            )


def cameras(figures: Figures) -> Iterator[tuple[str, str]]:
    """framegate bench cameras"""
    storm = f", all connections broken each {figures['storm_s']:g} s" if figures.get("storm_s") else ""
    codec = {"h264": "H.264", "hevc": "H.265"}[figures["codec"]]
    run = (
        f"{figures['cameras']} cameras of 1080p25, {codec} at {figures['bits_per_s'] / 1e6:.1f} Mb/s{storm}, "
        f"{figures['seconds']:.0f} s"
    )
    if storm:
        medians = figures["medians_of_tenths"]
        flat = ", ".join(f"{name} {values[0]:g} / {values[-1]:g}" for name, values in medians.items())
        yield f"{run}: imbalance; medians of the first and the last tenth", f"{figures['imbalance']}; {flat}"
        return
    yield f"{run}: carried", f"{figures['carried']} of {figures['cameras']}"
    result, wake = figures["result_ms"], figures["wake_ms"]
    yield (
        "the same: arrival to answer, awake p80 / p99; first answer of a wake-up p95",
        f"{result['p80']:.0f} / {result['p99']:.0f} ms; {wake['p95']:.0f} ms",
    )
    low, high = figures["event_recall_ci95"]
    yield (
        f"the same: events found of {figures['events']} (95 % interval)",
        f"{figures['event_recall']:.3f} ({low:.3f} to {high:.3f})",
    )
    yield (
        "the same: cores, of the RTSP server, idle share",
        (f"{figures['cores']:.2f}, {figures['server_cpu']:.2f}, {figures['headroom']:.0%}"),
    )
    for name, peer in figures["peers"].items():
        yield f"the same run: cameras carried by {name}", str(peer)


def overload(figures: Figures) -> Iterator[tuple[str, str]]:
    """scripts/bench/overload.py"""
    awake = figures["all"]
    shares = " / ".join(f"{awake['shed_share'][name]:.0%}" for name in ("high", "normal", "low"))
    yield f"all of {figures['cameras']} cameras awake at once: shed of high / normal / low priority", shares
    yield (
        "the same: most that reading lagged; answers p80; from the end until next to nothing was shed",
        f"{awake['lag_ms']['p100']:.0f} ms; {awake['result_ms']['p80']:.0f} ms; {_seconds(figures['recovery_s'])}",
    )


def _seconds(value: float | None) -> str:
    return "not while it was watched" if value is None else f"{value:g} s"


def batcher(figures: Figures) -> Iterator[tuple[str, str]]:
    """framegate bench batcher"""
    traces = figures["traces"]
    best = max(traces, key=lambda name: traces[name]["ratio"])
    others = [row["ratio"] for name, row in traces.items() if name != best]
    row = traces[best]
    yield (
        f"batcher, virtual time, {best.replace('_', ' ')}: tasks/s in time, ours / best of "
        f"{row['settings_tried']} Triton settings / FIFO",
        f"{row['ours']:.0f} / {row['triton']:.0f} / {row['fifo']:.0f} ({row['ratio']:.2f}x)",
    )
    yield (
        f"the same on {len(others)} other traces: ours over the best Triton setting, least and most",
        f"{min(others):.3f}, {max(others):.3f}",
    )
    yield "the same: tasks let run that ended late, most of any trace", f"{_most_late(traces):.3%}"


def _most_late(traces: Figures) -> float:
    return max(float(row["late_after_admission"]) for row in traces.values())


ROWS: dict[str, Callable[[Figures], Iterator[tuple[str, str]]]] = {
    "steps": steps,
    "lane": lane,
    "carriers": carriers,
    "gate": gate,
    "recall": recall,
    "batcher": batcher,
    "cameras": cameras,
    "overload": overload,
}


def newest(name: str) -> list[dict[str, Any]]:
    """The lines of a bench's last commit, in order; of the capacity bench the last of each kind of run."""
    path = RESULTS / f"{name}.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    if name == "cameras":
        return list({_kind(line["figures"]): line for line in lines if "codec" in line["figures"]}.values())
    return [line for line in lines if _commit(line) == _commit(lines[-1])]


def _kind(figures: Figures) -> tuple[object, ...]:
    return figures.get("codec"), figures.get("storm_s")


def _commit(line: dict[str, Any]) -> str:
    """Without the mark of a changed checkout: the first line of a run changes it by itself."""
    return str(line["commit"]).removesuffix("+")


def table() -> str:
    """Markdown. Of lines that measure the same, the last counts."""
    rows: dict[str, str] = {}
    for name, make in ROWS.items():
        for line in newest(name):
            where = f"{line['host']['cpu']}, {line['host']['cores']} cores, load {line.get('load_1m', '?')}"
            for what, figure in make(line["figures"]):
                rows[what] = f"| {what} | {figure} | `{line['command']}` | {where}, commit {_commit(line)} |"
    return "\n".join(["| measured | figure | command | where |", "|---|---|---|---|", *rows.values()])


def main() -> int:
    text = table()
    if "--write" not in sys.argv[1:]:
        print(text)
        return 0
    readme = ROOT / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
