"""Packets for the packet gate's learned predictor: small drawn cameras, encoded in many ways, somebody there at times.

    PYTHONPATH=. python scripts/train/prepare_gate.py --out gate.npz --streams 96

Cameras are 640x360, which costs a ninth of full pictures; bit rates shrink with them. None shares a place, a visitor or
a moment with the evaluation (scripts/bench/recall/suite.py). Some 10 CPU seconds per stream; all follows from the seed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np

from pipelines.gate.bitstream import PacketReader
from scripts.bench.scenes.drawn import Drawn, Weather
from scripts.bench.scenes.encoding import Encoder, Recipe
from scripts.bench.scenes.weather import Exposure, Flicker, Foliage, Headlights, Jitter, Night, Rain

WH = (640, 360)
SECONDS = 110.0
_FIRST = 1000
"""Number of the first place; the evaluation's are below 100."""
_QUIET_S, _VISIT_S = (14.0, 26.0), (2.0, 5.0)
COLUMNS = ("stream", "bytes", "qp", "is_key", "is_reference", "is_b", "active")


def source(number: int, rng: np.random.Generator) -> Drawn:
    """One camera: a third of them in fair weather."""
    weather: tuple[Callable[[], tuple[Weather, ...]], ...] = (
        tuple,
        tuple,
        tuple,
        lambda: (Night(rng.uniform(0.3, 0.7)),),
        lambda: (Rain(int(rng.integers(40, 100)), int(rng.integers(25, 60))),),
        lambda: (Foliage(rng.uniform(0.2, 0.45), rng.uniform(4, 12)),),
        lambda: (Flicker(rng.uniform(0.01, 0.05), rng.uniform(2, 7)),),
        lambda: (Exposure(rng.uniform(13, 29), rng.uniform(0.1, 0.35)),),
        lambda: (Night(rng.uniform(0.4, 0.7)), Headlights(rng.uniform(13, 27), rng.uniform(60, 140))),
        lambda: (Jitter(rng.uniform(0.3, 1.2)),),
    )
    return Drawn(
        f"g{number}", _FIRST + number, weather[number % len(weather)](), SECONDS, _QUIET_S, _VISIT_S,
        size=float(rng.uniform(0.4, 1.2)), pace=float(rng.uniform(0.3, 1.2)), sigma=float(rng.uniform(0.7, 5.0)), wh=WH,
    )  # fmt: skip


def recipe(rng: np.random.Generator) -> Recipe:
    """One way to encode it."""
    codec = "hevc" if rng.random() < 0.25 else "h264"
    rate = ("crf", "cbr", "abr")[rng.integers(3)]
    level = int(rng.integers(21, 31)) if rate == "crf" else int(rng.integers(200, 700))
    gop = int(rng.choice([25, 50, 50, 100, 250]))
    b_frames = int(rng.choice([0, 0, 0, 2])) if codec == "h264" else 0  # x265 has none without look-ahead
    return Recipe(codec, rate, level, gop, b_frames)  # type: ignore[arg-type]


def packets(number: int, seed: int) -> np.ndarray:
    """(n, 7) int64, COLUMNS."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng((seed, number))
    camera, way = source(number, rng), recipe(rng)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.ts"
        encoder = Encoder(path, way, WH)
        for picture in camera.pictures():
            encoder.add(picture)
        encoder.close()
        return _read(path, camera, number)


def _read(path: Path, camera: Drawn, number: int) -> np.ndarray:
    rows = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        reader = PacketReader(stream.codec_context.name, bytes(stream.codec_context.extradata or b""))
        first = None
        for packet in container.demux(stream):
            if not packet.size or packet.pts is None or packet.time_base is None:
                continue
            first = packet.pts if first is None else first
            at_s = float((packet.pts - first) * packet.time_base)
            active = any(begin <= at_s < end for begin, end in camera.active_s())
            facts = reader.read(bytes(packet), packet.is_keyframe)
            rows.append((
                number, facts.payload_bytes, -99 if facts.qp is None else facts.qp, facts.is_key,
                facts.is_reference is not False, facts.slice_type is not None and facts.slice_type.name == "B", active,
            ))  # fmt: skip
    return np.array(rows, np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--streams", type=int, default=96)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with context.Pool(arguments.processes) as pool:
        made = list(pool.imap(partial(packets, seed=arguments.seed), range(arguments.streams)))
    np.savez_compressed(arguments.out, packets=np.concatenate(made), columns=COLUMNS)


if __name__ == "__main__":
    main()
