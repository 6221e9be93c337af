"""What prepare_data.py leaves for the training scripts: frames, labels, cut-outs and textures in one folder.

NAME.npy        (t, h, w, 3) uint8 RGB frames, at most 640 px wide
NAME.json       labels of those frames (`CachedClip`)
sprites.npz     cut-outs: kind (n,), clip (n,), rgba0 .. rgba(n-1) uint8 (h, w, 4)
textures.npz    RGB pictures without people or vehicles
No pickles: a cache is data.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sprite import Sprite


@dataclass(slots=True)
class CachedClip:
    """Sampled frames of one clip with their labels."""

    name: str
    role: str
    fixed: bool
    times_s: list[float]
    numbers: list[int]
    """Frame numbers in decode order."""
    present: np.ndarray
    """(t,): 1 present, 0 empty, -1 unknown."""
    labels: str
    """Who says so: gt, constant or teacher."""
    held_out: int
    """Index of the first frame that training never sees."""
    boxes: list[np.ndarray]
    """Per frame (n, 6) float32: x1, y1, x2, y2, score, class, in pixels of the frames."""
    frames: np.ndarray
    """(t, h, w, 3) uint8, a memory map."""


def write_clip(folder: Path, clip: CachedClip) -> None:
    np.save(folder / f"{clip.name}.npy", clip.frames)
    meta = {
        "name": clip.name,
        "role": clip.role,
        "fixed": clip.fixed,
        "t": clip.times_s,
        "frame": clip.numbers,
        "present": clip.present.tolist(),
        "gt_kind": clip.labels,
        "val_from": clip.held_out,
        "boxes": [np.round(boxes, 3).tolist() for boxes in clip.boxes],
    }
    (folder / f"{clip.name}.json").write_text(json.dumps(meta))


def read_clips(folder: Path, roles: Collection[str] = (), exclude: Collection[str] = ()) -> dict[str, CachedClip]:
    """The clips of a cache by name, in the order of names. roles: none means all."""
    out = {}
    for path in sorted(folder.glob("*.json")):
        meta = json.loads(path.read_text())
        if (roles and meta["role"] not in roles) or meta["name"] in exclude:
            continue
        out[meta["name"]] = CachedClip(
            name=meta["name"],
            role=meta["role"],
            fixed=bool(meta["fixed"]),
            times_s=meta["t"],
            numbers=meta["frame"],
            present=np.array(meta["present"]),
            labels=meta["gt_kind"],
            held_out=meta["val_from"],
            boxes=[np.array(boxes, np.float32).reshape(-1, 6) for boxes in meta["boxes"]],
            frames=np.load(path.with_suffix(".npy"), mmap_mode="r"),
        )
    return out


def write_sprites(folder: Path, sprites: Iterable[Sprite]) -> None:
    ordered = sorted(sprites, key=lambda sprite: (sprite.clip, sprite.kind))
    pictures = {f"rgba{i}": sprite.rgba for i, sprite in enumerate(ordered)}
    kinds, clips = np.array([s.kind for s in ordered], int), np.array([s.clip for s in ordered], str)
    np.savez(folder / "sprites.npz", kind=kinds, clip=clips, **pictures)


def read_sprites(folder: Path, exclude: Collection[str] = ()) -> list[Sprite]:
    with np.load(folder / "sprites.npz") as stored:
        named = zip(stored["kind"], stored["clip"], strict=True)
        sprites = [Sprite(int(kind), str(clip), stored[f"rgba{i}"]) for i, (kind, clip) in enumerate(named)]
    return [sprite for sprite in sprites if sprite.clip not in exclude]


def sprites_by_clip(sprites: list[Sprite], kind: int) -> list[list[Sprite]]:
    """The cut-outs of one class, a list per clip, in the order of the clips' names: draw the clip, then the cut-out."""
    ours = [sprite for sprite in sprites if sprite.kind == kind]
    return [[s for s in ours if s.clip == name] for name in sorted({s.clip for s in ours})]


def write_textures(folder: Path, textures: list[np.ndarray]) -> None:
    np.savez(folder / "textures.npz", *textures)


def read_textures(folder: Path) -> list[np.ndarray]:
    with np.load(folder / "textures.npz") as stored:
        return [stored[name] for name in stored.files]
