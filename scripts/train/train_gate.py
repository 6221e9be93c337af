"""Trains the packet gate's learned predictor (scripts/bench/recall/learned.py) on what prepare_gate.py made.

    PYTHONPATH=. python scripts/train/train_gate.py --data gate.npz --out scripts/bench/recall/learned.npz

No torch: some 3,000 parameters, Adam in NumPy, two minutes. The same file follows from the same data and seed. Each
fifth stream is kept for the figure that is printed.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np

from pipelines.gate.bitstream import PacketFacts
from pipelines.gate.bitstream_bits import SliceType
from pipelines.gate.packet import PacketGateOptions
from scripts.bench.recall.learned import INPUTS, Views

FPS = 25
LAYERS = (INPUTS, 48, 24, 1)
STEPS, BATCH, RATE, DECAY = 6000, 512, 2e-3, 1e-4
_LEARNING = 16 * FPS
"""Packets of a stream before which no judge says anything."""
_ENTERING, _EARLY, _LEAVING = 4, 20, 15
"""Packets at an event's begin that count for nothing; those that count four times; those after its end that do not."""
Layers = list[tuple[np.ndarray, np.ndarray]]


def samples(packets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of one stream: inputs (n, INPUTS), whether somebody is there, and weights."""
    views = Views(PacketGateOptions())
    inputs = np.stack([views.add(_facts(row), n * 1_000_000_000 // FPS) for n, row in enumerate(packets)])
    there = packets[:, 6].astype(np.float32)
    weights = np.ones(len(there), np.float32)
    for begin in np.flatnonzero(np.diff(there) == 1) + 1:
        weights[begin : begin + _EARLY] = 4
        weights[begin : begin + _ENTERING] = 0
    for end in np.flatnonzero(np.diff(there) == -1) + 1:
        weights[end : end + _LEAVING] = 0
    weights[:_LEARNING] = 0
    return inputs, there, weights


def _facts(row: np.ndarray) -> PacketFacts:
    _, size, qp, key, reference, is_b, _ = (int(value) for value in row)
    kind = SliceType.I if key else SliceType.B if is_b else SliceType.P
    return PacketFacts(size, bool(key), bool(reference), kind, None if qp == -99 else qp, None, False)


def fit(inputs: np.ndarray, there: np.ndarray, weights: np.ndarray, seed: int) -> Layers:
    """Weighted logistic loss, Adam, rate falling to nothing over the second half."""
    rng = np.random.default_rng(seed)
    layers = [
        (rng.normal(0, (2 / a) ** 0.5, (a, b)).astype(np.float32), np.zeros(b, np.float32)) for a, b in pairwise(LAYERS)
    ]
    first = [[np.zeros_like(p) for p in layer] for layer in layers]
    second = [[np.zeros_like(p) for p in layer] for layer in layers]
    for step in range(1, STEPS + 1):
        chosen = rng.integers(0, len(inputs), BATCH)
        rate = RATE * min(1.0, 2 * (STEPS - step) / STEPS)
        for n, gradient in enumerate(_gradients(layers, inputs[chosen], there[chosen], weights[chosen])):
            for k, (p, g) in enumerate(zip(layers[n], gradient, strict=True)):
                first[n][k] = 0.9 * first[n][k] + 0.1 * g
                second[n][k] = 0.999 * second[n][k] + 0.001 * g * g
                p -= rate * first[n][k] / (1 - 0.9**step) / (np.sqrt(second[n][k] / (1 - 0.999**step)) + 1e-8)
    return layers


def _forward(layers: Layers, inputs: np.ndarray) -> list[np.ndarray]:
    out = [inputs]
    for n, (weights, bias) in enumerate(layers):
        value = out[-1] @ weights + bias
        out.append(np.maximum(value, 0) if n < len(layers) - 1 else value)
    return out


def _gradients(layers: Layers, inputs: np.ndarray, there: np.ndarray, weights: np.ndarray) -> list[list[np.ndarray]]:
    values = _forward(layers, inputs)
    probability = 1 / (1 + np.exp(-values[-1][:, 0]))
    error = ((probability - there) * weights / len(there))[:, None]
    out: list[list[np.ndarray]] = []
    for n in range(len(layers) - 1, -1, -1):
        out.insert(0, [values[n].T @ error + DECAY * layers[n][0], error.sum(0)])
        error = (error @ layers[n][0].T) * (values[n] > 0)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    packets = np.load(arguments.data)["packets"]
    streams = [samples(packets[packets[:, 0] == number]) for number in np.unique(packets[:, 0])]
    learned = [stream for number, stream in enumerate(streams) if number % 5]
    inputs, there, weights = (np.concatenate(parts) for parts in zip(*learned, strict=True))
    layers = fit(inputs, there, weights, arguments.seed)
    print(
        f"{sum(p.size for layer in layers for p in layer)} parameters; AUC of the rest {_auc(layers, streams[::5]):.3f}"
    )
    named = {
        f"{name}{n}": p for n, layer in enumerate(layers) for name, p in zip(("weights", "bias"), layer, strict=True)
    }
    np.savez(arguments.out, **named)


def _auc(layers: Layers, streams: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> float:
    """Mean over streams, per packet."""
    out = []
    for inputs, there, weights in streams:
        logits = _forward(layers, inputs)[-1][:, 0]
        busy, quiet = logits[(weights > 0) & (there > 0)], logits[(weights > 0) & (there == 0)]
        out.append(float((busy[:, None] > quiet[None]).mean()))
    return float(np.mean(out))


if __name__ == "__main__":
    main()
