"""Thumbnails of a quiet place with sensor noise, and things that happen in it. Deterministic."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from pipelines.gate.motion import MotionGate, MotionOptions, MotionVerdict
from pipelines.values import F32, U8

FPS = 5
SECOND = 1_000_000_000
Scene = Callable[[float], F32]
"""Seconds since start to (96, 160) float32 levels, without noise."""


@cache
def place() -> F32:
    """Soft ground, a few hard edges, levels 50..190."""
    rng = np.random.default_rng(3)
    soft = cv2.GaussianBlur(rng.normal(0, 1, (96, 160)).astype(np.float32), (0, 0), 8)
    picture = 110 + soft / soft.std() * 20
    picture[60:, :] -= 25
    picture[10:50, 110:130] += 40
    clipped: F32 = np.clip(picture, 50, 190).astype(np.float32)
    return clipped


@cache
def _noise() -> F32:
    return np.random.default_rng(4).normal(0, 1, (96, 160)).astype(np.float32)


def shot(picture: F32, number: int, sigma: float = 2.0) -> U8:
    """As a sensor gives it: each number has its own noise."""
    noise = np.roll(_noise(), number * 7919) * (-1) ** number
    levels: U8 = np.clip(np.rint(picture + sigma * noise), 0, 255).astype(np.uint8)
    return levels


def with_thing(x: float, y: int, w: int, h: int, contrast: float, ground: F32 | None = None) -> F32:
    """The place with a rectangle; x may be a fraction (its edges are blended) and outside."""
    picture = (place() if ground is None else ground).copy()
    columns = np.clip(np.arange(1, 161) - x, 0, 1) * np.clip(x + w - np.arange(160), 0, 1)
    picture[y : y + h] += contrast * columns.astype(np.float32)
    return picture


def run(
    scene: Scene, seconds: float, sigma: float = 2.0, gate: MotionGate | None = None, start_s: float = 0.0
) -> list[MotionVerdict]:
    """What the gate says at FPS frames per second."""
    gate = gate or MotionGate(MotionOptions())
    first = round(start_s * FPS)
    numbers = range(first, first + round(seconds * FPS))
    return [gate.update(shot(scene(n / FPS), n, sigma), n * SECOND // FPS) for n in numbers]


def settled(sigma: float = 2.0, options: MotionOptions | None = None, ignore: np.ndarray | None = None) -> MotionGate:
    """A gate that has known the place for ten seconds: the next frame is at 10 s."""
    gate = MotionGate(options or MotionOptions(), ignore)
    run(lambda s: place(), 10, sigma, gate)
    return gate


def moving(verdicts: list[MotionVerdict]) -> list[bool]:
    return [v.moving for v in verdicts]
