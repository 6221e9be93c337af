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
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np

from pipelines.color import affine
from pipelines.model.catalog import resolve
from pipelines.postprocess.decode import detect
from pipelines.preprocess.letterbox import fit
from pipelines.preprocess.planes import pad_yuv, write_planes
from pipelines.values import U8, ColorMatrix, ColorRange, Frame
from pipelines.worker.engines.onnx import OnnxEngine
from scripts.bench import cameras_index, cameras_scene
from scripts.bench.cameras_scene import Scene

CACHE = Path(__file__).parents[2] / ".cache" / "cameras"
_SOURCES = (Path(cameras_scene.__file__), *sorted((Path(__file__).parents[1] / "footage").glob("*.py")))
_SMPTE170M, _LIMITED = 6, 1
_MERGE_S = 2.0
"""Detections nearer than this are one event."""
_LEAST_S = 0.2
"""Shorter runs of detections are the detector's flicker, no event."""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Coding:
    """How the cameras encode: constant bit rate without filler, one slice, no B-frames."""

    codec: str = "h264"
    """"h264" or "hevc"."""
    bitrate_bps: int = 3_000_000
    gop: int = 50


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


def clips(scenes: Sequence[Scene], coding: Coding, tell: Progress, cache: Path = CACHE) -> list[Clip]:
    """All clips with their references, made where they are missing: about a minute of two cores for each."""
    cache.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda scene: _clip(scene, coding, tell, cache), scenes))


def detector() -> tuple[Path, str]:
    """The shipped detector, folded, and the hash of its original file."""
    path = resolve("detector")
    original = path.with_name("detector.onnx") if path.name.endswith(".folded.onnx") else None
    shipped = original or Path(__file__).parents[2] / "pipelines" / "model" / "shipped" / "detector.onnx"
    return path, hashlib.sha256(shipped.read_bytes()).hexdigest()


def events(hits: Sequence[bool], fps: int) -> tuple[Event, ...]:
    """Runs of pictures with detections, joined over short gaps. Pure."""
    out: list[Event] = []
    for number in np.flatnonzero(np.asarray(hits, bool)).tolist():
        if out and number - out[-1].last <= _MERGE_S * fps:
            out[-1] = replace(out[-1], last=number)
        else:
            out.append(Event(number, number))
    return tuple(event for event in out if event.last - event.first + 1 >= _LEAST_S * fps)


def _clip(scene: Scene, coding: Coding, tell: Progress, cache: Path) -> Clip:
    drawn = hashlib.sha256(repr(asdict(scene)).encode())
    for source in _SOURCES:
        drawn.update(source.read_bytes())
    encoded = hashlib.sha256(drawn.digest() + repr(coding).encode()).hexdigest()[:12]
    path = cache / f"{scene.variant}-{encoded}.{coding.codec}"
    if not path.is_file():
        tell(f"encoding timeline {scene.variant} ({scene.seconds:g} s, once)")
        _encode(path, scene, coding)
    model, sha256 = detector()
    seen = cache / f"{scene.variant}-{drawn.hexdigest()[:12]}-{sha256[:12]}.json"
    if not seen.is_file():
        tell(f"reference detections of timeline {scene.variant} (once)")
        _write(seen, json.dumps(_reference(scene, model)).encode())
    found = events(json.loads(seen.read_text()), scene.fps)
    return Clip(path, scene.frames, scene.fps, found, sum(e.last - e.first + 1 for e in found))


def _write(path: Path, data: bytes) -> None:
    partial = path.with_suffix(f".{os.getpid()}.part")
    partial.write_bytes(data)
    os.replace(partial, path)


# --- encode ----------------------------------------------------------------------------------------------------------


def _encode(path: Path, scene: Scene, coding: Coding) -> None:
    context = _encoder(scene, coding)
    out = bytearray()
    index = 0
    for number, picture in enumerate(cameras_scene.play(scene)):
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, scene.fps)
        frame.color_range, frame.colorspace = _LIMITED, _SMPTE170M
        for packet in context.encode(frame):
            out += cameras_index.insert(bytes(packet), coding.codec, index)
            index += 1
    for packet in context.encode(None):
        out += cameras_index.insert(bytes(packet), coding.codec, index)
        index += 1
    assert index == scene.frames
    _write(path, bytes(out))


def _encoder(scene: Scene, coding: Coding) -> av.VideoCodecContext:
    name, options = {"h264": ("libx264", _x264(coding)), "hevc": ("libx265", _x265(coding))}[coding.codec]
    context = cast(Any, av.CodecContext.create(name, "w"))
    context.width, context.height, context.pix_fmt = scene.width, scene.height, "yuv420p"
    context.framerate, context.time_base = Fraction(scene.fps), Fraction(1, scene.fps)
    context.bit_rate, context.gop_size, context.max_b_frames = coding.bitrate_bps, coding.gop, 0
    context.colorspace = context.color_primaries = context.color_trc = _SMPTE170M
    context.color_range = _LIMITED
    context.options = options
    context.thread_count = 1
    return cast(av.VideoCodecContext, context)


def _x264(coding: Coding) -> dict[str, str]:
    rate = str(coding.bitrate_bps)
    params = f"sliced-threads=0:scenecut=0:keyint={coding.gop}:min-keyint={coding.gop}:rc-lookahead=0:sync-lookahead=0"
    return {"preset": "superfast", "maxrate": rate, "bufsize": rate, "x264-params": params}


def _x265(coding: Coding) -> dict[str, str]:
    kbps = coding.bitrate_bps // 1000
    params = (
        f"log-level=none:info=0:pools=1:frame-threads=1:scenecut=0:keyint={coding.gop}:min-keyint={coding.gop}"
        f":rc-lookahead=5:vbv-maxrate={kbps}:vbv-bufsize={kbps}:repeat-headers=1"
    )
    return {"preset": "ultrafast", "x265-params": params}


# --- reference -------------------------------------------------------------------------------------------------------


def _reference(scene: Scene, model: Path) -> list[bool]:
    """For each picture: did the detector see something at its recommended threshold?"""
    engine = OnnxEngine(model, threads=1, max_batch=1)
    card = engine.card
    where = fit((scene.width, scene.height), (card.input_w, card.input_h), card.anchor)
    tags = ColorRange.LIMITED, ColorMatrix.BT601
    color = affine(card, *tags)[None]
    payload = np.zeros(card.payload_bytes, np.uint8)
    hits = []
    for number, picture in enumerate(cameras_scene.play(scene)):
        write_planes(_frame(number, picture, scene, tags), where, pad_yuv(card, *tags), payload)
        rows = engine.infer([payload], color)[0]
        hits.append(len(detect(rows, where, card, card.score_threshold)) > 0)
    engine.close()
    return hits


def _frame(number: int, i420: U8, scene: Scene, tags: tuple[ColorRange, ColorMatrix]) -> Frame:
    h, w = scene.height, scene.width
    u = i420[h : h + h // 4].reshape(h // 2, w // 2)
    v = i420[h + h // 4 :].reshape(h // 2, w // 2)
    return Frame(number, None, 0, False, i420[:h], u, v, *tags)


def main() -> None:
    """Make the clips of the default bench now: python -m scripts.bench.cameras_clip"""
    for clip in clips(cameras_scene.scenes(8, 2), Coding(), print):
        print(clip.path, clip.path.stat().st_size * 8 / clip.frames * clip.fps / 1e6, "Mb/s", clip.active, clip.events)


if __name__ == "__main__":
    main()
