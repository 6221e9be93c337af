"""Prepare the training data, once: sample frames, ask the teacher, cut sprites out of the training part.

    python scripts/train/prepare_data.py --data DIR --textures DIR --cache DIR

cache.py says what it writes. Clips that are not there are left out, and named.
"""

from __future__ import annotations

import argparse
import multiprocessing
from pathlib import Path

import cv2
import numpy as np

from cache import CachedClip, write_clip, write_sprites, write_textures
from clip import CLIPS, find
from footage import load
from sprite import Sprite, cut_out
from teacher import TRUTH, Teacher

TEXTURES = ("brick.png", "grass.png", "gravel.png", "coffee.png", "chelsea.png", "rocket.jpg")
"""scikit-image's sample pictures, CC0 or public domain: backgrounds without people or vehicles."""


def prepare(name: str, data: Path, teacher: Path, cache: Path) -> list[Sprite]:
    """Write one clip; returns its cut-outs. Runs in a process of its own."""
    cv2.setNumThreads(1)
    clip = CLIPS[name]
    footage = load(clip, data, Teacher(teacher))
    if footage is None:
        raise FileNotFoundError(clip.file)
    frames = np.stack(footage.rgb)
    write_clip(
        cache,
        CachedClip(
            name=name,
            role=clip.role,
            fixed=clip.fixed,
            times_s=footage.times_s,
            numbers=footage.numbers,
            present=footage.present,
            labels=footage.labels,
            held_out=footage.held_out if clip.role == "train" else len(frames),
            boxes=footage.boxes,
            frames=frames,
        ),
    )
    seen = footage.held_out
    sprites = cut_out(name, frames[:seen], footage.boxes[:seen], clip.fixed) if clip.role == "train" else []
    truths = sum(int((boxes[:, 4] >= TRUTH).sum()) for boxes in footage.boxes)
    print(f"{name:26s} {clip.role:8s} {frames.shape} boxes {truths} sprites {len(sprites)}", flush=True)
    return sprites


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with video/, gt/ and models/")
    parser.add_argument("--textures", type=Path, required=True, help=f"folder with {', '.join(TEXTURES)}")
    parser.add_argument("--cache", type=Path, required=True, help="write here")
    parser.add_argument("--teacher", type=Path, help="YOLOX-nano 416; default: DATA/models/yolox_nano_416.onnx")
    parser.add_argument("--clips", nargs="*", help="names of clips; default: all that are there")
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    args.cache.mkdir(parents=True, exist_ok=True)
    teacher = args.teacher or args.data / "models" / "yolox_nano_416.onnx"
    names = [name for name in args.clips or CLIPS if find(CLIPS[name], args.data) is not None]
    print("not there:", ", ".join(name for name in args.clips or CLIPS if name not in names) or "none")
    jobs = [(name, args.data, teacher, args.cache) for name in names]
    with multiprocessing.Pool(args.processes) as pool:
        sprites = [sprite for found in pool.starmap(prepare, jobs, chunksize=1) for sprite in found]
    write_sprites(args.cache, sprites)
    write_textures(args.cache, [cv2.imread(str(args.textures / name))[..., ::-1] for name in TEXTURES])
    print(f"sprites {len(sprites)}, persons {sum(sprite.kind == 0 for sprite in sprites)}")


if __name__ == "__main__":
    main()
