"""The second way onto a GPU: onnxruntime's CUDA provider, tensors bound to the device."""

from __future__ import annotations

import time

import numpy as np

from pipelines.worker.engines.device_lane import buckets
from pipelines.worker.engines.onnx import CUDA, OnnxEngine
from scripts.gpu_checks.numerics import Difference, difference
from scripts.gpu_checks.subject import PICTURES, Figures, Settings, colors, percentile, pictures


def check(settings: Settings) -> Figures:
    """Numbers and times per batch size.

    Raises:
        ModelError: onnxruntime here has no CUDA.
    """
    engine = OnnxEngine(settings.model, providers=(CUDA,), max_batch=settings.max_batch)
    reference = OnnxEngine(settings.model, threads=2, max_batch=1)
    planes, color = pictures(engine.card), colors(engine.card, PICTURES)
    worst = Difference()
    sizes = {}
    for size in buckets(settings.max_batch):
        times: list[float] = []
        until = time.monotonic() + settings.seconds / 4
        while time.monotonic() < until or len(times) < 5:
            started = time.perf_counter()
            rows = engine.infer(list(planes[:size]), np.ascontiguousarray(color[:size]))
            times.append((time.perf_counter() - started) * 1e3)
        for index, got in enumerate(rows):
            expected = reference.infer([planes[index]], color[index][None])[0]
            worst = worst.worst(difference(got, expected))
        sizes[str(size)] = {"latency_p50_ms": percentile(times, 50), "latency_p99_ms": percentile(times, 99)}
    title = engine.title
    engine.close()
    reference.close()
    return {**worst.figures(half=False), "title": title, "sizes": sizes}
