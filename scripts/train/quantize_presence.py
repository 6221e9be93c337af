"""Make the presence model cheaper: int8 weights and uint8 activations in all but the first and the last convolution.

    python scripts/train/quantize_presence.py --data DIR --float presence_float.onnx --out presence.onnx

Needs the installed project with `models` (onnx, onnxruntime), no torch. Ranges of the activations come from what the
product's own PresenceGate makes of the training parts of the clips: never of a held-out frame. Same input, seed and
versions: the same file (quantize.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from augment import Rng, light_field, sensor, tone
from clip import CLIPS
from evaluate_presence import latency
from footage import Footage, load
from pipelines.prefilter.presence import PresenceGate, PresenceOptions
from quantize import quantize

FLOAT_NODES = ("/stem/stem.0/stem.0.0/Conv", "/stem/stem.0/stem.0.2/Relu", "/out/Conv")
"""The first convolution sees planes without a bound (differences over a contrast); the last one makes the score."""
QUANTIZED = ("Conv", "Relu", "Add", "Resize")
CHANGES = 2
"""Runs of each clip with changed light and a sensor's noise, beside the one as it is; each warm and cold."""


class Recorder:
    """Stands where PresenceModel does, and keeps what it is asked about."""

    def __init__(self) -> None:
        self.asked: list[np.ndarray] = []
        """(1, 2, 96, 160) uint8 each."""

    def probability(self, thumbs: np.ndarray) -> float:
        self.asked.append(thumbs.copy())
        return 0.0


def questions(thumbs: np.ndarray, times_s: list[float], warm: bool) -> list[np.ndarray]:
    """What the product would ask about a run of thumbnails; warm: its background starts as their median."""
    recorder = Recorder()
    gate = PresenceGate(recorder, PresenceOptions())
    at_ns = [round(t * 1e9) for t in times_s]
    if warm:
        gate.observe(np.median(thumbs, 0).astype(np.uint8), at_ns[0])
    for thumb, now_ns in zip(thumbs, at_ns, strict=True):
        gate.probability(thumb, now_ns)
    return recorder.asked


def changed(rng: Rng, thumbs: np.ndarray) -> np.ndarray:
    """The same run under another light, which changes once more on the way, seen by a worse sensor."""
    field = light_field(rng, thumbs.shape[1:], 0.3)
    lit = np.clip(thumbs * field, 0, 255).astype(np.uint8)
    turn = int(rng.integers(1, len(lit)))
    steps = [cv2.LUT(part, tone(rng)) for part in (lit[:turn], lit[turn:])]
    return np.stack([sensor(rng, thumb) for thumb in np.concatenate(steps)])


def calibration(clips: list[Footage], rng: Rng) -> Iterator[np.ndarray]:
    """Every question about the training parts, (1, 2, 96, 160) uint8 each."""
    for clip in clips:
        thumbs, times_s = np.stack(clip.luma[: clip.held_out]), clip.times_s[: clip.held_out]
        for run in (thumbs, *(changed(rng, thumbs) for _ in range(CHANGES))):
            for warm in (True, False):
                yield from questions(run, times_s, warm)


def write(source: Path, asked: np.ndarray, out: Path, batch: int = 16) -> None:
    """Write the int8 model. asked: (n, 2, 96, 160) uint8, in random order."""
    feeds = ({"thumbs": asked[at : at + batch]} for at in range(0, len(asked), batch))
    quantize(source, feeds, out, op_types_to_quantize=list(QUANTIZED), nodes_to_exclude=list(FLOAT_NODES))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with video/ and gt/")
    parser.add_argument("--float", type=Path, required=True, dest="source", help="the trained model")
    parser.add_argument("--out", type=Path, required=True, help="write the int8 model here")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--exclude", nargs="*", default=[], help="clips to leave out, as in training")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    cv2.setNumThreads(1)
    cv2.setRNGSeed(args.seed)  # the sensor's noise is OpenCV's
    rng = np.random.default_rng(args.seed)
    wanted = [clip for clip in CLIPS.values() if clip.role == "train" and clip.name not in args.exclude]
    clips = [footage for clip in wanted if (footage := load(clip, args.data, None)) is not None]
    if not clips:
        raise SystemExit(f"none of the training clips is below {args.data}")
    asked = np.concatenate(list(calibration(clips, rng)))
    print(f"{len(asked)} questions from {', '.join(clip.clip.name for clip in clips)}")
    write(args.source, rng.permutation(asked), args.out)
    print(f"{args.source}: {latency(args.source)}\n{args.out}: {latency(args.out)}")


if __name__ == "__main__":
    main()
