"""Latency and throughput per batch size, with graphs and without, against the floor of copies and arithmetic."""

from __future__ import annotations

import time

from pipelines.values import U8
from pipelines.worker.engines.device_engine import DeviceEngine
from pipelines.worker.engines.device_lane import buckets
from scripts.gpu_checks.flops import count_flops
from scripts.gpu_checks.ring import ring
from scripts.gpu_checks.subject import Figures, Subject, colors, percentile, pictures

_LEAST_RUNS = 5


def check(subject: Subject, copy_gb_s: float, tflop_s: float | None) -> Figures:
    """`ok`: every size ran. `floor_ms`: the larger of copying and computing at the measured rates; none without them.

    tflop_s: what a large matrix product reached on this device, float16 for a float16 engine; None: not measured.
    """
    plain = subject.candidate.open(1, False)
    flops = count_flops(subject.settings.model)
    sizes = {}
    try:
        with ring(subject.card, pictures(subject.card)) as (region, payloads):
            subject.engine.pin(region)
            plain.pin(region)
            for size in buckets(subject.engine.max_batch):
                with_graph = _times(subject.engine, payloads, size, subject.settings.seconds / 4)
                without = _times(plain, payloads, size, subject.settings.seconds / 4)
                copy_ms = size * subject.card.payload_bytes / copy_gb_s / 1e6
                compute_ms = size * flops / tflop_s / 1e9 if tflop_s else None
                sizes[str(size)] = {
                    "latency_p50_ms": percentile([t[0] for t in with_graph], 50),
                    "latency_p99_ms": percentile([t[0] for t in with_graph], 99),
                    "upload_p50_ms": percentile([t[1] for t in with_graph], 50),
                    "compute_p50_ms": percentile([t[2] for t in with_graph], 50),
                    "tasks_per_s": round(size * 1e3 / percentile([t[0] for t in with_graph], 50)),
                    "plain_p50_ms": percentile([t[0] for t in without], 50),
                    "copy_floor_ms": round(copy_ms, 4),
                    "compute_floor_ms": None if compute_ms is None else round(compute_ms, 4),
                    "floor_ms": round(max(copy_ms, compute_ms or 0.0), 4),
                }
            subject.engine.unpin(region)
            plain.unpin(region)
    finally:
        plain.close()
    captured = list(subject.engine.statistics().captured)
    return {"ok": True, "gflop_per_task": round(flops / 1e9, 3), "tflop_s": tflop_s, "graphs": captured, "sizes": sizes}


def _times(engine: DeviceEngine, payloads: list[U8], size: int, seconds: float) -> list[tuple[float, float, float]]:
    """(wall, upload, compute) of single batches, ms; the wall clock includes the host's part."""
    color = colors(engine.card, size)
    out: list[tuple[float, float, float]] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(out) < _LEAST_RUNS:
        batch = [payloads[(len(out) + i) % len(payloads)] for i in range(size)]
        started = time.perf_counter()
        engine.infer(batch, color)
        passed_ms = (time.perf_counter() - started) * 1e3
        last = engine.statistics().last
        assert last is not None
        out.append((passed_ms, last.upload_ms, last.compute_ms))
    return out
