"""What the cameras of the capacity bench see: mostly nothing, now and then somebody. Pictures, before any encoder.

Drawn scenes (scripts/footage) with a person, two, or a vehicle crossing; real ones, where the development footage is
there, joined from a fixed indoor camera's own empty stretches and its people. Sensor noise in every picture.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np

from pipelines.values import U8
from scripts.footage.film import Film, pictures
from scripts.footage.place import place
from scripts.footage.story import Actor, story

FOOTAGE = Path(os.environ.get("FRAMEGATE_FOOTAGE", Path(__file__).parents[3] / "shared" / "data"))
REAL = "video/one-by-one-person-detection.mp4"
REAL_FPS = 10
_EMPTY = (198, 226)
"""Frames of REAL without anybody; played forth and back between the events."""
_PEOPLE = ((60, 197), (744, 869), (1234, 1359), (227, 449))
"""First and last frame of four people."""
_EDGE_S = 5.0
"""Of a person's stay, the beginning and the end are shown, each so long: they enter and they leave."""
_NOISE_SIGMA = 2.0
_LEAST_GAP_S = 4.0
_STORY_S = 150.0


@dataclass(frozen=True, slots=True)
class Scene:
    """One timeline. Equal values make equal pictures (of equal drawing code)."""

    variant: int
    seconds: float = 100.0
    activity: float = 0.1
    """Share of the time in which somebody is there, about."""
    width: int = 1920
    height: int = 1080
    fps: int = 25
    real: bool = False
    """Joined from real footage; else drawn."""

    @property
    def frames(self) -> int:
        return round(self.seconds * self.fps)


def scenes(count: int, real: int, **shared: float) -> list[Scene]:
    """`count` different timelines, the last `real` of them real where the footage is there."""
    real = real if (FOOTAGE / REAL).is_file() else 0
    return [Scene(variant=n, real=n >= count - real, **shared) for n in range(count)]  # type: ignore[arg-type]


def play(scene: Scene) -> Iterator[U8]:
    """Every picture, (height * 3 / 2, width) uint8 I420, BT.601 limited."""
    if scene.real:
        yield from _real(scene)
        return
    film = Film(scene.variant, scene.seconds, scene.width, scene.height, scene.fps)
    rng = np.random.default_rng((scene.variant, 77))
    size = (scene.width, scene.height)
    where = place(scene.variant, size, rng)
    yield from pictures(film, where, sparse(story(where, size, _STORY_S, rng), scene, rng))


# --- drawn -----------------------------------------------------------------------------------------------------------


def sparse(crowd: Sequence[Actor], scene: Scene, rng: np.random.Generator) -> tuple[Actor, ...]:
    """Groups of a busy story, taken one by one and spread over the timeline until it is as active as asked."""
    chosen: list[list[Actor]] = []
    wanted_s = scene.activity * scene.seconds
    for group in groups(crowd):
        spent_s = sum(length_s(one) for one in chosen)
        if spent_s + length_s(group) / 2 <= wanted_s and _fits([*chosen, group], scene.seconds):
            chosen.append(group)
    idle_s = scene.seconds - sum(length_s(group) for group in chosen)
    cuts = np.sort(rng.uniform(0, idle_s - _LEAST_GAP_S * (len(chosen) + 1), len(chosen)))
    moved: list[Actor] = []
    busy_s = 0.0
    for number, (group, cut) in enumerate(zip(chosen, cuts, strict=True), 1):
        start_s = float(cut) + _LEAST_GAP_S * number + busy_s
        shift_s = start_s - min(actor.start_s for actor in group)
        moved += [replace(a, start_s=a.start_s + shift_s, end_s=a.end_s + shift_s) for a in group]
        busy_s += length_s(group)
    return tuple(sorted(moved, key=lambda actor: actor.feet_y))


def groups(crowd: Sequence[Actor]) -> list[list[Actor]]:
    """Actors that are there together, in order of time."""
    out: list[list[Actor]] = []
    for actor in sorted(crowd, key=lambda actor: actor.start_s):
        if out and actor.start_s < max(other.end_s for other in out[-1]):
            out[-1].append(actor)
        else:
            out.append([actor])
    return out


def length_s(group: Sequence[Actor]) -> float:
    return max(actor.end_s for actor in group) - min(actor.start_s for actor in group)


def _fits(chosen: Sequence[Sequence[Actor]], seconds: float) -> bool:
    return sum(length_s(group) for group in chosen) + _LEAST_GAP_S * (len(chosen) + 1) < seconds


# --- real ------------------------------------------------------------------------------------------------------------


def real_order(scene: Scene) -> list[int]:
    """Frames of REAL in the order they are shown, at its own rate."""
    total, edge = round(scene.seconds * REAL_FPS), round(_EDGE_S * REAL_FPS)
    first, last = _PEOPLE[scene.variant % len(_PEOPLE)]
    event = [*range(first, first + edge), *range(last - edge, last + 2)]
    lead = (total - len(event)) * (2 + scene.variant % 3) // 6
    forth_and_back = [*range(*_EMPTY), *range(_EMPTY[1], _EMPTY[0], -1)]
    empty = [forth_and_back[n % len(forth_and_back)] for n in range(total)]
    return empty[:lead] + event + empty[: total - lead - len(event)]


def _real(scene: Scene) -> Iterator[U8]:
    order = real_order(scene)
    frames = _read(FOOTAGE / REAL, set(order))
    rng = np.random.default_rng((scene.variant, 78))
    shape = (scene.height * 3 // 2, scene.width)
    noise = np.rint(rng.normal(0, _NOISE_SIGMA, (shape[0] + 64, shape[1] + 64))).astype(np.int16)
    noise[scene.height :] //= 2
    shown, clean = -1, np.zeros(shape, np.int16)
    for index in range(scene.frames):
        number = order[min(len(order) - 1, index * REAL_FPS // scene.fps)]
        if number != shown:
            shown, clean = number, _enlarged(frames[number], shape).astype(np.int16)
        x, y = rng.integers(0, 64, 2)
        yield np.clip(clean + noise[y : y + shape[0], x : x + shape[1]], 0, 255).astype(np.uint8)


def _read(path: Path, wanted: set[int]) -> dict[int, U8]:
    """The wanted frames as I420, by number."""
    with av.open(str(path), "r") as container:
        decoded = enumerate(container.decode(video=0))
        return {n: cast(U8, frame.to_ndarray(format="yuv420p")) for n, frame in decoded if n in wanted}


def _enlarged(i420: U8, shape: tuple[int, int]) -> U8:
    h, w = i420.shape[0] * 2 // 3, i420.shape[1]
    target_h, target_w = shape[0] * 2 // 3, shape[1]
    edges = (0, h * w, h * w * 5 // 4, h * w * 3 // 2)
    out = []
    for (a, b), halved in zip(pairwise(edges), (1, 2, 2), strict=True):
        plane = i420.reshape(-1)[a:b].reshape(h // halved, w // halved)
        out.append(cv2.resize(plane, (target_w // halved, target_h // halved), interpolation=cv2.INTER_CUBIC).ravel())
    return np.concatenate(out).reshape(shape)
