"""The report: one JSON, and a table of it for the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scripts.gpu_checks.subject import Figures

CHECKS = ("numerics", "copies", "speed", "replay", "killed")


def passed(report: Figures) -> bool:
    """Every engine that was opened passed every check, and there was one."""
    engines = [e for e in report["engines"].values() if "absent" not in e]
    return bool(engines) and all(check["ok"] for engine in engines for check in _checks(engine))


def failures(report: Figures) -> list[str]:
    """ "engine: check" of what did not pass."""
    return [
        f"{name}: {check}"
        for name, engine in report["engines"].items()
        for check, figures in engine.items()
        if isinstance(figures, dict) and figures.get("ok") is False
    ]


def table(report: Figures) -> str:
    """Markdown."""
    machine = report["machine"]["device"]
    where = machine.get("name", "no GPU") if not report["fake"] else "the fake device (virtual time; no GPU)"
    lines = [f"`gpu_check` of commit {report['commit']} on {where}, model {report['model']}", ""]
    lines += ["| engine | result |", "|---|---|"]
    lines += [f"| {name} | {_verdict(engine)} |" for name, engine in report["engines"].items()]
    for name, engine in report["engines"].items():
        if "speed" in engine:
            lines += ["", f"**{name}**: {engine['title']}", "", *_sizes(engine), "", *_sentences(engine)]
    return "\n".join(lines) + "\n"


def _checks(engine: Figures) -> Iterator[Figures]:
    return (value for value in engine.values() if isinstance(value, dict) and "ok" in value)


def _verdict(engine: Figures) -> str:
    if "absent" in engine:
        return f"not here: {engine['absent']}"
    failed = [name for name, value in engine.items() if isinstance(value, dict) and value.get("ok") is False]
    return f"**failed**: {', '.join(failed)}" if failed else "passed"


def _sizes(engine: Figures) -> Iterator[str]:
    yield "| batch | latency p50 / p99 ms | upload / compute ms | without graph ms | floor ms | tasks/s |"
    yield "|---|---|---|---|---|---|"
    for size, figures in engine["speed"]["sizes"].items():
        yield (
            f"| {size} | {figures['latency_p50_ms']:.2f} / {figures['latency_p99_ms']:.2f} "
            f"| {figures['upload_p50_ms']:.3f} / {figures['compute_p50_ms']:.3f} | {figures['plain_p50_ms']:.2f} "
            f"| {figures['floor_ms']:.3f} | {figures['tasks_per_s']} |"
        )


def _sentences(engine: Figures) -> Iterator[str]:
    copies: Any = engine["copies"]
    real, full = engine["replay"]["real_rate"], engine["replay"]["saturating"]
    numerics: Any = engine["numerics"]
    worst, worst_px = numerics["worst_score"], numerics["worst_box_px"]
    yield f"Against onnxruntime on the CPU: score {worst:g}, box {worst_px:g} px at most."
    yield (
        f"Ring pinned: {copies['ring_pinned']}; upload {copies['upload_ms_staged']:g} ms staged, "
        f"{copies['upload_ms_pinned']:g} ms pinned; {copies['pinned_gb_s']:g} GB/s; "
        f"{copies['upload_hidden']:.0%} of it hidden with {copies['overlap_lanes']} lanes."
    )
    yield (
        f"{real['cameras']} cameras at {real['fps']:g} fps: p50 {real['in_worker_p50_ms']:g}, p99 "
        f"{real['in_worker_p99_ms']:g} ms in the worker, {real['late']} of {real['tasks']} late. Saturated: "
        f"{full['tasks_per_s']:g} tasks/s, mean batch {full['mean_batch']:g}, device in use {full['device_use']:.0%}."
    )
    killed: Any = engine["killed"]
    yield f"Killed in mid-batch: {killed['held_mib']:g} MiB back after {killed['memory_back_ms']} ms; next batch ran."
