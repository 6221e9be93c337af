"""Convert a folded model to float16 or int8, and say what that costs in accuracy.

python -m scripts.precision MODEL --to float16|int8 --out FILE --pictures PATH [PATH ...] [--frames N]

PATH is a picture, a clip, or a folder of them: scenes like those that the cameras will see. Every other frame
calibrates (int8), the rest judges: what the converted model finds is held against what the original finds, both on the
CPU. Prints one line of JSON. The card travels along; TensorRT is held to the new type when it builds (docs/gpu.md).
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from pipelines.color import affine
from pipelines.errors import ModelError
from pipelines.values import F32, U8, ColorMatrix, ColorRange, ModelCard
from pipelines.worker.engines.onnx import OnnxEngine
from pipelines.worker.engines.tensorrt_precision import to_float16, to_int8

_CLIPS = (".mp4", ".mkv", ".avi", ".ts", ".h264", ".h265")
_STEP = 10
"""Frames of a clip between two that are used."""
Picture = tuple[U8, F32]


def main(argv: Sequence[str] | None = None) -> int:
    """0: converted; 1: told why not."""
    options = _parser().parse_args(argv)
    logging.getLogger().setLevel(logging.ERROR)  # onnxruntime's quantizer gives advice on the root logger
    try:
        engine = OnnxEngine(options.model, max_batch=1)
        used = list(pictures(options.pictures, engine.card, options.frames))
        if len(used) < 2:
            raise ModelError("two pictures at least are needed, better a few hundred")
        if options.to == "float16":
            to_float16(options.model, options.out)
        else:
            to_int8(options.model, options.out, used[::2])
        converted = OnnxEngine(options.out, max_batch=1)
    except ModelError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    report = {"model": options.model.name, "to": options.to, "bytes": options.out.stat().st_size}
    sys.stdout.write(json.dumps({**report, **compare(engine, converted, used[1::2])}) + "\n")
    return 0


def compare(engine: OnnxEngine, converted: OnnxEngine, judged: Sequence[Picture]) -> dict[str, float | int]:
    """What the converted model makes of what the original finds, at the card's threshold, IoU 0.5, same class."""
    found = kept = extra = 0
    ious, scores = [], []
    for planes, color in judged:
        ours, theirs = (_loud(e.infer([planes.reshape(-1)], color[None])[0], engine.card) for e in (engine, converted))
        found += len(ours)
        extra += sum(_best(row, ours)[0] < 0.5 for row in theirs)
        for row in ours:
            iou, score = _best(row, theirs)
            if iou >= 0.5:
                kept += 1
                ious.append(iou)
                scores.append(abs(score - row[4]))
    return {
        "frames": len(judged),
        "rows_of_original": found,
        "kept": round(kept / found, 4) if found else 1.0,
        "extra_rows": int(extra),
        "mean_iou": round(float(np.mean(ious)), 4) if ious else 0.0,
        "mean_score_change": round(float(np.mean(scores)), 5) if scores else 0.0,
        "worst_score_change": round(float(np.max(scores)), 4) if scores else 0.0,
    }


def pictures(paths: Sequence[Path], card: ModelCard, frames: int) -> Iterator[Picture]:
    """(planes (h * 3 / 2, w), color (3, 4)) of pictures and clips, letterboxed; at most so many of each path."""
    color = affine(card, ColorRange.LIMITED, ColorMatrix.BT601)  # what OpenCV's conversion below is
    for path in paths:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        share = max(1, frames // len(files))
        for file in files[:frames]:
            for image in _images(file, share):
                yield letterboxed(image, card), color


def letterboxed(bgr: U8, card: ModelCard) -> U8:
    """A picture (h, w, 3), BGR, as planes of the card's size."""
    scale = min(card.input_w / bgr.shape[1], card.input_h / bgr.shape[0])
    w, h = (int(side * scale) // 2 * 2 for side in (bgr.shape[1], bgr.shape[0]))
    x, y = (0, 0) if card.anchor == "top_left" else ((card.input_w - w) // 4 * 2, (card.input_h - h) // 4 * 2)
    canvas = np.empty((card.input_h, card.input_w, 3), np.uint8)
    canvas[:] = card.pad_rgb[::-1]
    canvas[y : y + h, x : x + w] = cv2.resize(bgr, (w, h), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(canvas, cv2.COLOR_BGR2YUV_I420), np.uint8)


def _images(file: Path, most: int) -> Iterator[U8]:
    if file.suffix.lower() not in _CLIPS:
        image = cv2.imread(str(file))
        if image is not None:
            yield np.asarray(image, np.uint8)
        return
    clip, number, given = cv2.VideoCapture(str(file)), 0, 0
    while given < most and clip.grab():
        if number % _STEP == 0:
            yield np.asarray(clip.retrieve()[1], np.uint8)
            given += 1
        number += 1
    clip.release()


def _loud(rows: F32, card: ModelCard) -> F32:
    return rows[rows[:, 4] >= card.score_threshold]


def _best(row: F32, others: F32) -> tuple[float, float]:
    """(IoU, score) of the row of the same class that overlaps most; (0, 0) if there is none."""
    same = others[others[:, 5] == row[5]]
    if len(same) == 0:
        return 0.0, 0.0
    low, high = np.maximum(same[:, :2], row[:2]), np.minimum(same[:, 2:4], row[2:4])
    both = np.clip(high - low, 0, None).prod(1)
    areas = (same[:, 2] - same[:, 0]) * (same[:, 3] - same[:, 1])
    iou = both / np.maximum(areas + (row[2] - row[0]) * (row[3] - row[1]) - both, 1e-9)
    best = int(iou.argmax())
    return float(iou[best]), float(same[best, 4])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.precision", description=__doc__)
    parser.add_argument("model", type=Path, help="a folded model")
    parser.add_argument("--to", choices=("float16", "int8"), required=True)
    parser.add_argument("--out", type=Path, required=True, help="the converted model")
    parser.add_argument("--pictures", type=Path, nargs="+", required=True, help="pictures, clips, or folders of them")
    parser.add_argument("--frames", type=int, default=200, help="of each path at most")
    return parser


if __name__ == "__main__":
    sys.exit(main())
