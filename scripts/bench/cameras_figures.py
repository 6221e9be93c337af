"""The report of one run: the figures of docs/capacity.md, as plain JSON values. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from scripts.bench.cameras_account import (
    TO_WORKER,
    Answered,
    Seen,
    difference,
    latencies,
    not_carried,
    quantiles,
    seen,
    wilson,
)
from scripts.bench.cameras_machine import Reading, used
from scripts.bench.cameras_run import Run, camera_id

Figures = dict[str, Any]
_MOST_NAMED = 20
"""Cameras and events named one by one."""


def figures(run: Run, threshold: float) -> tuple[Figures, list[Seen]]:
    """Everything of one run, and its events. threshold: the score from which a detection counts."""
    refused = _refused(run)
    frames = _by_camera(run.frames)
    times = latencies(run.frames, run.truths)
    found = [
        one
        for number in range(run.spec.cameras)
        if (camera := camera_id(number)) in run.truths
        for one in seen(
            camera, run.spec.clip_of(number), run.truths[camera], frames.get(camera, []), run.window, threshold
        )
    ]
    out = {
        "cameras": run.spec.cameras,
        "seconds": round(run.window.seconds, 1),
        "carried": run.spec.cameras - len(refused),
        "not_carried": dict(list(refused.items())[:_MOST_NAMED]),
        "result_ms": quantiles(times.result, 50, 80, 95, 99),
        "sent_to_result_ms": quantiles(times.sent_to_result, 50, 80, 99),
        "wake_ms": quantiles(times.wake, 50, 95, 99),
        "catching_up_ms": quantiles(times.catching_up, 50, 95),
        "work_ms": quantiles(times.work, 50, 80, 99),
        "stages_ms": stages(run.frames),
        **_account(run),
        **recall(found),
        **_machine(run.readings),
        **_inside(run),
    }
    return out, found


WORST_HIGH = (
    "result_ms",
    "sent_to_result_ms",
    "wake_ms",
    "work_ms",
    "to_worker_of_due",
    "cores",
    "server_cpu",
    "rss_mb",
)
WORST_LOW = ("carried", "headroom")


def worst(runs: Sequence[Figures], found: Sequence[Seen]) -> Figures:
    """Several runs as one: of each figure that has a limit the worst, imbalances added up, events counted together."""
    out = dict(runs[-1])
    for name in WORST_HIGH:
        values = [run[name] for run in runs if run[name] is not None]
        out[name] = _most(values) if values else None
    for name in WORST_LOW:
        out[name] = min(run[name] for run in runs)
    out["imbalance"] = sum(run["imbalance"] for run in runs)
    out["not_carried"] = {camera: reason for run in runs for camera, reason in run["not_carried"].items()}
    return out | recall(found)


def _most(values: Sequence[Any]) -> Any:
    if not isinstance(values[0], dict):
        return max(values)
    return {key: max(value.get(key, 0) for value in values) for key in {k for value in values for k in value}}


def recall(found: Sequence[Seen]) -> Figures:
    """Event recall with its interval, by what found the events."""
    by = Counter(one.by for one in found)
    hits = len(found) - by[""]
    low, high = wilson(hits, len(found))
    late = [one.after_ms for one in found if one.after_ms is not None]
    return {
        "events": len(found),
        "event_recall": round(hits / len(found), 4) if found else None,
        "event_recall_ci95": [round(low, 4), round(high, 4)],
        "event_recall_without_heartbeat": round((hits - by["heartbeat"]) / len(found), 4) if found else None,
        "found_by": {name: n for name, n in sorted(by.items()) if name},
        "found_after_ms": quantiles(late, 50, 95),
        "missed": [
            {"camera": one.camera, "clip": one.clip, "first": one.first, "why": one.why} for one in found if not one.by
        ][:_MOST_NAMED],
    }


def stages(frames: Sequence[Answered]) -> Figures:
    """p50 and p99 of each stage, ms: where the time goes."""
    out: dict[str, list[float]] = {}
    for frame in frames:
        before = 0.0
        for name, at in frame.stages_ms.items():
            out.setdefault(name, []).append(at - before)
            before = at
    return {name: quantiles(values, 50, 80, 99, digits=2) for name, values in out.items()}


def _by_camera(frames: Sequence[Answered]) -> dict[str, list[Answered]]:
    out: dict[str, list[Answered]] = {}
    for frame in frames:
        out.setdefault(frame.camera, []).append(frame)
    return out


def _refused(run: Run) -> dict[str, str]:
    """Why each camera that was not carried was not."""
    wanted = run.last["uptime_s"] - run.first["uptime_s"]
    out = {}
    for number in range(run.spec.cameras):
        camera = camera_id(number)
        last = run.last["cameras"].get(camera)
        if last is None or camera not in run.truths:
            out[camera] = "never opened"
            continue
        lags = run.truths[camera].lags_ms(run.window.first_ns, run.window.last_ns)
        first = run.first["cameras"].get(camera, {"packets": 0, "outcomes": {}})
        reason = not_carried(first, last, lags, wanted * run.spec.clip_of(number).fps)
        if reason:
            out[camera] = reason
    return out


def _account(run: Run) -> Figures:
    total: Counter[str] = Counter()
    for camera, last in run.last["cameras"].items():
        total.update(difference(run.first["cameras"].get(camera, {}), last))
    due = sum(total.values()) - total["paced"]
    balances = [
        camera["imbalance"] for report in (run.first, run.last, run.final) for camera in report["cameras"].values()
    ]
    return {
        "imbalance": sum(balances),
        "left_in_flight": sum(camera["in_flight"] for camera in run.final["cameras"].values()),
        "outcomes": dict(sorted(total.items())),
        "to_worker_of_due": round(sum(total[name] for name in TO_WORKER) / due, 4) if due else None,
        "asleep_of_due": round(total["asleep"] / due, 4) if due else None,
    }


def _machine(readings: Sequence[Reading]) -> Figures:
    first, last = readings[0], readings[-1]
    spent = used(first, last)
    rss = [reading.usages["dpu"].rss_bytes + reading.usages["worker"].rss_bytes for reading in readings]
    product = [reading.usages["dpu"] for reading in readings]
    return {
        "cores": round(spent.cores["dpu"] + spent.cores["worker"], 3),
        "cores_by": {name: round(cores, 3) for name, cores in spent.cores.items()},
        "server_cpu": round(spent.cores["server"], 3),
        "other_cores": round(spent.others, 3),
        "headroom": round(spent.headroom, 4),
        "rss_mb": {"first": _mb(rss[0]), "last": _mb(rss[-1]), "most": _mb(max(rss))},
        "threads": {"least": min(u.threads for u in product), "most": max(u.threads for u in product)},
        "fds": {"least": min(u.fds for u in product), "most": max(u.fds for u in product)},
        "medians_of_tenths": {
            "rss_mb": [_mb(size) for size in _tenths(rss)],
            "threads": _tenths([u.threads for u in product]),
            "fds": _tenths([u.fds for u in product]),
        },
    }


def _tenths(values: Sequence[int]) -> list[int]:
    """The median of each tenth: flat, or growing?"""
    edges = [round(n * len(values) / 10) for n in range(11)]
    return [sorted(values[a:b])[(b - a) // 2] for a, b in pairwise(edges) if b > a]


def _inside(run: Run) -> Figures:
    """What the product and the notes say about the inside of the DPU process."""
    edges = run.window.first_ns, run.window.last_ns
    truths: Mapping[str, Any] = run.truths
    sessions = [s for truth in truths.values() for s in truth.sessions if edges[0] <= s.opened_ns <= edges[1]]
    catch_up = [(s.live_ns - s.opened_ns) / 1e6 for s in sessions if s.live_ns and not s.is_glance]
    quiet = [us for truth in truths.values() for us in truth.quiet_cost_us(*edges)]
    lags = [ms for truth in truths.values() for ms in truth.lags_ms(*edges)]
    return {
        "lag_ms": quantiles(lags, 50, 99, 100),
        "slips": sum(truth.slips for truth in truths.values()),
        "wakes": sum(not s.is_glance for s in sessions),
        "glances": sum(s.is_glance for s in sessions),
        "catch_up_ms": quantiles(catch_up, 50, 95),
        "decoded_packets": sum(s.packets for s in sessions),
        **_decoding(run),
        "asleep_packet_us": quantiles(quiet, 5, 50, 95),
        "dpu_cores_by_thread": {k: round(v / run.window.seconds, 3) for k, v in run.thread_cpu_s.items()},
        "loop_lag_ms": run.last["loop_lag_ms"],
        "model": run.last["workers"]["worker"]["model"],
    }


def _decoding(run: Run) -> Figures:
    """CPU of the decoders, by the product's own count, and what decoding every packet would have cost."""
    gained: Counter[str] = Counter()
    for camera, last in run.last["cameras"].items():
        first = run.first["cameras"].get(camera, {})
        for name in ("packets", "decoded", "decode_s", "catch_up_s"):
            gained[name] += last[name] - first.get(name, 0)
    decode_s, live_s = gained["decode_s"], gained["decode_s"] - gained["catch_up_s"]
    per_frame_s = live_s / gained["decoded"] if gained["decoded"] else 0.0
    full_s = per_frame_s * gained["packets"]
    return {
        "decode_cores": round(decode_s / run.window.seconds, 3),
        "catch_up_cores": round(gained["catch_up_s"] / run.window.seconds, 3),
        "decode_ms_per_frame": round(per_frame_s * 1e3, 3),
        "decode_saved": round(1 - decode_s / full_s, 4) if full_s else None,
    }


def _mb(size: int) -> float:
    return round(size / 1e6, 1)
