"""The clips of the capacity bench, made once: each scene encoded as a camera would, and what the detector sees in it.

The reference of an event is the shipped detector on every picture before it was encoded. Clips and references lie in a
cache under the hash of all they are made from.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np

from pipelines.color import affine
from pipelines.model.catalog import resolve
from pipelines.model.known import SHIPPED_FOLDER
from pipelines.postprocess.decode import detect
from pipelines.preprocess.letterbox import fit
from pipelines.preprocess.planes import pad_yuv, write_planes
from pipelines.values import ColorMatrix, ColorRange, Frame
from pipelines.worker.engines.onnx import OnnxEngine
from scripts.bench import cameras_index
from scripts.bench.cameras_lap import LEAD, Lap
from scripts.bench.cameras_scene import timelines
from scripts.bench.scenes.camera import Camera
from scripts.bench.scenes.encoding import Recipe
from scripts.bench.scenes.picture import FPS, Source, frames, split

DETECTOR = "detector_int8"
"""Of the shipped ones that for a worker on a CPU."""
CACHE = Path(__file__).parents[2] / ".cache" / "cameras"
_BENCH = Path(__file__).parent
_DRAWING = (
    *sorted((_BENCH / "scenes").glob("*.py")),
    *sorted((_BENCH.parent / "footage").glob("*.py")),
    _BENCH / "cameras_lap.py",
)
"""What pictures depend on beside their source's own values."""
_BT709, _LIMITED = 1, 1
_TAGS = ColorRange.LIMITED, ColorMatrix.BT709
_MERGE_S = 2.0
"""Detections nearer than this are one event."""
_LEAST_S = 0.2
"""Shorter runs of detections are the detector's flicker, no event."""


RECIPE = Recipe(rate="cbr", level=3000, one_qp=True, least_qp=18)
"""Constant 3 Mb/s, padded with filler where the picture needs less; a key frame every 50, one slice, no B-frames."""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Event:
    """From the first to the last picture in which the reference saw something wanted, both inclusive."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Clip:
    """One timeline on disk: Annex B, each picture with its number (cameras_index)."""

    path: Path
    frames: int
    fps: int
    events: tuple[Event, ...]
    active: int
    """Pictures within events."""


def clips(sources: Sequence[Source], recipe: Recipe, tell: Progress, cache: Path = CACHE) -> list[Clip]:
    """All clips with their references, seamless, made where they are missing: about a minute of a core for each."""
    cache.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda source: _clip(source, recipe, tell, cache), sources))


def detector() -> tuple[Path, str]:
    """The shipped detector, folded, and the hash of its original file."""
    return resolve(DETECTOR), hashlib.sha256((SHIPPED_FOLDER / f"{DETECTOR}.onnx").read_bytes()).hexdigest()


def events(hits: Sequence[bool], fps: int) -> tuple[Event, ...]:
    """Runs of pictures with detections, joined over short gaps. Pure."""
    out: list[Event] = []
    for number in np.flatnonzero(np.asarray(hits, bool)).tolist():
        if out and number - out[-1].last <= _MERGE_S * fps:
            out[-1] = replace(out[-1], last=number)
        else:
            out.append(Event(number, number))
    return tuple(event for event in out if event.last - event.first + 1 >= _LEAST_S * fps)


def _clip(scene: Source, recipe: Recipe, tell: Progress, cache: Path) -> Clip:
    source = Camera(Lap(scene))
    drawn = hashlib.sha256(repr(source).encode())
    for file in _DRAWING:
        drawn.update(file.read_bytes())
    encoded = hashlib.sha256(drawn.digest() + repr(recipe.options()).encode()).hexdigest()[:12]
    path = cache / f"{source.name}-{encoded}.{recipe.codec}"
    if not path.is_file():
        tell(f"encoding {source.name}, {source.seconds:g} s, {recipe.label} (once)")
        _write(path, _encoded(source, recipe))
    model, sha256 = detector()
    seen = cache / f"{source.name}-{drawn.hexdigest()[:12]}-{sha256[:12]}.json"
    if not seen.is_file():
        tell(f"reference detections of {source.name} (once)")
        _write(seen, json.dumps(_reference(source, model)).encode())
    found = events(json.loads(seen.read_text()), FPS)
    return Clip(path, frames(scene.seconds), FPS, found, sum(e.last - e.first + 1 for e in found))


def _write(path: Path, data: bytes) -> None:
    partial = path.with_suffix(f".{os.getpid()}.part")
    partial.write_bytes(data)
    os.replace(partial, path)


# --- encode ----------------------------------------------------------------------------------------------------------


def _encoded(source: Source, recipe: Recipe) -> bytes:
    context = _encoder(source, recipe)
    packets: list[bytes] = []
    for number, picture in enumerate(source.pictures()):
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        frame.color_range, frame.colorspace = _LIMITED, _BT709
        packets += map(bytes, context.encode(frame))
    packets += map(bytes, context.encode(None))
    assert len(packets) == frames(source.seconds)
    return b"".join(cameras_index.insert(packet, recipe.codec, n) for n, packet in enumerate(packets[LEAD:]))


def _encoder(source: Source, recipe: Recipe) -> av.VideoCodecContext:
    name = {"h264": "libx264", "hevc": "libx265"}[recipe.codec]
    context = cast(av.VideoCodecContext, av.CodecContext.create(name, "w"))
    context.width, context.height = source.wh
    context.pix_fmt, context.framerate, context.time_base = "yuv420p", Fraction(FPS), Fraction(1, FPS)
    context.gop_size, context.max_b_frames = recipe.gop, recipe.b_frames
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED
    context.options = recipe.options()
    context.thread_count = 1
    return context


# --- reference -------------------------------------------------------------------------------------------------------


def _reference(source: Source, model: Path) -> list[bool]:
    """For each picture that is played: did the detector see something at its recommended threshold?"""
    engine = OnnxEngine(model, threads=1, max_batch=1)
    card = engine.card
    where = fit(source.wh, (card.input_w, card.input_h), card.anchor)
    color, pad = affine(card, *_TAGS)[None], pad_yuv(card, *_TAGS)
    payload = np.zeros(card.payload_bytes, np.uint8)
    hits = []
    for number, picture in enumerate(source.pictures()):
        write_planes(Frame(number, None, 0, False, *split(picture), *_TAGS), where, pad, payload)
        rows = engine.infer([payload], color)[0]
        hits.append(len(detect(rows, where, card, card.score_threshold)) > 0)
    engine.close()
    return hits[LEAD:]


def main() -> None:
    """Make the clips of the default bench now: python -m scripts.bench.cameras_clip"""
    for clip in clips(timelines(8), RECIPE, print):
        rate = clip.path.stat().st_size * 8 / clip.frames * clip.fps / 1e6
        print(f"{clip.path}: {rate:.2f} Mb/s, active {clip.active / clip.frames:.1%}, {clip.events}")


if __name__ == "__main__":
    main()
