"""Make the detector cheaper for CPUs: int8 weights and uint8 activations in all that leads to its last convolutions.

    python scripts/train/quantize_detector.py --data DIR --float detector.onnx --out detector_int8.onnx

Needs the installed project with `models` (onnx, onnxruntime), no torch. Ranges of the activations come from the
training parts of the clips, as they are and under changed light and a sensor's noise: never from a held-out frame. The
last convolutions and the arithmetic behind them, which makes boxes of up to 416 pixels, stay float. TensorRT wants
another form of int8 (scripts/precision.py). Same input, seed and versions: the same file (quantize.py).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx

from augment import Rng, light_field, sensor, tone
from clip import CLIPS
from detector_box import letterbox
from footage import Footage, load
from quantize import quantize
from teacher import session

QUANTIZED = ("Conv", "Relu", "Add", "Concat", "MaxPool", "Resize", "Split")
MOST_OF_A_CLIP = 40
"""Frames: no clip shall outweigh the others."""


def pictures(clip: Footage, rng: Rng) -> Iterator[np.ndarray]:
    """(3, 256, 416) float32 0..1: frames of the training part, each as it is and under another light."""
    count = min(MOST_OF_A_CLIP, clip.held_out)
    for at in np.linspace(0, clip.held_out - 1, count).astype(int):
        rgb = clip.rgb[at]
        yield letterbox(rgb)[0]
        field = light_field(rng, rgb.shape[:2], 0.3)[..., None]
        lit = cv2.LUT(np.clip(rgb * field, 0, 255).astype(np.uint8), tone(rng))
        yield letterbox(sensor(rng, lit))[0]


def before_the_last(model: onnx.ModelProto) -> list[str]:
    """Nodes of the kinds in QUANTIZED from which a path leads to another convolution."""
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    leads: dict[str, bool] = {}
    for node in reversed(model.graph.node):  # in topological order, says ONNX
        after = [user for name in node.output for user in users.get(name, [])]
        leads[node.name] = any(user.op_type == "Conv" or leads[user.name] for user in after)
    return [node.name for node in model.graph.node if node.op_type in QUANTIZED and leads[node.name]]


def write(source: Path, calibrating: list[np.ndarray], out: Path) -> None:
    """Write the int8 model."""
    model = onnx.load(source)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / "named.onnx"
        onnx.save(model, named)
        feeds = ({"images": planes[None]} for planes in calibrating)
        quantize(named, feeds, out, nodes_to_quantize=before_the_last(model))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with video/ and gt/")
    parser.add_argument("--float", type=Path, required=True, dest="source", help="the trained model")
    parser.add_argument("--out", type=Path, required=True, help="write the int8 model here")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def compared(one: Path, other: Path, pictures: list[np.ndarray]) -> str:
    """How far the answers are apart, over cells that either calls something."""
    first, second = session(one), session(other)
    boxes_px, scores = [], []
    for planes in pictures:
        a, b = (s.run(None, {"images": planes[None]})[0][0] for s in (first, second))
        some = np.maximum(a[4:].max(0), b[4:].max(0)) >= 0.5
        boxes_px.append(np.abs(a[:4, some] - b[:4, some]).ravel())
        scores.append(np.abs(a[4:, some] - b[4:, some]).ravel())
    px, score = np.concatenate(boxes_px), np.concatenate(scores)
    return (
        f"boxes {px.mean():.2f} px apart, largest {px.max():.1f}; scores {score.mean():.4f}, largest {score.max():.2f}"
    )


def main() -> None:
    args = arguments()
    cv2.setNumThreads(1)
    cv2.setRNGSeed(args.seed)  # the sensor's noise is OpenCV's
    rng = np.random.default_rng(args.seed)
    clips = [found for c in CLIPS.values() if c.role == "train" and (found := load(c, args.data, None)) is not None]
    if not clips:
        raise SystemExit(f"none of the training clips is below {args.data}")
    calibrating = [planes for clip in clips for planes in pictures(clip, rng)]
    print(f"{len(calibrating)} pictures from {', '.join(clip.clip.name for clip in clips)}")
    write(args.source, calibrating, args.out)
    held_out = [letterbox(rgb)[0] for clip in clips for rgb in clip.rgb[clip.held_out :]]
    print(f"{len(held_out)} held-out pictures: {compared(args.source, args.out, held_out)}")


if __name__ == "__main__":
    main()
