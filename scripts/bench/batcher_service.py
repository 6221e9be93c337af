"""How long the simulated engine takes: costs by batch size, times a slowness that was measured, moment by moment.

    python -m scripts.bench.batcher_service [--seconds S] [--busy N]

measures both on this machine and writes scripts/bench/traces/service.json: the shipped detector on onnxruntime, one
thread, while N processes decode clips in bursts, as pumps do when cameras wake. The slowness is a batch's time over the
median, in its real order, hiccups and slow spells included.

In the simulation it is a function of virtual time alone, so that every scheduler meets the same engine: whoever starts
a batch of n at t waits costs(n) * slowness(t). Each seed begins elsewhere in the series.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

FILE = Path(__file__).parent / "traces" / "service.json"
SIZES = (1, 2, 4, 8)
Service = Callable[[int, int], int]
"""(batch size, ns at which it starts) -> ns it takes."""


@dataclass(frozen=True)
class Costs:
    """Batch times without jitter, ms by size; sizes between lie on the straight line between their neighbours."""

    name: str
    ms: Mapping[int, float]

    def __call__(self, size: int) -> float:
        """In ns."""
        sizes = sorted(self.ms)
        right = sizes[bisect_left(sizes, size)]
        if right == size:
            return self.ms[size] * 1e6
        left = sizes[bisect_left(sizes, size) - 1]
        slope = (self.ms[right] - self.ms[left]) / (right - left)
        return (self.ms[left] + slope * (size - left)) * 1e6

    @property
    def largest(self) -> int:
        return max(self.ms)

    def tasks_per_s(self) -> float:
        """The most it can carry, without jitter."""
        return max(n / self(n) for n in range(1, self.largest + 1)) * 1e9


ACCELERATOR = Costs("accelerator", {n: 6 + 1.25 * n for n in (1, 2, 4, 8, 16, 32)})
"""Assumed, not measured: a fixed part that makes batching pay, as accelerators have."""


@dataclass(frozen=True)
class Slowness:
    """Measured: `factors[i]` holds from `at_ns[i]` on; at `length_ns` it begins again."""

    at_ns: Sequence[int]
    factors: Sequence[float]
    length_ns: int

    def mean(self) -> float:
        """Over batches."""
        return sum(self.factors) / len(self.factors)

    def ratio(self, share: float) -> float:
        """That quantile over the median."""
        ordered = sorted(self.factors)
        return ordered[int(len(ordered) * share)] / median(ordered)


def load(path: Path = FILE) -> tuple[Costs, Slowness]:
    """What was measured: the CPU engine's costs, and the slowness."""
    measured: dict[str, Any] = json.loads(path.read_text())
    taken = measured["taken_ms"]
    usual = median(taken)
    at_ns = [0]
    for ms in taken:
        at_ns.append(at_ns[-1] + int(ms * 1e6))
    slowness = Slowness(at_ns[:-1], [ms / usual for ms in taken], at_ns[-1])
    return Costs("cpu", {int(size): ms for size, ms in measured["batch_ms"].items()}), slowness


def service(costs: Costs, slowness: Slowness, seed: int) -> Service:
    """An engine that begins at a place of the series which the seed chooses."""
    offset_ns = random.Random(seed).randrange(slowness.length_ns)
    table = [0.0, *(costs(n) for n in range(1, costs.largest + 1))]
    at_ns, factors, length_ns = slowness.at_ns, slowness.factors, slowness.length_ns

    def takes_ns(size: int, start_ns: int) -> int:
        place = bisect_left(at_ns, (start_ns + offset_ns) % length_ns)
        return int(table[size] * factors[place % len(factors)])

    return takes_ns


# --- measuring -------------------------------------------------------------------------------------------------------


def measure(seconds: float, busy: int, clips: Sequence[Path]) -> dict[str, object]:
    """The quickest of 21 batches of each size; then all batches of 1 beside `busy` decoding processes."""
    import numpy as np

    from pipelines.color import affine
    from pipelines.model.catalog import resolve
    from pipelines.values import ColorMatrix, ColorRange
    from pipelines.worker.engines.onnx import OnnxEngine

    load = os.getloadavg()[0]
    engine = OnnxEngine(resolve("detector"), threads=1, max_batch=max(SIZES))
    payload = np.full(engine.card.payload_bytes, 128, np.uint8)
    color = affine(engine.card, ColorRange.LIMITED, ColorMatrix.BT601)

    def taken_ms(size: int) -> float:
        started_ns = time.monotonic_ns()
        engine.infer([payload] * size, np.stack([color] * size))
        return round((time.monotonic_ns() - started_ns) / 1e6, 3)

    rounds = [[taken_ms(size) for size in SIZES] for _ in range(21)]
    batch_ms = {str(size): min(column) for size, column in zip(SIZES, zip(*rounds, strict=True), strict=True)}
    processes = [
        get_context("spawn").Process(target=_decode_in_bursts, args=(clips[n % len(clips)], n), daemon=True)
        for n in range(busy)
    ]
    for process in processes:
        process.start()
    try:
        time.sleep(2)
        until = time.monotonic() + seconds
        taken = []
        while time.monotonic() < until:
            taken.append(taken_ms(1))
    finally:
        for process in processes:
            process.terminate()
    return {
        "what": f"{engine.card.name} {engine.card.input_w}x{engine.card.input_h}, onnxruntime, 1 thread; "
        f"load average before {load:.1f}",
        "busy": busy,
        "batch_ms": batch_ms,
        "taken_ms": taken,
    }


def _decode_in_bursts(clip: Path, seed: int) -> None:
    """Decode for 100 ms, rest for 300 ms, both on the average, for ever."""
    import av

    rng = random.Random(seed)
    while True:
        with av.open(str(clip)) as container:
            container.streams.video[0].codec_context.thread_count = 1
            until = time.monotonic() + rng.expovariate(10)
            for _ in container.decode(video=0):
                if time.monotonic() > until:
                    time.sleep(rng.expovariate(1 / 0.3))
                    until = time.monotonic() + rng.expovariate(10)


def main() -> None:
    from scripts.footage.__main__ import DEMO_VARIANTS, cached
    from scripts.footage.film import Film

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--busy", type=int, default=2)
    parser.add_argument("--out", type=Path, default=FILE)
    arguments = parser.parse_args()
    measured = measure(arguments.seconds, arguments.busy, cached(Film(), DEMO_VARIANTS))
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps(measured) + "\n")
    costs, slowness = load(arguments.out)
    shares = {f"p{100 * share:g}": round(slowness.ratio(share), 2) for share in (0.9, 0.99, 0.999)}
    sys.stdout.write(f"{costs.ms} {len(slowness.factors)} batches, over the median: {shares}\n")


if __name__ == "__main__":
    main()
