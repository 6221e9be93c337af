"""Puts a place and its actors together, frame by frame, and encodes the clip with its truth beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.stream import VideoStream

from scripts.footage.place import Place, place
from scripts.footage.story import Actor, story

U8 = npt.NDArray[np.uint8]
CLASS_NAMES = ("person", "vehicle")
_NOISE_SIGMA = 2.0
_TIME_BASE = Fraction(1, 90_000)
_SMPTE170M, _LIMITED = 6, 1
"""FFmpeg's numbers. OpenCV's BGR to I420 is BT.601, limited range, whatever the size: the clip says so."""


@dataclass(frozen=True, slots=True)
class Film:
    """What to make. Equal values make equal pictures."""

    variant: int = 0
    """Place (street, yard, hall, park, again ...) and everything that happens there."""
    seconds: float = 30.0
    width: int = 960
    height: int = 540
    fps: int = 15
    codec: str = "h264"
    """"h264" or "hevc"."""


def make(path: Path, film: Film) -> Path:
    """Write `path` (mp4) and its truth (`path` with suffix .json). Takes about a tenth of the clip's length."""
    rng = np.random.default_rng((film.variant, 3))
    where = place(film.variant, (film.width, film.height), rng)
    actors = story(where, (film.width, film.height), film.seconds, rng)
    partial = path.with_suffix(f".{os.getpid()}.part")
    with av.open(str(partial), "w", format="mp4") as container:
        stream = _stream(container, film)
        for index, picture in enumerate(pictures(film, where, actors)):
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = index * _TIME_BASE.denominator // film.fps, _TIME_BASE
            frame.color_range, frame.colorspace = _LIMITED, _SMPTE170M
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path.with_suffix(".json").write_text(json.dumps(_truth(film, where, actors)))
    os.replace(partial, path)
    return path


def pictures(film: Film, where: Place, actors: tuple[Actor, ...]) -> Iterator[U8]:
    """Every frame, (h * 3 / 2, w) uint8 I420, with sensor noise."""
    ground = np.rint(where.picture * 255).astype(np.uint8)
    shape = (film.height * 3 // 2, film.width)
    field = np.random.default_rng(film.variant).normal(0, _NOISE_SIGMA, (shape[0] + 64, shape[1] + 64))
    noise = np.rint(field).astype(np.int16)
    noise[film.height :] //= 2
    for index in range(_frames(film)):
        picture = ground.copy()
        for actor in actors:
            _draw(picture, actor, index / film.fps)
        x, y = np.random.default_rng((film.variant, index)).integers(0, 64, 2)
        planes = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).astype(np.int16)
        yield np.clip(planes + noise[y : y + shape[0], x : x + shape[1]], 0, 255).astype(np.uint8)


def _frames(film: Film) -> int:
    return round(film.seconds * film.fps)


def _draw(picture: U8, actor: Actor, time_s: float) -> None:
    placed = actor.at(time_s)
    if placed is None:
        return
    sprite, left, top = placed
    h, w = sprite.bgra.shape[:2]
    x0, x1 = max(0, left), min(picture.shape[1], left + w)
    y0, y1 = max(0, top), min(picture.shape[0], top + h)
    if x0 >= x1 or y0 >= y1:
        return
    figure = sprite.bgra[y0 - top : y1 - top, x0 - left : x1 - left]
    mixed = picture[y0:y1, x0:x1] * (1 - figure[..., 3:]) + 255 * figure[..., :3]
    picture[y0:y1, x0:x1] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def _stream(container: av.container.OutputContainer, film: Film) -> VideoStream:
    encoder = {"h264": "libx264", "hevc": "libx265"}[film.codec]
    options = {"preset": "superfast", "crf": "27"}
    if film.codec == "hevc":
        options = {"preset": "ultrafast", "crf": "27", "x265-params": "log-level=none:info=0"}
    stream = cast(VideoStream, container.add_stream(encoder, rate=film.fps, options=options))
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = film.width, film.height, "yuv420p"
    context.gop_size, context.max_b_frames, context.time_base = 2 * film.fps, 0, _TIME_BASE
    context.colorspace = context.color_primaries = context.color_trc = _SMPTE170M
    context.color_range = _LIMITED
    return stream


def _truth(film: Film, where: Place, actors: tuple[Actor, ...]) -> dict[str, Any]:
    """Boxes are source pixels, clipped to the picture; `visible` is the share of the figure's box inside it."""
    return {
        "place": where.name,
        "fps": film.fps,
        "size": [film.width, film.height],
        "class_names": CLASS_NAMES,
        "frames": [_boxes(film, actors, index / film.fps) for index in range(_frames(film))],
    }


def _boxes(film: Film, actors: tuple[Actor, ...], time_s: float) -> list[dict[str, Any]]:
    boxes = []
    for actor in actors:
        placed = actor.at(time_s)
        if placed is None:
            continue
        sprite, left, top = placed
        x0, y0, x1, y1 = np.add(sprite.box, (left, top, left, top))
        inside = [max(0.0, x0), max(0.0, y0), min(float(film.width), x1), min(float(film.height), y1)]
        if inside[0] < inside[2] and inside[1] < inside[3]:
            share = (inside[2] - inside[0]) * (inside[3] - inside[1]) / ((x1 - x0) * (y1 - y0))
            boxes.append({"class": actor.kind, "xyxy": [float(v) for v in inside], "visible": round(float(share), 3)})
    return boxes
