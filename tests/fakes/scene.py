"""Clips with exact truth: coloured targets crossing a noisy, textured ground, encoded as real cameras encode.

`clip(Scene(...))` returns the path of an mp4 and the truth of every frame, as JSON beside it. Frame number and capture
time stand in each access unit (sei.py). Made once per parameters and source version, then kept in a cache folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from pipelines.values import U8, ColorMatrix, ColorRange
from tests.fakes import scene_encode, scene_paint, scene_path, sei
from tests.fakes.scene_paint import CLASSES, Painter, Rectangle

CLASS_NAMES = tuple(CLASSES)
CACHE_VARIABLE = "FRAMEGATE_SCENE_CACHE"


@dataclass(frozen=True)
class Scene:
    """Everything that decides the pictures and the bitstream. Equal scenes are equal clips."""

    width: int = 640
    height: int = 360
    seconds: float = 10.0
    fps: int = 25
    codec: str = "h264"
    """"h264" or "hevc"."""
    color_range: ColorRange = ColorRange.LIMITED
    matrix: ColorMatrix = ColorMatrix.BT709
    tagged: bool = True
    """False: the bitstream does not say range and matrix."""
    b_frames: int = 0
    gop: int = 50
    crf: int = 26
    bitrate_bps: int | None = None
    """Constant bit rate with filler data instead of `crf` (H.265: constant without filler)."""
    noise_sigma: float = 2.0
    """Of the luma, in 8-bit levels; chroma has half."""
    busy_s: tuple[tuple[float, float], ...] = ()
    """When targets are under way; () means all the time. Outside of it the picture is empty but for noise."""
    seed: int = 1

    @property
    def frames(self) -> int:
        return round(self.seconds * self.fps)

    @property
    def wh(self) -> tuple[int, int]:
        return self.width, self.height

    @cached_property
    def passes(self) -> tuple[scene_path.Pass, ...]:
        return scene_path.schedule(self.wh, len(CLASSES), self.busy_s or ((0.0, self.seconds),), self.seed)


@dataclass(frozen=True, slots=True)
class TruthBox:
    """One target in one frame."""

    class_name: str
    xyxy: tuple[float, float, float, float]
    """Source pixels, clipped to the picture."""
    visible: float
    """Share of the target's area inside the picture, over 0 to 1."""


@dataclass(frozen=True, slots=True)
class SceneClip:
    """A clip on disk and what it shows. `truth[n]` belongs to frame number n in order of display."""

    path: Path
    truth_path: Path
    scene: Scene
    truth: tuple[tuple[TruthBox, ...], ...]


def truth_of(scene: Scene, index: int) -> tuple[TruthBox, ...]:
    """What frame `index` shows."""
    boxes = []
    for one in scene.passes:
        xyxy = scene_path.position(one, index / scene.fps, scene.wh, len(CLASSES))
        if xyxy is None:
            continue
        x0, x1 = max(0.0, xyxy[0]), min(float(scene.width), xyxy[2])
        y0, y1 = max(0.0, xyxy[1]), min(float(scene.height), xyxy[3])
        if x0 < x1 and y0 < y1:
            visible = (x1 - x0) * (y1 - y0) / (one.size_wh[0] * one.size_wh[1])
            boxes.append(TruthBox(CLASS_NAMES[one.lane], (x0, y0, x1, y1), visible))
    return tuple(boxes)


def pictures(scene: Scene) -> Iterator[U8]:
    """Every frame as painted, before any encoder: (h * 3 / 2, w) uint8 I420."""
    painter = Painter(scene.wh, scene.color_range, scene.matrix, scene.noise_sigma, scene.seed)
    for index in range(scene.frames):
        yield painter.paint(index, [Rectangle(CLASSES[box.class_name], box.xyxy) for box in truth_of(scene, index)])


def clip(scene: Scene) -> SceneClip:
    """The clip of a scene, from the cache or made now (about 2 s for ten seconds of 640x360).

    Two processes may make the same clip at once: the last rename wins, and both files are whole.
    """
    path = _cache_dir() / f"{scene.codec}-{scene.width}x{scene.height}-{_key(scene)}.mp4"
    truth = tuple(truth_of(scene, index) for index in range(scene.frames))
    truth_path = path.with_suffix(".json")
    if not (path.exists() and truth_path.exists()):
        _replace(truth_path, json.dumps(_as_json(scene, truth)).encode())
        _replace(path, scene_encode.encode(scene, pictures(scene)))
    return SceneClip(path, truth_path, scene, truth)


def _as_json(scene: Scene, truth: tuple[tuple[TruthBox, ...], ...]) -> dict[str, object]:
    return {"scene": asdict(scene), "class_names": CLASS_NAMES, "frames": [[asdict(b) for b in f] for f in truth]}


def _key(scene: Scene) -> str:
    """Changes with every parameter and with the sources that paint and encode."""
    digest = hashlib.sha256(repr(scene).encode())
    for module in (__file__, scene_paint.__file__, scene_path.__file__, scene_encode.__file__, sei.__file__):
        digest.update(Path(module).read_bytes())
    return digest.hexdigest()[:16]


def _cache_dir() -> Path:
    folder = Path(os.environ.get(CACHE_VARIABLE) or Path(tempfile.gettempdir()) / f"framegate-scenes-{os.getuid()}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _replace(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=path.suffix)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.replace(temporary, path)
